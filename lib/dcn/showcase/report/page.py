"""The page of ``dcn report``: what one run did, or what several did side by side; one file that works offline."""

from __future__ import annotations

import math
from typing import Any, Iterator, Sequence

import numpy as np

from dcn import history
from dcn.config.loading import flat, from_difference
from dcn.evaluation import bootstrap, box_confusion, error_kinds
from dcn.ledger import PLACES
from dcn.showcase.report import findings
from dcn.showcase.report.findings import BoxFindings, PixelFindings
from dcn.showcase.report.runs import Run, about, results_of
from dcn.webpage import charts
from dcn.webpage.document import (
    Html,
    Section,
    code,
    document,
    element,
    facts,
    figure,
    folded,
    gallery,
    heading,
    joined,
    link,
    listing,
    note,
    paragraph,
    table,
    warning,
)
from dcn.webpage.document import write as write_page
from dcn.webpage.pictures import picture

WORST, EXAMPLES = 20, 4
CHART = dict(width=400, height=220, legend=False)
POINTS = 300  # of a line: more are averaged
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
PART_TEXTS = {
    'data': 'waiting for batches',
    'forward': 'until the outputs are there',
    'backward': 'until the gradients are there',
    'update': 'handing over the update',
    'save': 'writing checkpoints',
    'rest': 'metrics, logs',
}


def write_report(path: str, runs: Sequence[Run]) -> str:
    """Write the page of one or several runs; returns the path."""
    return write_page(path, report(runs))


def report(runs: Sequence[Run]) -> str:
    """The page as text."""
    found = [_findings(run) for run in runs]
    titles = [run.title for run in runs]
    good = [(title, one) for title, one in zip(titles, found) if not isinstance(one, str)]
    kinds = {type(one) for _, one in good}
    sections = [_scores(runs, good)] if any(run.entry for run in runs) else []
    if kinds == {BoxFindings}:
        sections += [_errors(good), _curves(good), _confusion(good), _worst_boxes(good)]
    elif kinds == {PixelFindings}:
        sections += [_confusion(good), _worst_pixels(good)]
    sections += [*_training(runs), _settings(runs), _origin(runs)]
    missing = [(run.title, text) for run in runs for text in run.notes]
    missing += [(title, one) for title, one in zip(titles, found) if isinstance(one, str) and one]
    missing = [text if len(runs) == 1 else f'{title}: {text}' for title, text in missing]
    lead = [_tiles(runs), *_findings_in_short(good), *map(note, missing)]
    several = [f'{len(runs)} runs side by side'] if len(runs) > 1 else []
    return document(' · '.join(titles), ', '.join([*several, *_about(runs[0], len(runs) > 1)]), sections, lead)


def _about(run, several):
    entry = about(run)
    if 'symbol' in entry and not several:
        yield entry['symbol']
    if 'data' in entry:
        yield f'tested on {entry["images"]} images of {entry["data"]["set"]}'


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


# ---- the beginning of the page ----


def _main_scores(entry, most=3):
    """[(name, score, bounds or None)] of the scores that matter most."""
    intervals = (entry.get('interval') or {}).get('scores', {})
    means = [name for name, value in entry['scores'].items() if isinstance(value, (int, float))]
    names = [name for name in intervals if name in means] or means
    return [(name, entry['scores'][name], intervals.get(name)) for name in names[:most]]


def _tiles(runs):
    rows = []
    for run in runs:
        if run.entry is None:
            continue
        tiles = [_tile(*score) for score in _main_scores(run.entry)]
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


# ---- scores ----


def _scores(runs, good):
    entries = [run.entry for run in runs]
    names = [name for entry in entries if entry for name, _, _ in _main_scores(entry, 20)]
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
    interval = [element('span', f' {_points(bounds[0])}–{_points(bounds[1])}', class_='soft')] if bounds else []
    return joined([_points(value), *interval], '')


def _difference(values):
    if len(values) != 2:
        return []
    return ['' if None in values else _change(values[1] - values[0])]


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
        text = f'{_change(bounds[0])} to {_change(bounds[1])}' if bounds else ''
        rows.append([name, *map(_points, values), *_difference(values), text])
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
            rows.append([name, *('' if v is None else _points(v) for v in row), *_difference(row)])
        if len(runs) == 1:
            rows.sort(key=lambda row: float(row[1] or 'inf'))
        head = ['class', *(run.title for run in runs), *(['difference'] if len(runs) == 2 else [])]
        content = table(head if len(runs) > 1 else ['class', key], rows, range(1, len(runs) + 2))
        yield folded(f'{key.replace(" per class", "")} of each class', content)


