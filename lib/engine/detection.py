"""Detection with an RPN of the network's own: trained and tested end to end."""
import os

from lib import checkpoint
from lib.config.families import kind_of
from lib.dataset import get_imdb, training_roidb
from lib.engine.metrics import DetectionMetrics
from lib.engine.tasks import Task
from lib.engine.tester import pred_eval
from lib.errors import UserError
from lib.loader import TestLoader, TrainLoader
from lib.rng import generator


class EndToEnd(Task):
    """Proposals, classes and boxes in one network."""

    def check_trainable(self):
        self._require_rpn('TRAIN.END2END', self.cfg.TRAIN.get('END2END'))
        super().check_trainable()

    def check_testable(self):
        self._require_rpn('TEST.HAS_RPN', self.cfg.TEST.get('HAS_RPN'))
        super().check_testable()

    def records(self):
        return training_roidb(self.cfg)

    def train_loader(self, records, symbol, num_devices):
        return TrainLoader(records, self.cfg, feature_shape_of(symbol), num_devices, self.cfg.TRAIN.seed)

    def metrics(self):
        return DetectionMetrics()

    def largest_inputs(self, symbol):
        return largest_inputs(self.cfg, feature_shape_of(symbol))

    def test_weights(self, arg_params):
        return box_test_weights(self.cfg, arg_params)

    def test_inputs(self):
        short, longest = (self.cfg.get('TEST_SCALES') or self.cfg.SCALES)[0]
        return {'data': (1, 3, short, longest), 'im_info': (1, 3)}

    def test_set(self):
        return get_imdb(self.cfg, self.cfg.dataset.test_image_set)

    def evaluate(self, imdb, predictors, params, folder, options):
        roidb = imdb.gt_roidb()
        order = generator(self.cfg.TRAIN.seed, 'test order').permutation(len(roidb)) if options.shuffle else None
        return pred_eval(predictors, TestLoader(roidb, self.cfg), roidb, imdb, self.cfg, os.path.abspath(folder),
                         params, options.thresh, options.ignore_cache, options.vis, order)

    def _require_rpn(self, key, value):
        """Refuse what needs other inputs than images."""
        if kind_of(self.cfg) != 'detection':
            raise UserError(f'{self.cfg.name}: {self.cfg.symbol} is a network for {kind_of(self.cfg)}, not for '
                            'detection; give the experiment file of a detector.')
        if not value:
            raise UserError(f'{self.cfg.name}: {key} is false, which means boxes from a file; there are none here. With '
                            f'--set {key}=true the network makes its own proposals.')


def feature_shape_of(symbol, layer='rpn_cls_score_output'):
    """A function (h, w) -> height and width of the RPN's maps for such images, by shape inference on the graph."""
    scores = symbol.get_internals()[layer]

    def feature_shape(height, width):
        return scores.infer_shape(data=(1, 3, height, width))[1][0][2:]

    return feature_shape


def largest_inputs(cfg, feature_shape, objects=100):
    """{input name: shape} that no batch exceeds, with the original's 100 objects: the memory that all batches share."""
    images, anchors, stride = cfg.TRAIN.BATCH_IMAGES, cfg.network.NUM_ANCHORS, max(1, cfg.network.IMAGE_STRIDE)
    height, width = (max(sides) + -max(sides) % stride for sides in zip(*cfg.SCALES))
    h, w = feature_shape(height, width)
    boxes = (images, 4 * anchors, h, w)
    return {'data': (images, 3, height, width), 'im_info': (images, 3), 'gt_boxes': (images, objects, 5),
            'label': (images, anchors * h * w), 'bbox_target': boxes, 'bbox_weight': boxes}


def box_test_weights(cfg, arg_params):
    """The *_test twins of the layer that predicts boxes."""
    classes = 2 if cfg.CLASS_AGNOSTIC else cfg.dataset.NUM_CLASSES
    layer = 'rfcn_bbox' if 'rfcn_bbox_weight' in arg_params else 'bbox_pred'
    return checkpoint.box_test_weights(arg_params, layer, cfg.TRAIN.BBOX_MEANS, cfg.TRAIN.BBOX_STDS, classes)
