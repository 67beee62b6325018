"""The page of ``dcn report``: what one run did, or what several did side by side; one file that works offline."""

from __future__ import annotations

from typing import Sequence

from dcn.evaluation import error_kinds
from dcn.showcase.report import findings
from dcn.showcase.report.course import origin_section, settings_section, training_sections
from dcn.showcase.report.curves import curves_section
from dcn.showcase.report.errors import KIND_TEXTS, confusion_section, errors_section, worst_boxes, worst_pixels
from dcn.showcase.report.findings import BoxFindings, PixelFindings
from dcn.showcase.report.runs import Run, about, results_of
from dcn.showcase.report.scores import main_scores, scores_section
from dcn.webpage.document import (
    document,
    element,
    joined,
    link,
    note,
    paragraph,
)
from dcn.webpage.document import write as write_page


def write_report(path: str, runs: Sequence[Run]) -> str:
    """Write the page of one or several runs; returns the path."""
    return write_page(path, report(runs))


def report(runs: Sequence[Run]) -> str:
    """The page as text."""
    found = [_findings(run) for run in runs]
    titles = [run.title for run in runs]
    good = [(title, one) for title, one in zip(titles, found) if not isinstance(one, str)]
    kinds = {type(one) for _, one in good}
    sections = [scores_section(runs, good)] if any(run.entry for run in runs) else []
    if kinds == {BoxFindings}:
        sections += [errors_section(good), curves_section(good), confusion_section(good), worst_boxes(good)]
    elif kinds == {PixelFindings}:
        sections += [confusion_section(good), worst_pixels(good)]
    sections += [*training_sections(runs), settings_section(runs), origin_section(runs)]
    missing = [(run.title, text) for run in runs for text in run.notes]
    missing += [(title, one) for title, one in zip(titles, found) if isinstance(one, str) and one]
    missing = [text if len(runs) == 1 else f'{title}: {text}' for title, text in missing]
    lead = [_tiles(runs), *_findings_in_short(good), *map(note, missing)]
    several = [f'{len(runs)} runs side by side'] if len(runs) > 1 else []
    return document(' · '.join(titles), ', '.join([*several, *_about(runs[0], len(runs) > 1)]), sections, lead)


def _about(run, several):
    entry = about(run)
    if entry.get('symbol') and not several:
        yield entry['symbol']
    if entry.get('data'):
        yield f'tested on {entry.get("images")} images of {entry["data"].get("set")}'


def _findings(run):
    """BoxFindings or PixelFindings, or a sentence why there are none ('' where another says so)."""
    if run.entry is None:
        return ''
    result = results_of(run)
    if isinstance(result, str):
        return result
    if isinstance(result.results, tuple):
        return findings.of_pixels(result)
    return findings.of_boxes(result)


def _tiles(runs):
    rows = []
    for run in runs:
        if run.entry is None:
            continue
        tiles = [_tile(*score) for score in main_scores(run.entry)]
        title = [element('p', run.title, class_='soft')] if len(runs) > 1 else []
        rows.append(element('div', joined([*title, element('div', joined(tiles), class_='tiles')])))
    return element('div', joined(rows), class_='rows')


def _tile(name, value, bounds):
    interval = f'{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}' if bounds else ''
    parts = [
        element('div', f'{100 * value:.1f}', class_='value'),
        element('div', name),
        element('div', interval, class_='soft'),
    ]
    return element('div', joined(parts), class_='tile')


def _findings_in_short(good):
    """A sentence on each run: what costs most, and its worst image."""
    for title, found in good:
        image = int(found.image_costs.argmax())
        record = found.tested.records[image]
        worst = joined(['the worst image is ', link(record['id'], '#worst'), '.'], '')
        name = [element('b', f'{title}:'), ' '] if len(good) > 1 else []
        if isinstance(found, BoxFindings):
            costs = error_kinds.costs(found.judged)
            kind = max((value, kind) for kind, value in costs.items() if kind in KIND_TEXTS)
            yield paragraph(
                *name,
                f'From a score of {found.threshold:.2f} up, where F1 is best, {100 * found.recall:.0f} % of the '
                f'objects are found and {100 * found.precision:.0f} % of the detections are right. Most is lost by '
                f'errors of the kind {kind[1]} ({100 * kind[0]:.1f} points of AP); ',
                worst,
            )
        else:
            off = found.confusion.sum() - found.confusion.diagonal().sum()
            share = 100 * off / max(1, found.confusion.sum())
            yield paragraph(*name, f'{share:.1f} % of the pixels are wrong; ', worst)
