"""Training a network from its configuration: data, first parameters, the loop, checkpoints."""

import functools
import json
import logging
import os
import zlib
from typing import Optional

import numpy as np
from easydict import EasyDict

from dcn import checkpoint, ledger
from dcn.checkpoint import store
from dcn.config import difference_from_default, output_folder, symbol_class
from dcn.config.loading import flat
from dcn.engine.runtime.devices import check_operators, contexts, engine_described, is_torch, joined
from dcn.engine.runtime.progress import Speedometer
from dcn.engine.runtime.run_folder import claimed, logging_to
from dcn.engine.tasks.metrics import SharedMetrics
from dcn.engine.tasks.task import Task, task_of
from dcn.engine.training.interrupt import Interrupt
from dcn.engine.training.loop import Limits, Observers, Plan, Position, fit
from dcn.engine.training.loss_watch import LossWatch
from dcn.engine.training.options import TrainOptions
from dcn.engine.training.schedule import make_schedule
from dcn.engine.training.settings import check_settings, run_settings, tell_engines
from dcn.engine.training.start import Start, check_origin, check_start, first_parameters
from dcn.engine.training.trainer import Trainer
from dcn.errors import UserError
from dcn.history import History, history_path, require_events
from dcn.loader.prefetching import ahead
from dcn.world import World, is_writer

import mxnet as mx

LOG = logging.getLogger(__name__)


def train(
    cfg: EasyDict,
    gpus: Optional[str] = None,
    options: TrainOptions = TrainOptions(),
    task: Optional[Task] = None,
    start: Optional[Start] = None,
) -> bool:
    """Train. True when the whole schedule is done, False when it stopped with a checkpoint to resume from.

    task: by default what the configuration says; start: a checkpoint to begin with, in the place of the ImageNet model
    that network.pretrained names. After Ctrl-C or SIGTERM the program ends with the signal's status (KeyboardInterrupt,
    SystemExit), when the checkpoint is written. UserError where another training is at work in the output folder, a run
    lies there and the options do not say what is meant to become of it, or a run that is resumed began otherwise.
    """
    world = joined(cfg)
    with claimed(output_folder(cfg, cfg.dataset.image_set)):
        return train_claimed(cfg, gpus, options, task, start, world)


def train_claimed(
    cfg: EasyDict,
    gpus: Optional[str],
    options: TrainOptions,
    task: Optional[Task] = None,
    start: Optional[Start] = None,
    world: World = World(),
) -> bool:
    """As train(), by who has claimed the output folder, in ``world``."""
    if is_writer() and not (options.resume or options.overwrite or cfg.TRAIN.RESUME):
        refuse_a_second_run(cfg, store.started(checkpoint.checkpoint_prefix(cfg)))
    with logging_to(output_folder(cfg, cfg.dataset.image_set), cfg):
        return TrainingRun(task or task_of(cfg), gpus, options, start, world).fit()


def refuse_a_second_run(cfg: EasyDict, found: bool) -> None:
    """UserError where a run was ``found`` in the folder in which another one is to begin."""
    if found:
        raise UserError(
            f'{output_folder(cfg, cfg.dataset.image_set)} holds a run already; say what is meant: --resume '
            'continues it, --run-name NAME puts a new one beside it, --overwrite begins anew in its place.'
        )


