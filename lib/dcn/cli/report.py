"""``dcn report``: a page of what a run did, or several side by side."""

from __future__ import annotations

import argparse
import os
from typing import Iterator, Sequence

from dcn.config.loading import load_config, output_folder
from dcn.errors import UserError
from dcn.files import Inputs
from dcn.text import Parser, printable


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    for run in args.runs:
        if run.lower().endswith(('.yaml', '.yml')):
            cfg = load_config(run)
            folder = output_folder(cfg, cfg.dataset.image_set)
            raise UserError(f'{run}: an experiment file; give the folder of its run: {os.path.dirname(folder)}')
    Inputs(_files(args.runs)).output(args.out, '--out')
    from dcn.showcase.report.page import write_report
    from dcn.showcase.report.runs import find

    runs = find(args.runs, args.tests)
    print(printable(f'report of {", ".join(run.title for run in runs)}: {write_report(args.out, runs)}'))
    return 0


def _files(runs: Sequence[str]) -> Iterator[str]:
    """What runs consist of, but for pages, which nobody reads here."""
    for run in runs:
        yield run
        for folder, _, names in os.walk(run):
            yield from (os.path.join(folder, name) for name in names if not name.endswith('.html'))


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog='dcn report',
        description='Write a page of what a run did: scores with their intervals, kinds of errors, precision and '
        'recall, confusions, the worst images, the course of training, settings. One file; it works offline. Several '
        'runs stand side by side.',
    )
    made.add_argument(
        'runs',
        nargs='+',
        metavar='RUN',
        help='folder of a run, such as output/rcnn/shapes/shapes_rcnn_end2end, or a checkpoint PREFIX-NNNN.params '
        'that "dcn test" has tested',
    )
    made.add_argument('--out', default='report.html', metavar='FILE', help='the page (default %(default)s)')
    made.add_argument(
        '--tests',
        default='output',
        metavar='DIR',
        help='where tests of a checkpoint that lies elsewhere are looked for (default %(default)s)',
    )
    return made
