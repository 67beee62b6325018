"""Scores of runs on the page of ``dcn report``: means with intervals, differences, classes."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from dcn.evaluation import bootstrap
from dcn.ledger import means
from dcn.showcase.report import findings
from dcn.showcase.report.findings import BoxFindings, Titled
from dcn.showcase.report.runs import Run
from dcn.showcase.report.score_text import change, points
from dcn.webpage.document import (
    Section,
    element,
    folded,
    heading,
    joined,
    note,
    paragraph,
    table,
)


def scores_section(runs: Sequence[Run], good: Titled) -> Section:
    """Scores of all runs with their intervals, and what differs between two."""
    entries = [run.entry for run in runs]
    names = [name for entry in entries if entry for name, _, _ in main_scores(entry, 20)]
    names += [n for e in entries if e for n, v in e['scores'].items() if isinstance(v, (int, float))]
    rows = []
    for name in dict.fromkeys(names):
        values = [entry and entry['scores'].get(name) for entry in entries]
        intervals = [((entry or {}).get('interval') or {}).get('scores', {}).get(name) for entry in entries]
        rows.append([name, *(_with_interval(*pair) for pair in zip(values, intervals)), *_difference(values)])
    last = ['difference'] if len(runs) == 2 else []
    parts = [
        table(['score', *(run.title for run in runs), *last], rows, range(1, len(runs) + 2)),
        note(_interval_text(entries)),
        *_paired(good),
        *_by_class(runs),
    ]
    return Section('Scores', 'scores', parts)


def _with_interval(value, bounds):
    if value is None:
        return ''
    interval = [element('span', f' {points(bounds[0])}–{points(bounds[1])}', class_='soft')] if bounds else []
    return joined([points(value), *interval], '')


def _difference(values):
    if len(values) != 2:
        return []
    return ['' if None in values else change(values[1] - values[0])]


def _interval_text(entries):
    intervals = [entry['interval'] for entry in entries if entry and entry.get('interval')]
    if not intervals:
        return 'In points. These tests told no intervals.'
    first = intervals[0]
    return (
        f'In points. Behind a score its {100 * first["confidence"]:g} % interval, by the {first["method"]} '
        f'({first["resamples"]} resamples): how it would move with other test images, not what another seed would '
        'change.'
    )


def _paired(good):
    """The difference of two runs on the same images, class by class, with its interval."""
    if len(good) != 2 or len({type(found) for _, found in good}) != 1:
        return
    (one, first), (two, second) = good
    same = [found.tested.imdb.image_ids == first.tested.imdb.image_ids for _, found in good]
    classes = first.tested.imdb.classes
    if not all(same) or second.tested.imdb.classes != classes:
        yield note('The runs were tested on different images or classes, so differences have no interval.')
        return
    boxes = isinstance(first, BoxFindings)
    weights = bootstrap.draws(len(first.tested.records), len(first.judged.scores) * 2 if boxes else 0)
    whole = np.ones((1, len(first.tested.records)), np.int64)
    samples, exact = (
        [np.array(findings.class_samples(found, w)) for found in (first, second)] for w in (weights, whole)
    )
    rows, marked = [], []
    for number, name in enumerate([*(classes[1:] if boxes else classes), 'mean over classes']):
        if name == 'mean over classes':
            drawn = bootstrap.mean_over_classes(samples[1]) - bootstrap.mean_over_classes(samples[0])
            values = [float(bootstrap.mean_over_classes(values)[0]) for values in exact]
        else:
            drawn, values = samples[1][number] - samples[0][number], [float(e[number, 0]) for e in exact]
        bounds = bootstrap.interval({'d': drawn}, 0)['scores']['d']
        if bounds and (bounds[0] > 0 or bounds[1] < 0):
            marked.append(number)
        text = f'{change(bounds[0])} to {change(bounds[1])}' if bounds else ''
        rows.append([name, *map(points, values), *_difference(values), text])
    what = 'AP at IoU 0.5 (as COCO counts it)' if boxes else "IoU (by the benchmark's rule)"
    yield heading('Do they differ?')
    yield paragraph(
        f'{what} of each class in both runs. The same images are drawn for both, so this interval of the difference is '
        'narrower than the two intervals above. Rows are marked where it does not hold zero.'
    )
    yield table(['class', one, two, 'difference', '95 % interval'], rows, range(1, 5), marked=marked)


def _by_class(runs):
    """The metric's own figures of each class, all runs."""
    keys = dict.fromkeys(
        key
        for run in runs
        if run.entry
        for key, value in run.entry['scores'].items()
        if isinstance(value, dict) and value
    )
    for key in keys:
        values = [(run.entry or {}).get('scores', {}).get(key) or {} for run in runs]
        names = list(dict.fromkeys(name for value in values for name in value))
        rows = []
        for name in names:
            row = [value.get(name) for value in values]
            rows.append([name, *('' if v is None else points(v) for v in row), *_difference(row)])
        if len(runs) == 1:
            rows.sort(key=lambda row: float(row[1] or 'inf'))
        head = ['class', *(run.title for run in runs), *(['difference'] if len(runs) == 2 else [])]
        content = table(head if len(runs) > 1 else ['class', key], rows, range(1, len(runs) + 2))
        yield folded(f'{key.replace(" per class", "")} of each class', content)


def main_scores(entry: dict[str, Any], most: int = 3) -> list[tuple[str, float, Sequence[float] | None]]:
    """(name, score, bounds or None) of the scores of a ledger's entry that matter most."""
    intervals = (entry.get('interval') or {}).get('scores', {})
    return [(name, value, intervals.get(name)) for name, value in list(means(entry).items())[:most]]
