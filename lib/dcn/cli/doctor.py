"""``dcn doctor``: which network a checkpoint is of, whether it is sound, and what to do with it."""

import argparse
import sys
from typing import Optional, Sequence

from dcn.cli import guarded
from dcn.config.overriding import override_argument
from dcn.errors import UserError
from dcn.inspection.checkpoint.diagnosis import examine
from dcn.inspection.render.diagnosis import report_json, report_lines
from dcn.inspection.sources import open_source
from dcn.text import Parser, printable


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parser().parse_args(argv)
    source = open_source(args.checkpoint)
    if source.params is None:
        raise UserError(
            f'{args.checkpoint}: expected a checkpoint (.params), found a network; '
            f'"dcn inspect {args.checkpoint}" shows it'
        )
    report = examine(source.params, args.checkpoint, args.cfg, args.overrides)
    lines = [report_json(report)] if args.json else map(printable, report_lines(args.checkpoint, report))
    print('\n'.join(lines))
    return 0 if report.sound else 1


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog='dcn doctor',
        description='Say which network a checkpoint belongs to, what is wrong with it and what to do with it. '
        'Exit status 1 if something is wrong.',
    )
    made.add_argument('checkpoint', metavar='CHECKPOINT', help='a .params file')
    made.add_argument('--cfg', metavar='YAML', help='check it against this experiment file, tensor by tensor')
    override_argument(made)
    made.add_argument(
        '--json', action='store_true', help='print the report as JSON: code, data, sentence of each finding'
    )
    return made


if __name__ == '__main__':
    sys.exit(guarded(main))
