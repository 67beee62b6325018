"""The published tables, and those of a ledger, as text."""

import textwrap
from typing import Dict, Iterator, List, Sequence

from dcn.ledger import Entry, means
from dcn.paper.experiment import NOT_RUN, interval_text
from dcn.paper.rows import Row, rows
from dcn.text import markdown_table, table


def overview() -> Iterator[str]:
    """The lines of all tables."""
    by_table: Dict[str, List[Row]] = {}
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


LEDGER_HEAD = ('test', 'seed', 'updates', 'engine', 'data', 'score', 'points', 'interval', 'commit')


def entry_rows(entries: Sequence[Entry]) -> List[List[str]]:
    """Rows under LEDGER_HEAD: one for each mean of each test, of those with intervals if there are any; what is the
    same as in the row above is left out."""
    found = []
    for entry in entries:
        data, engine, project = (entry.get(part) or {} for part in ('data', 'engine', 'project'))
        about = [
            entry['cfg'],
            _text(entry.get('seed')),
            _text(entry.get('updates')),
            _text(engine.get('name')),
            f'{data.get("set", "")} ({entry.get("images")} images)',
        ]
        commit = (project.get('commit') or '')[:7] + ('+' if project.get('changed') else '')
        intervals = (entry.get('interval') or {}).get('scores', {})
        for number, (name, value) in enumerate(means(entry).items()):
            row = [name, f'{100 * value:.1f}', interval_text(intervals.get(name))]
            found.append([*(about if number == 0 else [''] * len(about)), *row, commit if number == 0 else ''])
    return found


def entries_table(entries: Sequence[Entry]) -> List[str]:
    """Lines of a table of the ledger's ``entries``; + after a commit: files differed from it."""
    return table(LEDGER_HEAD, entry_rows(entries), (1, 2, 6))


def markdown(entries: Sequence[Entry]) -> List[str]:
    """The same in Markdown."""
    return markdown_table(LEDGER_HEAD, entry_rows(entries))


def _text(value):
    return '' if value is None else str(value)
