"""What folders of runs hold: the log of training, what made the last scores, what was found in the test images."""

from __future__ import annotations

import glob
import os
import re
from typing import Any, NamedTuple, Sequence

from easydict import EasyDict

from dcn import history, ledger
from dcn.config.families import kind_of
from dcn.config.loading import from_difference
from dcn.dataset import get_imdb
from dcn.dataset.segmentation import get_segmentation
from dcn.engine.tasks.stored_results import load_counts, load_detections
from dcn.errors import UserError
from dcn.files import sha256

LONG = 30  # characters of a name that leave several no room beside each other
_FILES = ('scores.json', '*-training.jsonl')


class Run(NamedTuple):
    """One run; what is None was not found."""

    title: str
    folder: str
    training: history.Read | None  # the log of its training
    entry: ledger.Entry | None  # of its last test
    test_folder: str | None  # where that left its results
    notes: list[str]  # sentences on what is missing


class Tested(NamedTuple):
    """The data and results of a test."""

    cfg: EasyDict
    imdb: Any  # IMDB or SegmentationSet
    records: list[dict]
    folder: str  # where the results lie
    results: Any  # all_boxes[class][image] (k, 5), or the Counts of pixels by both rules


def find(paths: Sequence[str], output: str = 'output') -> list[Run]:
    """The runs that ``paths`` stand for: folders of runs, of several, or of a set within one, and checkpoints.

    output: where tests of a checkpoint that lies elsewhere are looked for.
    """
    found = [run for path in paths for run in (_of_checkpoint(path, output) if _is_checkpoint(path) else _below(path))]
    return [run._replace(title=title) for run, title in zip(found, _titles(found))]


def _is_checkpoint(path):
    return path.endswith('.params')


def _below(path):
    if not os.path.isdir(path):
        raise UserError(
            f'{path}: no such folder or checkpoint; give the folder of a run, such as output/rcnn/shapes/NAME.'
        )
    top = path
    if any(_matches(path)):  # of one set: what trained it and what tested it lie side by side
        top = os.path.dirname(os.path.abspath(path))
    folders = {
        os.path.dirname(os.path.dirname(file))
        for name in _FILES
        for file in glob.glob(os.path.join(glob.escape(top), '**', name), recursive=True)
        if os.path.basename(os.path.dirname(file)) != 'rpn_data'
    }
    if not folders:
        raise UserError(
            f'{path}: no run lies here: neither NAME-training.jsonl of "dcn train" nor scores.json of "dcn test"; give '
            'its output folder, or train and test first.'
        )
    return [_of_folder(folder) for folder in sorted(folders)]


def _matches(folder):
    return [file for name in _FILES for file in glob.glob(os.path.join(glob.escape(folder), name))]


def _of_folder(folder):
    tests = _newest(os.path.join(glob.escape(folder), '*', 'scores.json'))
    entry = ledger.read_entry(tests) if tests else None
    logs = _newest(os.path.join(glob.escape(folder), '*', '*-training.jsonl'))
    if entry:  # of several stages the one that was tested
        prefix = re.sub(r'-\d+\.params$', '', os.path.basename(entry.get('checkpoint') or ''))
        named = os.path.join(glob.escape(folder), '*', glob.escape(prefix))
        logs = _newest(history.history_path(named)) or logs
    return _run(folder, logs, entry, tests and os.path.dirname(tests))


