"""`dcn validate`: every fault of a data set in one list, with file, line and what to do, before training finds one.

What is asked of the files is the data set's own affair: see dcn.dataset.checks.
"""

import argparse
import functools

from tqdm import tqdm

from dcn.config import load_config
from dcn.config.overriding import override_argument
from dcn.dataset.factory import class_difference, get_data_set, split_image_sets
from dcn.dataset.problems import DataError, Problem, at
from dcn.errors import UserError


def validate(cfg, progress=iter):
    """List of Problem (file, line, what, todo) over all training and test sets of ``cfg``; empty if all is well.

    Every image is decoded, which takes about 10 ms each; ``progress`` wraps the iterable of images (tqdm will do).
    """
    sets, problems = _opened(cfg)
    for data in sets:
        fault = class_difference(data, sets[0])
        problems += [Problem('configuration', None, *fault)] if fault else []
    places = {}
    for checks in [data.checks() for data in sets]:
        problems += checks.set_problems()
        listed = checks.places()
        problems += _listed_twice(listed, places)
        for image_id in progress(list(dict.fromkeys(image_id for _, image_id, _, _ in listed))):
            problems += checks.image_problems(image_id)
    # an image in two sets would report its faults twice
    return list(dict.fromkeys(problems))


def _opened(cfg):
    """(data sets, problems of those that cannot be opened)."""
    sets, problems = [], []
    for image_set in _image_sets(cfg):
        try:
            sets.append(get_data_set(cfg, image_set))
        except DataError as error:
            problems.append(error.problem)
        except UserError as error:
            problems.append(Problem('configuration', None, *_halves(str(error))))
    return sets, problems


def main(argv=None):
    """``dcn validate``: prints one problem a line; status 1 if there are any."""
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
    sets = ' and '.join(_image_sets(cfg))
    print(f'{len(problems)} problem{"s" * (len(problems) != 1)} in {cfg.dataset.dataset} {sets}')
    return 1 if problems else 0


def _image_sets(cfg):
    """All sets of the configuration, each once, training first."""
    return list(dict.fromkeys(split_image_sets(cfg.dataset.image_set) + split_image_sets(cfg.dataset.test_image_set)))


def _halves(message):
    what, _, todo = message.partition('; ')
    return what, todo or 'correct the configuration'


def _listed_twice(listed, places):
    """Images listed twice, in one list or in two. ``places``: (folder, id) -> 'list:line', filled here."""
    problems = []
    for folder, image_id, file, line in listed:
        first = places.setdefault((folder, image_id), at(file, line))
        if first != at(file, line):
            problems.append(
                Problem(file, line, f'the id {image_id!r} is listed already at {first}', 'keep one of the two')
            )
    return problems
