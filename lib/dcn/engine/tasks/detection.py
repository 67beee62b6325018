"""Detection with an RPN of the network's own: trained and tested end to end."""

import os
from typing import Callable, List, Sequence, Tuple

from easydict import EasyDict

from dcn import checkpoint
from dcn.config.families import symbol_class
from dcn.dataset import get_imdb, training_roidb
from dcn.dataset.imdb import IMDB
from dcn.engine.inference.graphs import TestGraph, detection_graph, require_rpn
from dcn.engine.inference.predictor import Predictor
from dcn.engine.tasks.box_evaluation import pred_eval
from dcn.engine.tasks.metrics import DetectionMetrics, Metrics
from dcn.engine.tasks.task import Task, TestOptions
from dcn.loader import TestLoader, TrainLoader
from dcn.loader.batches import BatchLoader
from dcn.loader.image import largest_size
from dcn.rng import generator

import mxnet as mx


class EndToEnd(Task):
    """Proposals, classes and boxes in one network."""

    def check_trainable(self) -> None:
        super().check_trainable()
        self.check_rpn()

    def check_rpn(self) -> None:
        """Refuse settings that say that RoIs come from a file."""
        require_rpn(self.cfg, 'TRAIN.END2END', self.cfg.TRAIN.END2END)

    def records(self) -> List[dict]:
        return training_roidb(self.cfg)

    def train_loader(self, records: List[dict], symbol: mx.sym.Symbol, num_devices: int) -> BatchLoader:
        return TrainLoader(records, self.cfg, self._feature_shapes(symbol), num_devices, self.cfg.TRAIN.seed)

    def metrics(self) -> Metrics:
        return DetectionMetrics(symbol_class(self.cfg).foreground_metrics)

    def largest_inputs(self, symbol: mx.sym.Symbol) -> dict:
        return largest_inputs(self.cfg, self._feature_shapes(symbol))

    def test_weights(self, arg_params: dict) -> dict:
        return box_test_weights(self.cfg, arg_params, self.cfg.TRAIN.BBOX_MEANS, self.cfg.TRAIN.BBOX_STDS)

    def test_graph(self) -> TestGraph:
        return detection_graph(self.cfg)

    def test_set(self) -> IMDB:
        return get_imdb(self.cfg, self.cfg.dataset.test_image_set)

    def evaluate(
        self, imdb: IMDB, predictors: List[Predictor], params: Tuple[dict, dict], folder: str, options: TestOptions
    ) -> dict:
        roidb = self.test_records(imdb)
        order = generator(self.cfg.TRAIN.seed, 'test order').permutation(len(roidb)) if options.shuffle else None
        loader, folder = self.test_loader(roidb), os.path.abspath(folder)
        return pred_eval(predictors, loader, roidb, imdb, self.cfg, folder, params, options, order)

    def test_records(self, imdb: IMDB) -> List[dict]:
        """The records of the images to test."""
        return imdb.gt_roidb()

    def test_loader(self, records: List[dict]) -> TestLoader:
        return TestLoader(records, self.cfg)

    def _feature_shapes(self, symbol):
        return feature_shapes_of(symbol, symbol_class(self.cfg).rpn_scores)


def feature_shapes_of(symbol: mx.sym.Symbol, layers: List[str]) -> Callable[[int, int], List[Tuple[int, int]]]:
    """A function (h, w) -> [(height, width), ...] of the RPN's maps for such images, by shape inference on the graph.

    layers: those that give the scores, one for each map.
    """
    internals = symbol.get_internals()
    scores = mx.sym.Group([internals[layer + '_output'] for layer in layers])

    def feature_shapes(height, width):
        return [shape[2:] for shape in scores.infer_shape(data=(1, 3, height, width))[1]]

    return feature_shapes


def largest_inputs(cfg: EasyDict, feature_shapes: Callable, objects: int = 100) -> dict:
    """{input name: shape} that no batch exceeds, with the original's 100 objects: the memory that all batches share."""
    images, anchors, (height, width) = cfg.TRAIN.BATCH_IMAGES, cfg.network.NUM_ANCHORS, largest_image(cfg)
    maps = feature_shapes(height, width)
    cells = sum(h * w for h, w in maps)
    boxes = (images, 4 * anchors, *(maps[0] if len(maps) == 1 else (cells,)))
    return {
        'data': (images, 3, height, width),
        'im_info': (images, 3),
        'gt_boxes': (images, objects, 5),
        'label': (images, anchors * cells),
        'bbox_target': boxes,
        'bbox_weight': boxes,
    }


def largest_image(cfg: EasyDict) -> Tuple[int, int]:
    """Height and width that no training image exceeds, the longer side as width."""
    return largest_size(cfg.SCALES, cfg.network.IMAGE_STRIDE)


def box_test_weights(cfg: EasyDict, arg_params: dict, means: Sequence[float], stds: Sequence[float]) -> dict:
    """The *_test twins of the layer that predicts boxes; means, stds: (4,), or (K, 4) by regression class."""
    classes = 2 if cfg.CLASS_AGNOSTIC else cfg.dataset.NUM_CLASSES
    return checkpoint.box_test_weights(arg_params, symbol_class(cfg).box_layer, means, stds, classes)