def _of_checkpoint(path, output):
    if not os.path.isfile(path):
        raise UserError(f'{path}: no such checkpoint; give the path of a .params file, or the folder of a run.')
    digest, folder = sha256(path), os.path.dirname(os.path.abspath(path))
    places = [os.path.join(glob.escape(os.path.dirname(folder)), '*'), os.path.join(glob.escape(output), '**')]
    entry = tested = None
    passed_over = []  # what another has left there need not be the scores of a test
    for place in places:
        for file in sorted(glob.glob(os.path.join(place, '*scores.json'), recursive=True), key=os.path.getmtime):
            try:
                found = ledger.read_entry(file)
            except (UserError, OSError) as error:
                passed_over.append(str(error))
                continue
            if found.get('checkpoint_sha256') == digest:
                entry, tested = found, os.path.dirname(file)
    log = history.history_path(re.sub(r'-\d+\.params$', '', path))
    log = log if os.path.isfile(log) else None
    if entry is None and log is None:
        unread = f' ({"; ".join(passed_over)})' if passed_over else ''
        raise UserError(
            f'{path}: expected a test of this checkpoint below {output}, or the log of its training beside it, found '
            f'neither; test it first: dcn test --cfg FILE --params {path}{unread}'
        )
    run = _run(path, log, entry, tested)
    return [run if entry else run._replace(notes=[*run.notes, *passed_over])]


def _run(folder, log, entry, tested):
    notes = []
    if log is None:
        notes.append(
            'No log of its training: it was trained elsewhere, or before training wrote NAME-training.jsonl beside its '
            'checkpoints.'
        )
    if entry is None:
        notes.append('It has not been tested: "dcn test --cfg FILE" gives scores, errors and the worst images.')
    training = history.read(log) if log else None
    return Run(os.path.basename(os.path.normpath(folder)), folder, training, entry, tested, notes)


def _newest(pattern):
    found = sorted(glob.glob(pattern), key=os.path.getmtime)
    return found[-1] if found else None


def _titles(runs):
    """A name for each run, as short as they differ: configuration, else the last parts of the path. Where names are
    long, what all of them begin with is left out."""
    names = [
        (run.entry or (run.training and run.training.runs and run.training.runs[-1]) or {}).get('cfg') for run in runs
    ]
    names = [name or run.title for name, run in zip(names, runs)]
    if len(set(names)) == len(names):
        return _without_beginning(names) if len(names) > 1 and max(map(len, names)) > LONG else names
    paths = [os.path.normpath(run.folder).split(os.sep) for run in runs]
    depth = next((d for d in range(1, 9) if len({tuple(p[-d:]) for p in paths}) == len(paths)), 9)
    return ['/'.join(path[-depth:]) for path in paths]


def _without_beginning(names):
    """What follows the last _ or - of what all ``names`` begin with."""
    common = re.match('(.*[_-])?', os.path.commonprefix(names)).end()
    return [name[common:] for name in names] if min(map(len, names)) > common else names


def about(run: Run) -> dict[str, Any]:
    """What its test tells of a run, else the last start of its training, else nothing."""
    return run.entry or (run.training.runs[-1] if run.training and run.training.runs else {})


def results_of(run: Run) -> Tested | str:
    """Data and results of the last test of a run; a sentence where they are not what that test left."""
    entry = run.entry
    if not (entry.get('results') and entry.get('difference')):
        return 'This test kept no results of single images; "dcn test" again writes them.'
    path, key = os.path.join(run.test_folder, entry['results']['file']), entry['results']['key']
    results = (load_detections if path.endswith('_detections.npz') else load_counts)(path, key)
    if results is None:
        return f'{path} is gone, damaged or of another test than the scores; "dcn test" again writes both.'
    cfg = from_difference(entry['difference'], os.path.join(run.test_folder, 'scores.json'))
    try:
        if kind_of(cfg) == 'detection':
            imdb = get_imdb(cfg, cfg.dataset.test_image_set)
            records = imdb.gt_roidb()
        else:
            imdb = get_segmentation(cfg, cfg.dataset.test_image_set)
            records = imdb.gt_segdb()
    except (UserError, OSError) as error:
        return f'The test images cannot be read, so that nothing can be said about single ones: {error}'
    if len(records) != entry.get('images'):
        return f'{imdb.name} has {len(records)} images now, {entry.get("images")} were tested; "dcn test" again.'
    return Tested(cfg, imdb, records, run.test_folder, results)
