"""Precision over recall, on the page of ``dcn report``."""

from __future__ import annotations

import numpy as np

from dcn.evaluation import box_confusion, error_kinds
from dcn.showcase.report.findings import Titled
from dcn.showcase.report.score_text import POINTS, run_keys
from dcn.webpage import charts
from dcn.webpage.document import Section, figure, folded, gallery, paragraph


def curves_section(good: Titled) -> Section:
    """Precision over recall of each class at IoU 0.5."""
    classes = list(good[0][1].tested.imdb.classes)
    good = [(title, found) for title, found in good if list(found.tested.imdb.classes) == classes]
    order = []
    for label, name in enumerate(classes[1:], 1):
        series, aps = [], []
        for title, one in good:
            recall, precision = box_confusion.curve(one.judged, label)
            series.append(charts.Series(title, *_thinned(recall, precision)))
            hits = one.judged.kinds[(one.judged.labels == label) & (one.judged.kinds >= 0)] == 0
            scores = one.judged.scores[(one.judged.labels == label) & (one.judged.kinds >= 0)]
            objects = int((one.judged.object_labels == label).sum())
            aps.append(error_kinds.average_precision(scores, hits, objects))
        text = ', '.join(f'{100 * ap:.1f}' for ap in aps)
        chart = charts.lines(series, 'recall', 'precision', (0, 1), (0, 1), width=300, height=200, legend=False)
        order.append((min(aps), figure(chart, f'{name}: AP {text}')))
    order.sort(key=lambda pair: pair[0])
    charts_shown = [chart for _, chart in order]
    parts = [
        paragraph('At IoU 0.5, the weakest class first. A curve ends at the recall of all that the test kept.'),
        *run_keys(good),
        gallery(charts_shown[:12], 260),
    ]
    if len(charts_shown) > 12:
        parts.append(folded(f'{len(charts_shown) - 12} more classes', gallery(charts_shown[12:], 260)))
    return Section('Precision and recall', 'curves', parts)


def _thinned(x, y):
    """At most POINTS of a curve, its corners kept as well as that allows."""
    if len(x) <= POINTS:
        return x, y
    rows = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int))
    return x[rows], y[rows]
