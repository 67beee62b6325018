"""``dcn paper shapes``: the paper's ablations on the generated data set, trained here with several seeds."""

import argparse
import shlex
import signal
import sys
from typing import Iterable

from dcn import ledger
from dcn.cli.arguments import positive
from dcn.config.overriding import override_argument
from dcn.errors import UserError
from dcn.files import Inputs, atomic_write
from dcn.paper.ablation import chosen, finished
from dcn.paper.orderings import overview, run_list
from dcn.text import Parser, markdown_table

MARKS = ('<!-- tables of dcn paper shapes -->', '<!-- end of tables -->')


def main(argv: list) -> int:
    args = parser().parse_args(argv)
    _check(args)
    changes = args.overrides + ([f'output_path={args.output}'] if args.output else [])
    runs = chosen(args.only, args.seeds, changes)
    if args.dry_run:
        print('\n'.join(shlex.join(['dcn', *command]) for run in runs for command in run.commands()))
        return 0
    stored = ledger.read(args.ledger) if args.ledger else []
    tests, well = finished(runs, stored), True
    if args.list:
        print('\n'.join(run_list(runs, tests)))
        return 0
    if not args.table:
        print(f'{len(tests)} of {len(runs)} runs are finished', flush=True)
        well = _train([run for run in runs if run not in tests], args.jobs)
        tests = finished(runs, stored)
    if args.ledger:
        ledger.write(args.ledger, [*stored, *tests.values()])
    print('\n'.join(overview(runs, tests)))
    if args.page:
        write_page(args.page, overview(runs, tests, markdown_table))
    return 0 if well else 1


def _check(args):
    """What is written after hours of training is told now where that cannot be."""
    outputs = Inputs([])
    for path, name in ((args.ledger, '--ledger'), (args.page, '--page')):
        if path:
            outputs.output(path, name)
    if args.page:
        _parts(args.page)


def write_page(path: str, lines: Iterable[str]) -> None:
    """Put ``lines`` between the marks of a Markdown page, in the place of those that are there."""
    before, after = _parts(path)
    with atomic_write(path, 'w') as stream:
        stream.write('\n'.join([before + MARKS[0], '', *lines, '', MARKS[1] + after]))


def _parts(path):
    """What a page has before and after the marks."""
    with open(path, encoding='utf-8') as stream:
        before, begin, rest = stream.read().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (begin and end):
        raise UserError(f'{path}: expected a line "{MARKS[0]}" and after it a line "{MARKS[1]}"; add them.')
    return before, after


def _train(runs, jobs):
    from dcn.dataset.shapes.detection import complete
    from dcn.paper.training import train_all

    for root in dict.fromkeys(run.config().dataset.dataset_path for run in runs):
        complete(root)  # once, before trainings that would wait for each other
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the trainings are told
    try:
        return train_all(runs, jobs, lambda line: print(line, flush=True))
    finally:
        signal.signal(signal.SIGTERM, before)


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog='dcn paper shapes',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train small networks for the paper's tables 1 and 3 on the generated data set, several seeds each,"
        "\ntest them, and say which of the paper's orderings hold here. Runs that are finished are not done again;\n"
        'interrupted ones go on where they stopped.',
        epilog='All of them take a little over two hours of one core. In the background:\n'
        '  nohup nice dcn paper shapes > shapes.log 2>&1 &',
    )
    add = made.add_argument
    add('--only', nargs='+', default=[], metavar='ROW', help='some rows, such as rfcn-plain rfcn-conv3')
    add('--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='N', help='TRAIN.seed of the runs (default 0 1 2)')
    add('--jobs', type=positive, default=1, metavar='N', help='trainings at once, on one core each (default 1)')
    add('--output', metavar='DIR', help='folder of the runs (default: output_path of the experiment files)')
    override_argument(made)
    add('--ledger', metavar='FILE', help='JSON lines (see dcn.ledger): its tests count as well, and new ones are added')
    add(
        '--page',
        metavar='FILE',
        help=f'Markdown page: write the tables between its lines "{MARKS[0]}" and "{MARKS[1]}"',
    )
    what = made.add_mutually_exclusive_group()
    what.add_argument('--list', action='store_true', help='list the runs and their state; train nothing')
    what.add_argument('--dry-run', action='store_true', help='print the commands of the runs; train nothing')
    what.add_argument('--table', action='store_true', help='print the tables of what is finished; train nothing')
    return made