class TrainingRun:
    """Everything that one training run needs, made from its configuration."""

    def __init__(
        self,
        task: Task,
        gpus: Optional[str] = None,
        options: TrainOptions = TrainOptions(),
        start: Optional[Start] = None,
        world: World = World(),
    ):
        task.check_trainable()
        cfg = task.cfg
        self.task, self.cfg, self.options, self.prefix = task, cfg, options, checkpoint.checkpoint_prefix(cfg)
        self.network = symbol_class(cfg)()
        devices = contexts(cfg, gpus, training=True, mean_gradients=self.network.mean_gradients)
        if cfg.engine.bfloat16 and not is_torch(devices[0]):
            raise UserError(
                'engine.bfloat16 is true, but MXNet trains in float32 only; take --engine torch, or --precision float32'
            )
        self.world, devices = world, world.own(devices)
        check_operators(cfg, devices[0])
        _check_nonfinite(cfg, world)
        if options.tensorboard:
            require_events()
        stored, given, self._earlier = self._stored(), None, {}
        self.began_with = None  # what checkpoints keep of ``start``
        if stored is None:
            given = check_start(cfg, [self.prefix], start)
            self.began_with = start and start.origin()
            self._earlier = store.mark(self.prefix) if options.overwrite else {}
        self.symbol, self.devices = task.train_symbol(self.network), devices
        with self.world.writer_first():
            records = task.records()
        self.images = len(records)
        self.loader = task.train_loader(records, self.symbol, len(devices) * self.world.size)
        self.loader.only_for_devices(self.world.rank * len(devices), len(devices))
        settings = zlib.crc32(json.dumps(run_settings(cfg), sort_keys=True, default=str).encode())
        self.world.agree(devices=len(devices), training_images=len(records), settings=settings % (1 << 20))
        flipped = ' with flipped copies' if cfg.TRAIN.FLIP else ''
        LOG.info(
            f'{len(records)} training images{flipped}, {len(self.loader)} batches of {self.loader.batch_size} an '
            f'epoch, on {", ".join(map(str, devices))}'
            + (f' in each of {self.world.size} processes' if self.world.size > 1 else '')
        )
        self.metrics = task.metrics() if self.world.size == 1 else SharedMetrics(task.metrics(), self.world)
        self.trainer = self._trainer(devices, stored, start and start.path, given)
        # the next batch, and the epoch at which the schedule began
        self.start, self.origin = Position(cfg.TRAIN.begin_epoch), cfg.TRAIN.begin_epoch
        if stored is not None:
            self._restore(stored, start)
        epochs_end = (cfg.TRAIN.end_epoch - self.origin) * len(self.loader)
        self.end_update = min(cfg.TRAIN.iterations or epochs_end, epochs_end)
        self.schedule = make_schedule(cfg.TRAIN, len(records), self.loader.batch_size, self.end_update, self.origin)

    def fit(self) -> bool:
        """Train to the end, or until the options or a signal say stop; True at the end."""
        options, train = self.options, self.cfg.TRAIN
        limits = Limits(
            train.end_epoch,
            self.end_update,
            options.max_iterations,
            options.checkpoint_every,
            options.checkpoint_minutes,
            train.nonfinite == 'skip',
        )
        history, interrupt = self._history(), Interrupt()
        speedometer = Speedometer(self.loader.batch_size, options.frequent or self.cfg.default.frequent)
        watch = LossWatch() if self.world.writer else None
        plan = Plan(self.schedule, limits, self.start)
        observers = Observers(self.metrics, history, speedometer, watch)
        try:
            finished = fit(self.trainer, self.loader, plan, observers, self._save, self.world, interrupt)
        finally:
            history.close()
            self._tell_broken_images()
        if not finished:
            LOG.info(
                f'stopped after update {self.trainer.updater.count} of {self.end_update}; the same command with '
                '--resume continues from here'
            )
        self.world.end()
        if interrupt.requested:
            raise interrupt.ending()
        return finished

    def _history(self):
        """What writes <prefix>-training.jsonl; see dcn.history."""
        cfg, loader = self.cfg, self.loader
        run = {
            'cfg': cfg.name,
            'symbol': cfg.symbol,
            'update': self.trainer.updater.count,
            'end_update': self.end_update,
            'images': self.images,
            'batch_images': loader.batch_size,
            'batches': len(loader),
            'config_sha256': ledger.config_digest(flat(cfg)),
            'difference': difference_from_default(cfg),
            'engine': dict(engine_described(self.devices), rewrite=cfg.engine.rewrite, processes=self.world.size),
            'project': ledger.project(),
            'machine': ledger.machine(),
            'command': ledger.command(),
            'started': ledger.now(),
        }
        path = history_path(self.prefix) if self.world.writer else None
        events = f'{self.prefix}-tensorboard' if self.options.tensorboard else None
        return History(path, run, self.options.frequent or cfg.default.frequent, events)

    def _tell_broken_images(self):
        broken = self.loader.broken_images()
        if broken:
            LOG.warning(f'{len(broken)} images were skipped, others took their places:')
            for path in sorted(broken):
                LOG.warning(f'  {path}')

    def _stored(self):
        """What to resume from: the newest Checkpoint with --resume, with TRAIN.RESUME that of begin_epoch or the
        parameters alone, else None."""
        if self.options.resume:
            found = checkpoint.newest(self.prefix)
            if found is None:
                raise UserError(
                    f'--resume: there is no {self.prefix}-*.state to resume from, or none that fits its '
                    '.params; start without --resume.'
                )
            if self.world.writer:
                store.publish(self.prefix, found)
            return found
        epoch = self.cfg.TRAIN.begin_epoch
        if not self.cfg.TRAIN.RESUME:
            return None
        found = checkpoint.numbered(self.prefix, epoch)
        if found is None and os.path.isfile(checkpoint.state_path(self.prefix, epoch)):
            raise UserError(
                f'{checkpoint.state_path(self.prefix, epoch)}: it does not belong to '
                f'{checkpoint.params_path(self.prefix, epoch)}, or was altered (the checksums differ); --resume '
                'continues from an earlier epoch, or remove it to begin with momentum zero.'
            )
        return found or checkpoint.Checkpoint(checkpoint.existing_params(self.prefix, epoch), '', epoch, {})

    def _trainer(self, devices, stored, origin, given):
        train, network = self.cfg.TRAIN, self.network
        # by a thread that may hang on a dead disk
        (batch,) = ahead([functools.partial(self.loader.batch, 0, 0)])
        arguments, inputs = self.symbol.list_arguments(), batch.inputs[0]
        shapes = {name: array.shape for name, array in inputs.items() if name in arguments}
        network.infer_shape(shapes)
        if stored is None:
            arg_params, aux_params = first_parameters(self.cfg, network, shapes, origin, given)
        else:
            arg_params, aux_params = checkpoint.read_params(stored.params)
        network.check_parameter_shapes(arg_params, aux_params, shapes)
        arg_params = {name: arg_params[name] for name in network.arg_shape_dict if name not in shapes}
        make = functools.partial(Trainer, rewrite=self.cfg.engine.rewrite, undoable=train.nonfinite == 'skip')
        if is_torch(devices[0]):
            from dcn.torch.trainer import Trainer as TorchTrainer

            make = functools.partial(TorchTrainer, bfloat16=self.cfg.engine.bfloat16)
        trainer = make(
            self.symbol,
            devices,
            arg_params,
            aux_params,
            self.task.fixed_params,
            offset_lr_mult=train.offset_lr_mult,
            kind=train.optimizer,
            momentum=train.momentum,
            wd=train.wd,
            clip_norm=train.clip_gradient,
            rescale=1.0 / self.loader.batch_size if network.mean_gradients else 1.0,
            world=self.world,
        )
        trainer.reserve(self.task.largest_inputs(self.symbol))
        return trainer

    def _restore(self, stored, start):
        """Take up optimizer state, update count and position; for parameters alone the count follows from the epoch."""
        updater = self.trainer.updater
        if not stored.state:
            check_origin(start, stored.params, None)
            self.start, self.origin, updater.count = Position(stored.number), 0, stored.number * len(self.loader)
            LOG.warning(
                f'{checkpoint.state_path(self.prefix, stored.number)} does not exist (pickled .states files of MXNet '
                f'are not read): resuming at epoch {stored.number} with momentum zero'
            )
            return
        state = checkpoint.read_state(stored.state)
        counters, settings = state.counters, dict(state.settings)
        self.began_with = settings.pop('from', None)
        check_origin(start, stored.params, self.began_with)
        tell_engines(settings.pop('engine.name', 'mxnet'), self.cfg.engine.name)
        check_settings(settings, run_settings(self.cfg), stored.state)
        counters = self._with_other_devices(counters, stored.state)
        updater.load_state(state.optimizer, counters['update'])
        self.trainer.load_device_states(state.devices)
        self.metrics.load_state(state.metrics)
        self.start, self.origin = Position(counters['epoch'], counters['batch']), counters['origin']
        LOG.info(
            f'resuming at epoch {self.start.epoch}, batch {self.start.batch}, after {updater.count} updates'
            + (f', of a run that began with {self.began_with["path"]}' if self.began_with else '')
            + (': nothing is left to train' if self.start.epoch >= self.cfg.TRAIN.end_epoch else '')
        )

    def _with_other_devices(self, counters, path):
        """``counters`` of a run whose updates had other numbers of images than those of now, in updates of now."""
        before, now, batches = counters['images'], self.loader.batch_size, len(self.loader)
        if before in (0, now) or counters['batches'] != self.images // before:
            if counters['batches'] != batches:
                raise UserError(
                    f'{path}: written at {counters["batches"]} batches an epoch, now there are {batches}; resume with '
                    'the same data, TRAIN.BATCH_IMAGES and number of devices.'
                )
            return counters
        batch, update = (counters[name] * batches // counters['batches'] for name in ('batch', 'update'))
        combines = 'averages' if self.network.mean_gradients else 'sums'
        images = ', images of this epoch may come twice or not at all' if batch else ''
        LOG.warning(
            f'{path}: written with {before} images in an update, now there are {now} (workers times devices times '
            f'TRAIN.BATCH_IMAGES): an update {combines} the gradients of {now} at the same TRAIN.lr, an epoch has '
            f'{batches} updates instead of {counters["batches"]}; continuing as far into epoch {counters["epoch"]} as '
            f'before, at batch {batch}{images}, after {update} updates instead of {counters["update"]}'
        )
        return dict(counters, batch=batch, update=update)

    def _save(self, number: int, position: Position) -> None:
        # all processes add up what the first one then writes
        (arg_params, aux_params), metrics = self.trainer.params(), self.metrics.state()
        devices = self.trainer.device_states()
        if not self.world.writer:
            return
        if self.cfg.engine.name != 'mxnet':
            arg_params, aux_params = map(_ndarrays, (arg_params, aux_params))
        updater, extras = self.trainer.updater, self.task.test_weights(arg_params)
        arrays = {f'arg:{name}': array.asnumpy() for name, array in dict(arg_params, **extras).items()}
        arrays.update({f'aux:{name}': array.asnumpy() for name, array in aux_params.items()})
        _require_finite(arrays, updater.count)
        counters = dict(
            position._asdict(),
            update=updater.count,
            batches=len(self.loader),
            origin=self.origin,
            images=self.loader.batch_size,
        )
        settings = run_settings(self.cfg)
        if self.began_with:
            settings['from'] = self.began_with
        state = checkpoint.TrainingState(updater.state(), metrics, settings, counters, devices)
        path = store.save(self.prefix, number, self.symbol, arrays, state)
        LOG.info(f'Saved checkpoint to "{path}"')
        # only now: a run that ends before its first checkpoint costs nothing
        if self._earlier:
            store.forget(self._earlier)
            self._earlier = {}


def _check_nonfinite(cfg, world):
    if cfg.TRAIN.nonfinite != 'skip':
        return
    if cfg.engine.name == 'torch':
        raise UserError(
            'TRAIN.nonfinite: the PyTorch engine does not skip batches; train with --set TRAIN.nonfinite=stop, or with '
            '--engine mxnet.'
        )
    if world.size > 1:
        raise UserError(
            'TRAIN.nonfinite: several workers do not skip batches; train with --set TRAIN.nonfinite=stop, or in one '
            'process.'
        )


def _ndarrays(arrays):
    return {name: mx.nd.array(array) for name, array in arrays.items()}


def _require_finite(arrays, update):
    """A checkpoint of such numbers would be of no use, and take the place of one that is."""
    bad = [name.partition(':')[2] for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise UserError(
            f'after update {update} {len(bad)} of {len(arrays)} arrays are not finite, the first is {bad[0]}: no '
            'checkpoint was written, --resume continues from the last one. Lower TRAIN.lr, set TRAIN.clip_gradient, or '
            'check the data with "dcn validate".'
        )
