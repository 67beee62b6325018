"""The table of all keys of a YAML file, from the schemas that loading checks files by."""

from __future__ import annotations

from typing import Any, Iterator, NamedTuple

from dcn.config.families import FAMILIES
from dcn.config.kinds import Schema


class Row(NamedTuple):
    """A key by its full name. default: as YAML, with both where the kinds of network differ; kinds: 'detection',
    'segmentation' or both."""

    name: str
    expected: str
    default: str
    meaning: str
    reader: str
    kinds: tuple[str, ...]


def rows() -> list[Row]:
    """All keys, in the order of the schemas."""
    found: dict[str, Row] = {}
    for kind, schema in {family.kind: family.schema for family in FAMILIES.values()}.items():
        for name, key in _flat(schema):
            row = Row(name, key.kind.expected, _yaml(key.default), key.meaning, key.reader, (kind,))
            if name in found:
                both = f'{found[name].default} ({found[name].kinds[0]}), {row.default} ({kind})'
                default = row.default if row.default == found[name].default else both
                row = found[name]._replace(default=default, kinds=(*found[name].kinds, kind))
            found[name] = row
    return list(found.values())


def markdown() -> str:
    """docs/keys.md."""
    lines = [
        '# Every key of an experiment file',
        '',
        'Written by `dcn keys --markdown` from the table that experiment files are checked against. A',
        "missing key has its default, which is the original's wherever the original has the key.",
        '`dcn keys NAME` shows single keys.',
    ]
    section = None
    for row in sorted(rows(), key=lambda row: _section(row.name)):
        if _section(row.name) != section:
            section = _section(row.name)
            lines += ['', f'## {section or "Top level"}', '', '| key | default | expected | meaning | read by |']
            lines += ['|---|---|---|---|---|']
        only = '' if len(row.kinds) > 1 else f' ({row.kinds[0]} alone)'
        default = f'`{row.default}`' if '(' not in row.default else row.default
        lines.append(f'| `{row.name}` | {default} | {row.expected} | {row.meaning} | {row.reader}{only} |')
    return '\n'.join(lines) + '\n'


def _section(name):
    return name.rpartition('.')[0]


def _flat(schema: Schema, prefix: str = '') -> Iterator[tuple[str, Any]]:
    for name, entry in schema.items():
        if isinstance(entry, dict):
            yield from _flat(entry, f'{prefix}{name}.')
        else:
            yield prefix + name, entry


def _yaml(value):
    if value is None or isinstance(value, bool):
        return {None: 'null', True: 'true', False: 'false'}[value]
    if isinstance(value, list):
        return f'[{", ".join(_yaml(item) for item in value)}]'
    return "''" if value == '' else str(value)