# ---- errors of detectors ----


def _errors(good):
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


def _curves(good):
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
        *_keys(good),
        gallery(charts_shown[:12], 260),
    ]
    if len(charts_shown) > 12:
        parts.append(folded(f'{len(charts_shown) - 12} more classes', gallery(charts_shown[12:], 260)))
    return Section('Precision and recall', 'curves', parts)


def _keys(named):
    """The colours of several runs."""
    return [charts.keys([title for title, _ in named])] if len(named) > 1 else []


def _thinned(x, y):
    """At most POINTS of a curve, its corners kept as well as that allows."""
    if len(x) <= POINTS:
        return x, y
    rows = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int))
    return x[rows], y[rows]


def _confusion(good):
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


# ---- images ----


def _same_images(good):
    return [pair for pair in good if pair[1].tested.imdb.image_ids == good[0][1].tested.imdb.image_ids]


def _worst_boxes(good):
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


def _worst_pixels(good):
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


# ---- training ----


def _training(runs) -> Iterator[Section]:
    logged = [(run.title, run.training) for run in runs if run.training and run.training.records]
    if not logged:
        return
    names = list(dict.fromkeys(name for _, log in logged for name in log.records[-1]['metrics']))
    shown = [_chart(logged, name, lambda record, name=name: record['metrics'].get(name)) for name in names]
    shown += [
        _chart(logged, 'learning rate', lambda record: record['lr']),
        _chart(logged, 'images a second', lambda record: record['images_per_second'], zero=True),
        _chart(logged, 'memory, MB', lambda record: record['memory'].get('process'), zero=True),
    ]
    if any('gpu' in record['memory'] for _, log in logged for record in log.records):
        shown.append(_chart(logged, 'GPU memory, MB', lambda record: record['memory'].get('gpu'), zero=True))
    parts = [*_keys(logged), gallery(shown, 300), heading('Where the time went'), *_time(logged)]
    starts = [
        f'{title}: {len(log.runs)} starts, at updates {", ".join(str(start["update"]) for start in log.runs)}'
        for title, log in logged
        if len(log.runs) > 1
    ]
    yield Section('Training', 'training', [*map(note, starts), *parts])


def _chart(logged, name, value, zero=False):
    series = [
        charts.Series(title if len(logged) > 1 else name, *_averaged(log.records, value)) for title, log in logged
    ]
    most = max((v for one in series for v in one.y if math.isfinite(v)), default=1.0)
    chart = charts.lines(series, 'iteration', '', y_range=(0, most * 1.08 or 1.0) if zero else None, **CHART)
    ends = [one.y[-1] for one in series if len(one.y)]
    return figure(chart, f'{name}: {", ".join(f"{end:.4g}" for end in ends)} at the end')


def _averaged(records, value):
    """Iterations and values; of many neighbours the mean."""
    pairs = [(record['iteration'], value(record)) for record in records]
    table_of = np.array([(x, np.nan if y is None else y) for x, y in pairs], float)
    if len(table_of) <= POINTS:
        return table_of[:, 0], table_of[:, 1]
    parts = np.array_split(table_of, POINTS)
    with np.errstate(invalid='ignore'):
        return np.array([p[-1, 0] for p in parts]), np.array([p[:, 1].mean() for p in parts])


def _time(logged):
    sums = [{part: sum(r['time'][part] for r in log.records) for part in history.PARTS} for _, log in logged]
    updates = [log.records[-1]['iteration'] - log.runs[0].get('update', 0) for _, log in logged]
    labels = [title if len(logged) > 1 else '' for title, _ in logged]
    yield figure(charts.shares([(label, list(part.values())) for label, part in zip(labels, sums)], history.PARTS))
    rows = [
        [part, *(f'{1000 * s[part] / max(1, count):.1f}' for s, count in zip(sums, updates)), PART_TEXTS[part]]
        for part in history.PARTS
    ]
    rows.append(['all', *(f'{1000 * sum(s.values()) / max(1, n):.1f}' for s, n in zip(sums, updates)), ''])
    names = [title if len(logged) > 1 else 'ms an update' for title, _ in logged]
    yield table(['', *names, ''], rows, range(1, len(logged) + 1))
    yield note(
        'Milliseconds of wall-clock time for each update. MXNet computes in threads of its own: an update runs along '
        'with what follows and shows as forward of the next batch; nothing was made to wait for the sake of these '
        'figures (docs/training.md).'
    )


