"""What `dcn validate` finds: every fault of a data set in one list, with file, line and what to do, and its statistics.

What is asked of the files is the data set's own affair: see dcn.dataset.checks. Where nothing is wrong with the files,
the records are made as training makes them, so that what stops training is found here.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, List, NamedTuple

from dcn.config.families import kind_of
from dcn.dataset.checks import Statistics
from dcn.dataset.factory import training_roidb
from dcn.dataset.problems import DataError, Problem, at
from dcn.dataset.registry import class_difference, get_data_set, split_image_sets
from dcn.dataset.roidb import too_few
from dcn.dataset.segmentation import training_segdb
from dcn.errors import UserError
from dcn.evaluation.segmentation import IGNORED

Progress = Callable[[List[str]], Iterable[str]]


class Report(NamedTuple):
    """``statistics``: of the sets that can be read."""

    problems: list[Problem]
    statistics: list[Statistics]


def validate(cfg: Any, progress: Progress = iter) -> list[Problem]:
    """List of Problem (file, line, what, todo) over all training and test sets of ``cfg``; empty if all is well.

    Every image is decoded, which takes about 10 ms each; ``progress`` wraps the iterable of images (tqdm will do).
    """
    return examine(cfg, progress).problems


def examine(cfg: Any, progress: Progress = iter) -> Report:
    """As validate(), with the statistics of the sets."""
    sets, problems = _opened(cfg)
    for data in sets:
        fault = class_difference(data, sets[0])
        problems += [Problem('configuration', None, *fault)] if fault else []
    places: dict[tuple[str, str], str] = {}
    statistics = []
    for checks in [data.checks() for data in sets]:
        problems += checks.set_problems()
        listed = checks.places()
        problems += _listed_twice(listed, places)
        problems += checks.shared_files()
        for image_id in progress(list(dict.fromkeys(image_id for _, image_id, _, _ in listed))):
            problems += checks.image_problems(image_id)
        found = checks.statistics()
        statistics += [found] if found else []
    # an image in two sets would report its faults twice
    problems = list(dict.fromkeys(problems))
    return Report(problems or _training_problems(cfg, statistics), statistics)


def image_sets(cfg: Any) -> list[str]:
    """All sets of the configuration, each once, training first."""
    return list(dict.fromkeys(split_image_sets(cfg.dataset.image_set) + split_image_sets(cfg.dataset.test_image_set)))


def _opened(cfg):
    """(data sets, problems of those that cannot be opened)."""
    sets, problems = [], []
    for image_set in image_sets(cfg):
        try:
            sets.append(get_data_set(cfg, image_set))
        except DataError as error:
            problems.append(error.problem)
        except UserError as error:
            problems.append(_of_configuration(error))
    return sets, problems


def _training_problems(cfg, statistics):
    """What stops training although each file is good."""
    try:
        if kind_of(cfg) == 'segmentation':
            records = training_segdb(cfg)
            names = split_image_sets(cfg.dataset.image_set)
            learned = sum(sum(found.counts.values()) for found in statistics[: len(names)])
            classes = {name for found in statistics[: len(names)] for name, count in found.counts.items() if count}
            if statistics and len(classes) == 1 and len(records) > 1:
                what = f'every pixel of {cfg.dataset.image_set} that counts is {classes.pop()}'
                raise UserError(f'{what}; number the other classes in the label maps ({IGNORED} does not count)')
            if statistics and not learned:
                what = f'every pixel of {cfg.dataset.image_set} has the label {IGNORED}, so there is nothing to learn'
                raise UserError(f'{what}; number the classes from 0 in the label maps')
        else:
            records = training_roidb(cfg)
        few = too_few(len(records), cfg.TRAIN.get('BATCH_IMAGES', 1))
        if few:
            raise UserError(few)
    except DataError as error:
        return [error.problem]
    except UserError as error:
        return [_of_configuration(error)]
    return []


def _of_configuration(error: UserError) -> Problem:
    what, _, todo = str(error).partition('; ')
    return Problem('configuration', None, what, todo or 'correct the configuration')


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
