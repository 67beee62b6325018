"""``dcn paper``: the published results, experiment and commands behind each, and how a finished run compares."""

import argparse
import sys
from typing import List, Optional

from dcn import ledger
from dcn.errors import UserError
from dcn.files import require_file
from dcn.paper.engines import engines_table
from dcn.paper.experiment import all_about
from dcn.paper.rows import rows
from dcn.paper.tables import entries_table, markdown, overview
from dcn.text import Parser, markdown_table, table


def main(argv: Optional[list] = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ['shapes']:
        from dcn.cli import paper_shapes

        return paper_shapes.main(argv[1:])
    args = parser().parse_args(argv)
    if args.ledger and args.engines:
        make = markdown_table if args.markdown else table
        print('\n'.join(engines_table(ledger.existing(args.ledger), make)))
    elif args.ledger and args.markdown:
        print('\n'.join(markdown(ledger.existing(args.ledger))))
    elif args.ledger:
        print('\n'.join(collected(args)))
    elif args.row is None:
        print('\n'.join(overview()))
    elif args.row not in rows():
        raise UserError(f'dcn paper {args.row}: no such row; expected one of {", ".join(rows())}.')
    else:
        print('\n'.join(all_about(rows()[args.row], args.output)))
    return 0


def collected(args: argparse.Namespace) -> List[str]:
    """Add the tests below --output to the ledger, write it, and return the lines of its table."""
    require_file(args.ledger, '--ledger')
    folder = args.output or 'output'
    entries = ledger.merged([*ledger.read(args.ledger), *ledger.below(folder)])
    if not entries:
        raise UserError(
            f'{args.ledger}: nothing to write: no scores.json of a test lies below {folder}; test with "dcn test", or '
            'give its output_path with --output.'
        )
    entries = ledger.write(args.ledger, entries)
    return [*entries_table(entries), '', f'{len(entries)} tests: {args.ledger}']


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog='dcn paper',
        description='Show the published results. With ROW, show the commands, data and weights behind one of them, and '
        'the scores of your run beside it, with their confidence interval. With --ledger, collect what made the scores '
        "of your tests into one file, and show it as a table. 'dcn paper shapes --help': the paper's ablations on the "
        'generated data set.',
    )
    made.add_argument('row', nargs='?', metavar='ROW', help='a name from the first column, such as rfcn-dcn-voc')
    made.add_argument(
        '--output',
        metavar='DIR',
        help="output_path of the run (default: the experiment file's; for --ledger: output)",
    )
    made.add_argument(
        '--ledger',
        metavar='FILE',
        help='add the tests that lie below --output to FILE (JSON lines, see dcn.ledger): settings, commit, data, '
        'engine, machine, command, scores and intervals of each',
    )
    made.add_argument(
        '--markdown', action='store_true', help='with --ledger: collect nothing, print the file as a table in Markdown'
    )
    made.add_argument(
        '--engines',
        action='store_true',
        help="with --ledger: collect nothing, compare the engines' scores over the seeds of the same experiment",
    )
    return made
