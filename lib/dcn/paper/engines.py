"""Tests of a ledger by engine: whether one engine's trainings score what the other's do, within the spread of seeds."""

from __future__ import annotations

import json
from typing import Callable, Sequence

from dcn.ledger import PLACES, Entry, means
from dcn.paper.orderings import spread
from dcn.text import table

# of the effective configuration: what may differ between trainings that are compared
_SEED, _ENGINE = 'TRAIN.seed', 'engine.'


def engines_table(entries: Sequence[Entry], make: Callable = table) -> list[str]:
    """Lines: for every network and metric the scores of each engine over its seeds. ``make``: dcn.text.table or
    markdown_table.

    Tests are of one row where all settings but seed, engine and places are equal. 'overlap': the ranges from lowest to
    highest do; else how many points lie between them.
    """
    entries = [entry for entry in entries if entry.get('engine')]  # older ones do not tell it
    engines = sorted({entry['engine']['name'] for entry in entries})
    rows: dict[tuple, list[Entry]] = {}
    for entry in entries:
        rows.setdefault((entry.get('symbol') or entry['cfg'], entry.get('updates'), _settings(entry)), []).append(entry)
    body = []
    for (symbol, updates, _), tests in sorted(rows.items(), key=lambda row: row[0][0]):
        for metric in means(tests[0]):
            scores = {engine: _points(tests, engine, metric) for engine in engines}
            body.append([symbol, updates, metric, *_cells(scores.values()), _apart(list(scores.values()))])
    columns = [text for engine in engines for text in (f'{engine}: mean (lowest to highest)', 'seeds')]
    return make(['NETWORK', 'updates', 'metric', *columns, 'ranges'], body, range(3, 3 + len(columns)))


def _settings(entry):
    left_out = (_SEED, *PLACES)
    kept = {k: v for k, v in (entry.get('difference') or {}).items() if k not in left_out and not k.startswith(_ENGINE)}
    return json.dumps(kept, sort_keys=True)


def _points(tests, engine, metric):
    return [
        100 * test['scores'][metric] for test in tests if test['engine']['name'] == engine and metric in test['scores']
    ]


def _cells(scores):
    return [text for values in scores for text in (spread(values), len(values))]


def _apart(scores):
    if len(scores) < 2 or not all(scores):
        return ''
    between = max(map(min, scores)) - min(map(max, scores))
    return 'overlap' if between <= 0 else f'{between:.1f} apart'
