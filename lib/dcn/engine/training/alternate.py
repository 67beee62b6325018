"""Alternate training: RPN and detector take turns and end up on shared convolutions (Ren et al., NIPS 2015, 3.2).

    rpn1    region proposals, from the ImageNet model; then its proposals of training and test sets go to files
    rcnn1   detection on them, from the ImageNet model too
    rpn2    region proposals from rcnn1, whose shared layers stay as they are; then its proposals go to files
    rcnn2   detection on these from rcnn1, shared layers as they are
    final   the parameters of both, for testing as one network

A checkpoint to fine-tune takes the place of the ImageNet model, in rpn1 and in rcnn1.

Checkpoints <folder>/<stage>-NNNN.params and final-0000.params lie where training end to end has its own, proposals in
<folder>/<rpn stage>_data/. What is finished stands in alternate.json and is not repeated with --resume.
"""

import copy
import json
import os
from typing import List, NamedTuple, Optional

from easydict import EasyDict

from dcn import checkpoint
from dcn.checkpoint import store
from dcn.config import output_folder, symbol_class
from dcn.config.checks import DETECTION, check
from dcn.config.families import kind_of
from dcn.dataset.registry import split_image_sets
from dcn.engine.runtime.run_folder import claimed
from dcn.engine.tasks.proposals import RoisOnly, RpnOnly, write_proposals
from dcn.engine.training.options import TrainOptions
from dcn.engine.training.run import refuse_a_second_run, train_claimed
from dcn.engine.training.settings import check_settings, run_settings
from dcn.engine.training.start import Start, check_origin, check_start
from dcn.errors import UserError
from dcn.files import atomic_write, flush
from dcn.launch import environment
from dcn.symbols.network import input_names
from dcn.world import started_processes


class Stage(NamedTuple):
    """A stage and where it begins."""

    name: str
    key: str  # of its settings in TRAIN.ALTERNATE
    images: str  # key of its batch size there
    task: type
    start: Optional[str]  # the stage whose parameters it begins with and whose shared layers stay as they are
    proposals: Optional[str]  # the stage that made them


# the keys are the original's, which knew R-FCN alone
STAGES = (
    Stage('rpn1', 'rpn1', 'RPN_BATCH_IMAGES', RpnOnly, None, None),
    Stage('rcnn1', 'rfcn1', 'RCNN_BATCH_IMAGES', RoisOnly, None, 'rpn1'),
    Stage('rpn2', 'rpn2', 'RPN_BATCH_IMAGES', RpnOnly, 'rcnn1', None),
    Stage('rcnn2', 'rfcn2', 'RCNN_BATCH_IMAGES', RoisOnly, 'rcnn1', 'rpn2'),
)
FINAL = 'final'


def train_alternate(
    cfg: EasyDict,
    gpus: Optional[str] = None,
    options: TrainOptions = TrainOptions(),
    start: Optional[Start] = None,
) -> bool:
    """All stages. True when final-0000.params is written, False when it stopped with a checkpoint to resume from.

    start: a checkpoint to begin with, in the place of the ImageNet model; a run that is resumed needs the one that it
    began with, as long as rcnn1 has no checkpoint of its own. Signals and folders in use are as in dcn.engine.train.
    """
    check_alternate(cfg)
    if environment.member() or cfg.default.kvstore == 'dist_sync':
        raise UserError('alternate training is for one process: start it without dcn launch, with --kvstore device.')
    processes = started_processes()
    if processes > 1:
        raise UserError(
            f'torchrun started {processes} processes; alternate training is for one: start it without torchrun.'
        )
    with claimed(output_folder(cfg, cfg.dataset.image_set)):
        return _train_stages(cfg, gpus, options, start)


def to_begin_with(cfg: EasyDict) -> Optional[str]:
    """The path of the checkpoint with which rcnn1, of the run in the output folder of ``cfg``, has yet to begin."""
    path, folder = _progress_path(cfg), output_folder(cfg, cfg.dataset.image_set)
    if not os.path.isfile(path) or store.started(os.path.join(folder, 'rcnn1')):
        return None
    origin = _read(path)['from']
    return origin and origin['path']


