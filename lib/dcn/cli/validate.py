"""`dcn validate`: prints what dcn.dataset.validate finds, one problem a line; status 1 if there is any."""

from __future__ import annotations

import functools
from typing import Sequence

import numpy as np
from tqdm import tqdm

from dcn.config import load_config
from dcn.config.overriding import override_argument
from dcn.dataset.checks import Statistics
from dcn.dataset.validate import examine, image_sets
from dcn.text import Parser, printable


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog='dcn validate',
        description='Check the training and test data of an experiment before training: '
        'broken boxes, missing or unreadable images, unknown classes, ids listed twice. One problem per line: '
        'file:line: what is wrong; what to do. Status 1 if there are problems.',
    )
    parser.add_argument('--cfg', required=True, metavar='YAML', help='experiment file; its dataset section is checked')
    override_argument(parser)
    args = parser.parse_args(argv)
    cfg = load_config(args.cfg, args.overrides)
    report = examine(cfg, functools.partial(tqdm, desc='checking', unit='image', disable=None, leave=False))
    for problem in report.problems:
        print(problem)
    for found in report.statistics:
        print('\n'.join(printable(line) for line in lines(found)))
    problems = report.problems
    sets = ' and '.join(image_sets(cfg))
    print(f'{len(problems)} problem{"s" * (len(problems) != 1)} in {cfg.dataset.dataset} {sets}')
    return 1 if problems else 0


def lines(found: Statistics) -> list[str]:
    """What is printed of the statistics of a set that can be read."""
    total = sum(found.counts.values())
    result = [f'{found.name}: images {len(found.sizes)} ({spread(found.sizes)} pixels), {found.unit} {total:,}']
    if len(found.shapes):
        result.append(f'  sides of boxes: {spread(found.shapes)} pixels')
    shares = [f'{name} {share(count, total, found.unit)}' for name, count in found.counts.items() if count]
    result += [f'  {found.unit} of each class: {", ".join(shares)}'] if shares else []
    absent = [name for name, count in found.counts.items() if not count]
    result += [f'  classes without {found.unit}: {", ".join(absent)}'] if absent else []
    result += [f'  left out by training: {count:,} {reason}' for reason, count in found.left_out.items()]
    return result


def spread(sizes: np.ndarray) -> str:
    """'500 x 375', or '10 x 8 to 500 x 375 (median 40 x 40)' of (n, 2) widths and heights."""
    low, middle, high = ([f'{value:.0f}' for value in np.quantile(sizes, q, axis=0)] for q in (0, 0.5, 1))
    if low == high:
        return ' x '.join(low)
    return f'{" x ".join(low)} to {" x ".join(high)} (median {" x ".join(middle)})'


def share(count: int, total: int, unit: str) -> str:
    """A count of objects; of pixels their share."""
    return f'{100 * count / total:.1f} %' if unit == 'pixels' else f'{count:,}'
