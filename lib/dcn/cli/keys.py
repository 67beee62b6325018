"""`dcn keys`: what each key of an experiment file means."""

from __future__ import annotations

from typing import Sequence

from dcn.config.families import nearest, synonym
from dcn.config.keys import Row, markdown, rows
from dcn.errors import UserError
from dcn.text import Parser, table


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog='dcn keys',
        description='Show every key of an experiment file with its default and meaning; with NAME, the keys of that '
        'name or section in full.',
    )
    parser.add_argument('names', nargs='*', metavar='NAME', help='a key (lr, TRAIN.lr) or a section (TRAIN)')
    parser.add_argument('--markdown', action='store_true', help='print docs/keys.md')
    args = parser.parse_args(argv)
    if args.markdown:
        print(markdown(), end='')
    elif not args.names:
        print('\n'.join(table(('key', 'default', 'meaning'), [(r.name, r.default, r.meaning) for r in rows()])))
    else:
        print('\n\n'.join(described(row) for name in args.names for row in matching(name)))
    return 0


def matching(name: str) -> list[Row]:
    """The rows that ``name`` stands for; UserError with the nearest one where there is none."""
    known = rows()
    word = name.lower()
    found = [row for row in known if word in (row.name.lower(), row.name.rpartition('.')[2].lower())]
    found = found or [row for row in known if row.name.lower().startswith(word + '.')]
    if not found:
        names = [row.name for row in known]
        close = synonym(word.rpartition('.')[2], names) or nearest(word.rpartition('.')[2], names, 0)
        raise UserError(f'{name}: no key has this name; the nearest one is {close}.')
    return found


def described(row: Row) -> str:
    only = '' if len(row.kinds) > 1 else f'; {row.kinds[0]} networks alone have it'
    return '\n'.join(
        [
            row.name,
            f'  {row.meaning}',
            f'  expected: {row.expected}',
            f'  default:  {row.default}',
            f'  read by:  {row.reader}{only}',
        ]
    )