def _train_stages(cfg, gpus, options, start):
    folder, left = output_folder(cfg, cfg.dataset.image_set), options.max_iterations
    progress = Progress(_progress_path(cfg), run_settings(cfg))
    if options.resume:
        progress.load()
        check_origin(start, progress.path, progress.began_with)
    else:
        if not options.overwrite:
            refuse_a_second_run(cfg, os.path.exists(progress.path))
        prefixes = [os.path.join(folder, stage.name) for stage in STAGES]
        check_start(cfg, (*prefixes, os.path.join(folder, FINAL)), start)
        if options.overwrite:  # data that cannot be read ends here, and loses nothing
            STAGES[0].task(stage_config(cfg, STAGES[0])).records()
        progress.start(prefixes, start and start.origin())
    for stage in STAGES:
        stage_cfg = stage_config(cfg, stage)
        prefix = checkpoint.checkpoint_prefix(stage_cfg)
        if stage.name not in progress.finished:
            before = _newest(prefix)
            print(f'alternate training, stage {stage.name}', flush=True)
            # what earlier runs left was forgotten at the start
            of_stage = options._replace(max_iterations=left, resume=before is not None, overwrite=True)
            begin = start if stage.start is None else None
            if before is None:
                check_origin(begin, progress.path, progress.began_with)
            if not train_claimed(stage_cfg, gpus, of_stage, stage.task(stage_cfg), begin):
                return False
            progress.finish(stage.name)
            if left is not None:
                left -= _newest(prefix).counters['update'] - (before.counters['update'] if before else 0)
                if left <= 0 and stage != STAGES[-1]:
                    print(f'stopped after stage {stage.name}; the same command with --resume continues here')
                    return False
        if stage.task is RpnOnly and f'{stage.name} proposals' not in progress.finished:
            for image_set in split_image_sets(cfg.dataset.image_set) + [cfg.dataset.test_image_set]:
                write_proposals(stage_config(cfg, stage, image_set), gpus)
            progress.finish(f'{stage.name} proposals')
    _write_final(folder)
    return True


def check_alternate(cfg: EasyDict) -> None:
    """Raise UserError where RPN and detector could not be trained in turns, or would not share what they should."""
    if kind_of(cfg) != 'detection':
        raise UserError(
            f'{cfg.name}: {cfg.symbol} is a network for {kind_of(cfg)}; alternate training is for detectors.'
        )
    network, fixed = symbol_class(cfg)(), cfg.network.FIXED_PARAMS_SHARED
    rpn, rcnn = (symbol.list_arguments() for symbol in (network.get_symbol_rpn(cfg), network.get_symbol_rcnn(cfg)))
    shared = [name for name in rpn if name in rcnn and name not in input_names(rpn)]
    free = [name for name in shared if not any(part in name for part in fixed)]
    if free:
        raise UserError(
            f'{cfg.name}: network.FIXED_PARAMS_SHARED leaves {len(free)} parameters to train that RPN and detector '
            f'share, such as {free[0]} and {free[-1]}; add parts of their names, for R-FCN and Faster R-CNN [conv1, '
            'bn_conv1, res2, bn2, res3, bn3, res4, bn4, gamma, beta], or train end to end.'
        )


