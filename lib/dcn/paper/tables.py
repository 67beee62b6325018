"""The published tables as text."""

import textwrap
from typing import Iterator, List

from dcn.paper.experiment import NOT_RUN
from dcn.paper.rows import Row, rows
from dcn.text import table


def overview() -> Iterator[str]:
    """The lines of all tables."""
    by_table = {}
    for row in rows().values():
        by_table.setdefault(row.table['id'], []).append(row)
    for found in by_table.values():
        yield f'{found[0].table["title"]}\n'
        yield from (networks_table if len(found[0].cells) > 1 else metrics_table)(found)
        yield ''
    sources = {row.table['source']: row.table['text'] for row in rows().values()}
    for name, text in sources.items():
        yield from textwrap.wrap(f'{name}: {text}.', 120)
    yield f"\nEvery row: {NOT_RUN}. 'dcn paper ROW' shows its commands and what they need."


def networks_table(found: List[Row]) -> List[str]:
    """Lines of a table whose rows have several networks: one column each, its metrics joined."""
    networks = list(dict.fromkeys(cell.network for row in found for cell in row.cells))
    metrics = dict.fromkeys(' / '.join(cell.published) for row in found for cell in row.cells)
    texts = [{cell.network: ' / '.join(map(str, cell.published.values())) for cell in row.cells} for row in found]
    body = [[row.id, row.title, *(text.get(network, '') for network in networks)] for row, text in zip(found, texts)]
    return table(['ROW', '; '.join(metrics), *networks], body, range(2, 2 + len(networks)))


def metrics_table(found: List[Row]) -> List[str]:
    """Lines of a table whose rows have one network: one column for each metric."""
    metrics = list(dict.fromkeys(metric for row in found for metric in row.cells[0].published))
    body = [
        [row.id, f'{row.cells[0].network}, {row.title}', *(cell.published.get(metric, '') for metric in metrics)]
        for row in found
        for cell in row.cells
    ]
    return table(['ROW', '', *metrics], body, range(2, 2 + len(metrics)))