# ---- settings and origin ----


def _settings(runs):
    """Where the runs' settings are not the defaults, or not each other's."""
    differences = [_difference_of(run) for run in runs]
    if not any(differences):
        return Section('Settings', 'settings', [paragraph('Nothing tells the settings of this run.')])
    default = {}
    for difference in differences:
        if 'symbol' in difference:
            default.update(flat(from_difference({'symbol': difference['symbol']}, 'default')))
    equal, differing = [], []
    for key in sorted({key for difference in differences for key in difference} - set(PLACES)):
        values = [difference.get(key, default.get(key)) for difference in differences]
        row = [code(key), *(_value(value) for value in values), _value(default.get(key))]
        (equal if len({str(value) for value in values}) == 1 else differing).append(row)
    head = ['key', *(run.title if len(runs) > 1 else 'this run' for run in runs), 'default']
    text = 'Settings that are not the defaults of the family (docs/keys.md tells all).'
    if len(runs) == 1:
        return Section('Settings', 'settings', [paragraph(text), table(head, equal)])
    parts = [
        table(head, differing, marked=range(len(differing))) if differing else paragraph('No setting differs.'),
        folded(f'{len(equal)} settings that are equal, but not the defaults', table(head, equal)),
    ]
    return Section('Settings', 'settings', [paragraph('What differs between the runs.'), *parts])


def _difference_of(run):
    return about(run).get('difference', {})


def _value(value):
    return element('span', 'none' if value is None else str(value), class_='value')


def _origin(runs):
    parts = []
    for run in runs:
        parts += [heading(run.title)] if len(runs) > 1 else []
        if run.entry:
            parts += [heading('Test'), facts(_facts(run.entry)), listing(run.entry.get('command', ''))]
        if run.training and run.training.runs:
            last = run.training.runs[-1]
            done = run.training.records[-1]['iteration'] if run.training.records else last['update']
            length = [
                ('updates', f'{done} of {last["end_update"]}'),
                ('images', f'{last["images"]}, {last["batch_images"]} a batch'),
            ]
            parts += [heading('Training'), facts([*length, *_facts(last)]), listing(last.get('command', ''))]
    return Section('Where it comes from', 'origin', parts or [paragraph('Nothing is known.')])


def _facts(entry) -> Iterator[tuple[str, Any]]:
    engine, project, machine, data = (entry.get(part) or {} for part in ('engine', 'project', 'machine', 'data'))
    for name, value in (
        ('when', entry.get('tested') or entry.get('started')),
        ('checkpoint', entry.get('checkpoint')),
        ('its SHA-256', entry.get('checkpoint_sha256')),
        ('seed', entry.get('seed')),
        ('data', data and f'{data["set"]}, {data["images"]} images, {data["objects"] or "no"} boxes'),
        ('its SHA-256', data.get('sha256')),
        ('settings, SHA-256', entry.get('config_sha256')),
        (
            'engine',
            engine
            and f'{engine["name"]} {engine["version"]} on {", ".join(engine["devices"])}, operators: '
            f'{engine["operators"]}',
        ),
        (
            'project',
            project
            and f'{project["version"]}, commit {project["commit"] or "unknown"}'
            + (' with changed files' if project.get('changed') else ''),
        ),
        (
            'machine',
            machine
            and f'{machine["processor"]}, {machine["cores"]} cores, OMP_NUM_THREADS {machine["threads"]}, '
            f'{machine["system"]}, Python {machine["python"]}',
        ),
    ):
        if value not in (None, '', {}):
            yield name, value


def _points(value):
    return '-' if value is None or not math.isfinite(value) else f'{100 * value:.1f}'


def _change(value):
    return f'{round(100 * value, 1) + 0.0:+.1f}' if math.isfinite(value) else '-'
