"""Training a detector from its configuration: data, network, first parameters, the loop, checkpoints."""
import logging
import os

from lib import checkpoint
from lib.config import output_folder, symbol_class
from lib.dataset import training_roidb
from lib.engine.devices import contexts
from lib.engine.fit import fit
from lib.engine.metrics import DetectionMetrics
from lib.engine.progress import Speedometer
from lib.engine.run_folder import logging_to
from lib.engine.schedule import make_schedule
from lib.engine.trainer import Trainer
from lib.errors import UserError
from lib.loader import TrainLoader, prefetch

LOG = logging.getLogger(__name__)


def checkpoint_prefix(cfg):
    """Where training on cfg.dataset.image_set puts its checkpoints, and where testing looks for them."""
    return os.path.join(output_folder(cfg, cfg.dataset.image_set), cfg.TRAIN.model_prefix)


def train_detector(cfg, gpus=None, frequent=None, max_iterations=None, checkpoint_every=None, resume=False):
    """Train end to end. Returns True when the whole schedule is done, False when it stopped on the way (with a checkpoint to resume from)."""
    with logging_to(output_folder(cfg, cfg.dataset.image_set), cfg):
        return _Run(cfg, gpus, resume).fit(frequent or cfg.default.frequent, max_iterations, checkpoint_every)


def feature_shape_of(symbol, layer='rpn_cls_score_output'):
    """A function (h, w) -> height and width of the RPN's maps for images of that size, by shape inference on the graph."""
    scores = symbol.get_internals()[layer]

    def feature_shape(height, width):
        return scores.infer_shape(data=(1, 3, height, width))[1][0][2:]
    return feature_shape


class _Run:
    """Everything that one training run needs, made from its configuration."""

    def __init__(self, cfg, gpus, resume):
        self.cfg, self.prefix = cfg, checkpoint_prefix(cfg)
        self.contexts = contexts(cfg, gpus)
        self.network = symbol_class(cfg)()
        self.symbol = self.network.get_symbol(cfg, is_train=True)
        roidb = training_roidb(cfg)
        self.loader = TrainLoader(roidb, cfg, feature_shape_of(self.symbol), len(self.contexts), cfg.TRAIN.seed)
        LOG.info(f'{len(roidb)} training images with mirrored copies, {len(self.loader)} batches of {self.loader.batch_size} an epoch, '
                 f'on {", ".join(map(str, self.contexts))}')
        self.metrics = DetectionMetrics()
        stored = self._stored_epoch(resume)
        self.trainer = self._trainer(stored)
        self.epoch, self.batch, self.origin = cfg.TRAIN.begin_epoch, 0, cfg.TRAIN.begin_epoch
        if stored is not None:
            self._restore(stored)
        self.end_update = cfg.TRAIN.iterations or (cfg.TRAIN.end_epoch - self.origin) * len(self.loader)
        self.schedule = make_schedule(cfg.TRAIN, len(roidb), self.loader.batch_size, self.end_update, self.origin)

    def fit(self, frequent, max_iterations, checkpoint_every):
        speedometer = Speedometer(self.loader.batch_size, frequent)
        finished = fit(self.trainer, self.loader, prefetch, self.schedule, self.metrics, self._save, self.cfg.TRAIN.end_epoch, self.end_update,
                       self.epoch, self.batch, speedometer, max_iterations, checkpoint_every)
        if not finished:
            LOG.info(f'stopped after update {self.trainer.updater.count} of {self.end_update}; the same command with --resume goes on from here')
        return finished

    def _stored_epoch(self, resume):
        """The checkpoint to go on from: the newest with --resume, begin_epoch's with TRAIN.RESUME, else none."""
        if not resume:
            return self.cfg.TRAIN.begin_epoch if self.cfg.TRAIN.RESUME else None
        newest = checkpoint.latest_state(self.prefix)
        if newest is None:
            raise UserError(f'--resume: there is no {self.prefix}-*.state to go on from; start without --resume.')
        return newest

    def _trainer(self, stored):
        train, network = self.cfg.TRAIN, self.network
        shapes = {name: array.shape for name, array in self.loader.batch(0, 0).inputs[0].items()}
        network.infer_shape(shapes)
        if stored is None:
            arg_params, aux_params = pretrained(self.cfg)
            network.init_weight(self.cfg, arg_params, aux_params)
        else:
            arg_params, aux_params = checkpoint.load_param(self.prefix, stored)
        network.check_parameter_shapes(arg_params, aux_params, shapes)
        arg_params = {name: arg_params[name] for name in network.arg_shape_dict if name not in shapes}
        return Trainer(self.symbol, self.contexts, arg_params, aux_params, self.cfg.network.FIXED_PARAMS, train.optimizer, train.momentum, train.wd,
                       train.clip_gradient)

    def _restore(self, stored):
        """Take up optimiser state, update count and position; where only parameters exist, the count follows from the epoch."""
        updater = self.trainer.updater
        if not os.path.isfile(checkpoint.state_path(self.prefix, stored)):
            self.epoch, self.origin = stored, 0
            updater.count = stored * len(self.loader)
            LOG.warning(f'{checkpoint.state_path(self.prefix, stored)} does not exist (pickled .states files of MXNet are not read): going on at '
                        f'epoch {stored} with momentum zero')
            return
        arrays, metrics, counters = checkpoint.load_state(self.prefix, stored)
        if counters['batches'] != len(self.loader):
            raise UserError(f'{checkpoint.state_path(self.prefix, stored)}: written at {counters["batches"]} batches an epoch, now there are '
                            f'{len(self.loader)}; resume with the same data, TRAIN.BATCH_IMAGES and number of devices.')
        updater.load_state(arrays, counters['update'])
        self.metrics.load_state(metrics)
        self.epoch, self.batch, self.origin = counters['epoch'], counters['batch'], counters['origin']
        LOG.info(f'going on at epoch {self.epoch}, batch {self.batch}, after {updater.count} updates')

    def _save(self, number, epoch, batch):
        arg_params, aux_params = self.trainer.params()
        updater, train = self.trainer.updater, self.cfg.TRAIN
        classes = 2 if self.cfg.CLASS_AGNOSTIC else self.cfg.dataset.NUM_CLASSES
        layer = 'rfcn_bbox' if 'rfcn_bbox_weight' in arg_params else 'bbox_pred'
        extras = checkpoint.box_test_weights(arg_params, layer, train.BBOX_MEANS, train.BBOX_STDS, classes)
        state = checkpoint.training_state(updater.state(), self.metrics.state(), update=updater.count, epoch=epoch, batch=batch,
                                          batches=len(self.loader), origin=self.origin)
        path = checkpoint.save_checkpoint(self.prefix, number, self.symbol, arg_params, aux_params, extras, state)
        LOG.info(f'Saved checkpoint to "{path}"')


def pretrained(cfg):
    """(arg_params, aux_params) of the backbone that cfg.network.pretrained names; empty where it names none."""
    network = cfg.network
    if not network.pretrained:
        return {}, {}
    path = checkpoint.params_path(network.pretrained, network.pretrained_epoch)
    if not os.path.isfile(path):
        raise UserError(f"network.pretrained: the ImageNet model {path} is missing; put it there, or train from scratch with "
                        "--set network.pretrained=''.")
    return checkpoint.load_param(network.pretrained, network.pretrained_epoch)