def stage_config(cfg: EasyDict, stage: Stage, test_image_set: Optional[str] = None) -> EasyDict:
    """The configuration of one stage: that of the experiment with what TRAIN.ALTERNATE says of the stage.

    test_image_set: the one for which its newest checkpoint is to propose boxes.
    """
    cfg, given = copy.deepcopy(cfg), cfg.TRAIN.ALTERNATE
    train, folder = cfg.TRAIN, output_folder(cfg, cfg.dataset.image_set)
    train.lr = given[stage.key + '_lr'] or train.lr
    train.lr_step = given[stage.key + '_lr_step'] or train.lr_step
    train.end_epoch = given[stage.key + '_epoch'] or train.end_epoch
    train.BATCH_IMAGES = given[stage.images] or train.BATCH_IMAGES
    train.model_prefix, train.begin_epoch, train.RESUME, train.END2END = stage.name, 0, False, False
    if test_image_set:
        cfg.dataset.test_image_set = test_image_set
        cfg.TEST.test_epoch = _newest(checkpoint.checkpoint_prefix(cfg)).number
    cfg.dataset.proposal = 'rpn'
    cfg.dataset.proposal_path = os.path.join(folder, f'{stage.proposals or stage.name}_data')
    if stage.start:
        start = os.path.join(folder, stage.start)
        cfg.network.pretrained, cfg.network.pretrained_epoch = start, _number(start)
        cfg.network.FIXED_PARAMS = cfg.network.FIXED_PARAMS_SHARED
        # running statistics of shared layers would drift apart, which FIXED_PARAMS cannot prevent
        cfg.network.train_bn = False
    check(cfg, DETECTION, f'{cfg.name}, stage {stage.name}')
    return cfg


def final_config(cfg: EasyDict) -> EasyDict:
    """The configuration with which final-0000.params is tested."""
    cfg = copy.deepcopy(cfg)
    cfg.TRAIN.model_prefix, cfg.TEST.test_epoch, cfg.TEST.HAS_RPN = FINAL, 0, True
    return cfg


def _write_final(folder):
    paths = [_newest(os.path.join(folder, name)).params for name in ('rpn2', 'rcnn2')]
    final = checkpoint.params_path(os.path.join(folder, FINAL), 0)
    checkpoint.combine_model(*paths, final)
    flush(final)
    flush(folder)
    print(f'alternate training is finished: {final}')


def _newest(prefix):
    """The newest Checkpoint of a stage, under the number that it has as <prefix>-NNNN too, or None."""
    found = checkpoint.newest(prefix)
    if found is not None:
        store.publish(prefix, found)  # a kill may have come between the two
    return found


def _number(prefix):
    found = _newest(prefix)
    return 0 if found is None else found.number


def _progress_path(cfg):
    return os.path.join(output_folder(cfg, cfg.dataset.image_set), 'alternate.json')


class Progress:
    """What is finished, in the file ``path``; ``settings``: of the run, which resuming compares; ``began_with``: the
    Start.origin() of a run that began with a checkpoint."""

    def __init__(self, path: str, settings: dict):
        self.path, self.settings, self.finished = path, settings, []
        self.began_with: Optional[dict] = None

    def start(self, prefixes: List[str], began_with: Optional[dict]) -> None:
        """Begin anew: training states of an earlier run must not be taken up."""
        for prefix in prefixes:
            store.forget(store.mark(prefix))
        self.began_with = began_with
        self._write()

    def load(self) -> None:
        if not os.path.isfile(self.path):
            raise UserError(f'--resume: there is no {self.path} of an earlier run to resume; start without --resume.')
        stored = _read(self.path)
        check_settings(stored['settings'], self.settings, self.path)
        self.finished, self.began_with = stored['finished'], stored['from']

    def finish(self, name: str) -> None:
        self.finished.append(name)
        self._write()

    def _write(self):
        with atomic_write(self.path, 'w', durable=True) as stream:
            stored = {'settings': self.settings, 'from': self.began_with, 'finished': self.finished}
            json.dump(stored, stream, indent=1)


def _read(path):
    """What Progress writes; files of older versions have no "from"."""
    try:
        with open(path, encoding='utf-8') as stream:
            stored = json.load(stream)
        return {'settings': dict(stored['settings']), 'from': stored.get('from'), 'finished': list(stored['finished'])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f'{path}: expected what alternate training writes of its stages, found something else; start over with '
            '--overwrite, or with --run-name NAME.'
        ) from None
