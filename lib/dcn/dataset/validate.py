"""`dcn validate`: every fault of a data set in one list, with file, line and what to do, before training finds one.

What is asked of the files is the data set's own affair: see dcn.dataset.checks.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable

from dcn.dataset.problems import DataError, Problem, at
from dcn.dataset.registry import class_difference, get_data_set, split_image_sets
from dcn.errors import UserError


def validate(cfg: Any, progress: Callable[[list[str]], Iterable[str]] = iter) -> list[Problem]:
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
    for image_set in image_sets(cfg):
        try:
            sets.append(get_data_set(cfg, image_set))
        except DataError as error:
            problems.append(error.problem)
        except UserError as error:
            problems.append(Problem('configuration', None, *_halves(str(error))))
    return sets, problems


def image_sets(cfg: Any) -> list[str]:
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
