"""The course of trainings on the page of ``dcn report``, their settings, and where runs come from."""

from __future__ import annotations

import math
from typing import Any, Iterator, Sequence

import numpy as np

from dcn import history
from dcn.config.loading import flat, from_difference
from dcn.ledger import PLACES
from dcn.showcase.report.runs import Run, about
from dcn.showcase.report.score_text import POINTS, run_keys
from dcn.webpage import charts
from dcn.webpage.document import (
    Section,
    code,
    element,
    facts,
    figure,
    folded,
    gallery,
    heading,
    listing,
    note,
    paragraph,
    table,
)

CHART = dict(width=400, height=220, legend=False)
PART_TEXTS = {
    'data': 'waiting for batches',
    'forward': 'until the outputs are there',
    'backward': 'until the gradients are there',
    'update': 'handing over the update',
    'save': 'writing checkpoints',
    'rest': 'metrics, logs',
}


def training_sections(runs: Sequence[Run]) -> Iterator[Section]:
    """Losses, metrics, learning rate, speed and memory over iterations, and where the time went; none without a log."""
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
    parts = [*run_keys(logged), gallery(shown, 300), heading('Where the time went'), *_time(logged)]
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


def settings_section(runs: Sequence[Run]) -> Section:
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


def origin_section(runs: Sequence[Run]) -> Section:
    """What made each run: configuration, commit, data, engine, machine, command."""
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
        ('data', data and f'{data.get("set")}, {data.get("images")} images, {data.get("objects") or "no"} boxes'),
        ('its SHA-256', data.get('sha256')),
        ('settings, SHA-256', entry.get('config_sha256')),
        (
            'engine',
            engine
            and f'{engine.get("name")} {engine.get("version")} on {", ".join(engine.get("devices", []))}, operators: '
            f'{engine.get("operators")}',
        ),
        (
            'project',
            project
            and f'{project.get("version")}, commit {project.get("commit") or "unknown"}'
            + (' with changed files' if project.get('changed') else ''),
        ),
        (
            'machine',
            machine
            and f'{machine.get("processor")}, {machine.get("cores")} cores, OMP_NUM_THREADS {machine.get("threads")}, '
            f'{machine.get("system")}, Python {machine.get("python")}',
        ),
    ):
        if value not in (None, '', {}):
            yield name, value
