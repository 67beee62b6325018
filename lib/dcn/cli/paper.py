"""``dcn paper``: the published results, experiment and commands behind each, and how a finished run compares."""

import argparse
from typing import Optional

from dcn.errors import UserError
from dcn.paper.experiment import all_about
from dcn.paper.rows import rows
from dcn.paper.tables import overview


def main(argv: Optional[list] = None) -> None:
    args = parser().parse_args(argv)
    if args.row is None:
        print('\n'.join(overview()))
    elif args.row not in rows():
        raise UserError(f'dcn paper {args.row}: no such row; expected one of {", ".join(rows())}.')
    else:
        print('\n'.join(all_about(rows()[args.row], args.output)))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog='dcn paper',
        description='Show the published results. With ROW, show the commands, data and weights behind one of them, and '
        'the scores of your run beside it.',
    )
    made.add_argument('row', nargs='?', metavar='ROW', help='a name from the first column, such as rfcn-dcn-voc')
    made.add_argument('--output', metavar='DIR', help="output_path of the run (default: the experiment file's)")
    return made
