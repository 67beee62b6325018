"""`dcn validate`: prints what dcn.dataset.validate finds, one problem a line; status 1 if there is any."""

from __future__ import annotations

import argparse
import functools
from typing import Sequence

from tqdm import tqdm

from dcn.config import load_config
from dcn.config.overriding import override_argument
from dcn.dataset.validate import image_sets, validate


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog='dcn validate',
        description='Check the training and test data of an experiment before a network meets it: '
        'broken boxes, missing or unreadable images, unknown classes, ids listed twice. One problem a line: '
        'file:line: what is wrong; what to do. Status 1 if there are problems.',
    )
    parser.add_argument('--cfg', required=True, metavar='YAML', help='experiment file; its dataset section is checked')
    override_argument(parser)
    args = parser.parse_args(argv)
    cfg = load_config(args.cfg, args.overrides)
    problems = validate(cfg, functools.partial(tqdm, desc='checking', unit='image', disable=None, leave=False))
    for problem in problems:
        print(problem)
    sets = ' and '.join(image_sets(cfg))
    print(f'{len(problems)} problem{"s" * (len(problems) != 1)} in {cfg.dataset.dataset} {sets}')
    return 1 if problems else 0
