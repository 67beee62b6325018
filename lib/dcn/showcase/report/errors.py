"""What networks get wrong, on the page of ``dcn report``: kinds of errors, confusion, the worst images."""

from __future__ import annotations

import numpy as np

from dcn.evaluation import error_kinds
from dcn.showcase.report import findings
from dcn.showcase.report.findings import BoxFindings, Titled
from dcn.webpage import charts
from dcn.webpage.document import (
    Html,
    Section,
    figure,
    folded,
    gallery,
    heading,
    joined,
    note,
    paragraph,
    table,
    warning,
)
from dcn.webpage.pictures import picture

WORST, EXAMPLES = 20, 4
MANY_CLASSES = 25  # beyond it a confusion matrix gives way to a list
TIDE = Html(
    'Bolya, Foley, Hays and Hoffman, <a href="https://arxiv.org/abs/2008.08115">TIDE: A General Toolbox for '
    'Identifying Object Detection Errors</a>, ECCV 2020.'
)
KIND_TEXTS = {
    'classification': 'on an object (IoU 0.5 or more), but of another class',
    'localization': 'the right class, but IoU between 0.1 and 0.5',
    'both': 'another class, and IoU between 0.1 and 0.5',
    'duplicate': 'right, but a better detection has the object already',
    'background': 'IoU of 0.1 or less with every object',
    'missed': 'objects that nothing found, nor any of the first two kinds points at',
}


def errors_section(good: Titled) -> Section:
    """What each kind of error costs a detector (TIDE), with examples."""
    names = [title for title, _ in good]
    costs = [error_kinds.costs(found.judged) for _, found in good]
    counts = [found.judged.counts() for _, found in good]
    chart = charts.bars([(kind, [100 * cost[kind] for cost in costs]) for kind in costs[0]], names, width=440)
    rows = [[kind, *(count[kind] for count in counts), text] for kind, text in KIND_TEXTS.items()]
    parts = [
        paragraph(
            'How much AP at IoU 0.5 would rise, in points, if all errors of a kind were mended and nothing else. False '
            'positives: all false detections ranked last. False negatives: all objects that were not found no longer '
            'asked for. Kinds and measure are those of ',
            TIDE,
        ),
        figure(chart),
        folded(
            'How many errors of each kind there are, and what it is',
            table(['kind', *names, 'a detection that is'], rows, range(1, len(names) + 1)),
            note('Down to the lowest score that the test kept: most of these have scores that nobody would show.'),
        ),
    ]
    title, found = good[-1]
    for kind in KIND_TEXTS:
        shown = findings.examples(found, kind, EXAMPLES)
        if shown:
            of_run = f' ({title})' if len(good) > 1 else ''
            parts.append(
                folded(
                    f'{kind.capitalize()}: the {"largest" if kind == "missed" else "surest"}{of_run}',
                    gallery((figure(picture(image, text, 80), text) for image, text in shown), 220),
                )
            )
    return Section('Errors', 'errors', parts)


def confusion_section(good: Titled) -> Section:
    """Which class is taken for which: boxes with the background, or pixels."""
    parts = []
    for title, found in good:
        boxes = isinstance(found, BoxFindings)
        names = list(found.tested.imdb.classes)
        if boxes:
            names[0] = 'background'
        parts += [heading(title)] if len(good) > 1 else []
        share = found.confusion / np.maximum(found.confusion.sum(axis=1, keepdims=True), 1)
        if len(names) > MANY_CLASSES:
            parts.append(_most_confused(names, found.confusion, share))
        else:
            parts.append(
                charts.matrix(names, names, share, _matrix_texts(found.confusion, share, boxes), 'truth \\ found')
            )
    text = (
        'Rows: what is there; columns: what was found. Detections from the score up at which F1 is best '
        f'({", ".join(f"{found.threshold:.2f}" for _, found in good)}) and objects are paired one to one whatever '
        'their classes, the largest IoU first, from 0.5 up. The column background holds objects that got no partner, '
        'the row background such detections. The tint is the share of the row.'
        if isinstance(good[0][1], BoxFindings)
        else 'Pixels: rows truth, columns prediction, in percent of the row.'
    )
    return Section('Confusion', 'confusion', [paragraph(text), *parts])


def _matrix_texts(matrix, share, boxes):
    if boxes:
        return [[str(value) if value else '' for value in row] for row in matrix.tolist()]
    return [[f'{100 * value:.1f}' if value >= 0.0005 else '' for value in row] for row in share.tolist()]


def _most_confused(names, matrix, share, most=25):
    off = matrix.astype(float) * (1 - np.eye(len(names)))
    order = np.argsort(-off, axis=None)[:most]
    pairs = [np.unravel_index(k, off.shape) for k in order if off.ravel()[k]]
    rows = [[names[r], names[c], matrix[r, c], f'{100 * share[r, c]:.1f} %'] for r, c in pairs]
    return table(['truth', 'found', 'how often', 'of this truth'], rows, (2, 3), 'the most frequent confusions')


def _same_images(good):
    return [pair for pair in good if pair[1].tested.imdb.image_ids == good[0][1].tested.imdb.image_ids]


def worst_boxes(good: Titled) -> Section:
    """The images that cost a detector most, with ground truth and detections."""
    good = _same_images(good)
    runs = [found for _, found in good]
    blocks = []
    for place, image in enumerate(findings.worst(runs, WORST), 1):
        record = runs[0].tested.records[image]
        figures = []
        for title, found in good:
            name = f'{title}: ' if len(good) > 1 else f'{place}. {record["id"]}: '
            text = name + (findings.what_is_wrong(found, image) or 'nothing wrong above this score')
            figures.append(figure(picture(findings.box_picture(found, image), text, 80), text))
        if len(good) > 1:
            blocks.append(joined([heading(f'{place}. {record["id"]}'), gallery(figures, 300)]))
        else:
            blocks += figures
    text = (
        f'The {WORST} images that cost most: for each object 1 minus the score of the detection that found it, for '
        'each false detection its score'
        + (', over all runs together' if len(good) > 1 else '')
        + '. Drawn are detections from the score up at which F1 is best; dashed lines are the ground truth.'
    )
    return Section('Worst images', 'worst', [paragraph(text), *(blocks if len(good) > 1 else [gallery(blocks, 300)])])


def worst_pixels(good: Titled) -> Section:
    """The images with the smallest mean IoU, with truth and prediction."""
    good = _same_images(good)
    runs, titles = [found for _, found in good], [title for title, _ in good]
    figures = []
    for place, image in enumerate(findings.worst(runs, WORST), 1):
        record = runs[0].tested.records[image]
        text = f'{place}. {record["id"]}: ' + '; '.join(
            (f'{title}: ' if len(good) > 1 else '') + findings.classes_wrong(found, image) for title, found in good
        )
        try:
            image_of = findings.pixel_picture(runs, titles if len(good) > 1 else ['prediction'], image)
        except (ValueError, OSError) as error:
            return Section('Worst images', 'worst', [warning(f'The result files cannot be read: {error}')])
        figures.append(figure(picture(image_of, text, 80), text))
    text = (
        f'The {WORST} images with the smallest mean IoU of the classes that are there or were found, counted in each '
        'image by itself; below each its classes with their IoU, the worst first.'
    )
    return Section('Worst images', 'worst', [paragraph(text), gallery(figures, 450)])
