"""The rows of the published tables, from results.yaml."""

import functools
import os
from typing import Dict, List, NamedTuple, Optional

import yaml

RESULTS = os.path.join(os.path.dirname(__file__), 'results.yaml')


class Cell(NamedTuple):
    """Numbers of one network, and the experiment behind them."""

    network: str
    published: dict  # {metric: points}
    file: Optional[str]  # experiment file; None where there is no command
    overrides: List[str]  # --set values
    gpus: Optional[str]  # --gpus other than the file's own
    why: Optional[str]  # there is no command


class Row(NamedTuple):
    """A row of a published table."""

    id: str  # its name here
    table: dict  # see results.yaml
    title: str  # what sets it apart
    cells: List[Cell]


@functools.lru_cache(maxsize=None)
def rows() -> Dict[str, Row]:
    """{name: Row} of all tables."""
    with open(RESULTS, encoding='utf-8') as stream:
        published = yaml.safe_load(stream)
    found = [_row(entry, whole, published['sources']) for whole in published['tables'] for entry in whole['rows']]
    return {row.id: row for row in found}


def _row(entry, whole, sources):
    whole = dict(whole, text=sources[whole['source']])
    cells = entry.get('cells') or {None: entry['numbers']}
    return Row(
        entry['id'],
        whole,
        entry['title'],
        [_cell(entry, whole, whole['columns'][name] if name else entry, numbers) for name, numbers in cells.items()],
    )


def _cell(entry, whole, column, numbers):
    published = dict(zip(column.get('metrics', whole['metrics']), numbers))
    why = entry.get('none') or column.get('none')
    if why:
        return Cell(column['network'], published, None, [], None, why)
    # variants of one experiment file must not take each other's place
    place = [f'output_path=./output/paper/{entry["id"]}'] if whole['source'] == 'paper' else []
    changes = entry.get('set', []) + (entry.get('detector_set', []) if column.get('pooling') else [])
    path = f'experiments/{column["file"]}'
    return Cell(column['network'], published, path, changes + place, column.get('gpus'), None)
