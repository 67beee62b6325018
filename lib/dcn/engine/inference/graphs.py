"""What is bound to test a network: a test graph, the largest inputs it gets, and the parameters that fit it."""

import functools
import logging
from typing import Iterable, Tuple

import numpy as np
from easydict import EasyDict

from dcn.checkpoint.params import names, read_params
from dcn.checkpoint.store import require_unaltered
from dcn.config import symbol_class
from dcn.config.families import kind_of
from dcn.errors import UserError
from dcn.loader.image import largest_size
from dcn.loader.loaders import testing_scales
from dcn.text import names_text

import mxnet as mx

LOG = logging.getLogger(__name__)


class TestGraph:
    """A graph for testing; it is built when ``symbol`` is first asked for.

    cfg      configuration
    method   of the symbol class, which builds the graph: 'get_symbol', 'get_symbol_rpn' or 'get_symbol_rcnn'
    inputs   {name: shape} of the largest test image: the memory that all sizes share is made for it
    whole    False where the graph is only a part of the network, so that checkpoints may hold parameters of the rest
    """

    __test__ = False  # no test case

    def __init__(self, cfg: EasyDict, method: str, inputs: dict, whole: bool = True):
        self.cfg, self.inputs = cfg, inputs
        self._method, self._whole = method, whole
        train = cfg.TRAIN
        # what its boxes were divided by in training is folded into the *_test weights
        self._normalised = (
            kind_of(cfg) == 'detection'
            and method != 'get_symbol_rpn'
            and (set(train.BBOX_STDS) != {1} or set(train.BBOX_MEANS) != {0})
        )
        self._network = symbol_class(cfg)()

    @functools.cached_property
    def symbol(self) -> mx.sym.Symbol:
        """The graph, an mx.sym.Symbol."""
        return getattr(self._network, self._method)(self.cfg, is_train=False)

    def with_layers(self, layers: Iterable[str]) -> mx.sym.Symbol:
        """The graph with the outputs of inner ``layers`` added to its own."""
        layers, internals = list(layers), self.symbol.get_internals()
        return mx.sym.Group([self.symbol, *(internals[name] for name in layers)]) if layers else self.symbol

    def read_parameters(self, path: str) -> Tuple[dict, dict]:
        """(arg_params, aux_params) of the ``.params`` file ``path``, which fit, with the *_test weights in place.
        UserError for others, and where the file is not what its run wrote."""
        params = read_params(path, process=True)
        require_unaltered(path)
        try:
            self.check_parameters(*params)
        except UserError as error:
            raise UserError(f'{path}: {error}') from None
        if self._normalised and not any(name.endswith('_test') for name in names(path)):
            LOG.warning(
                f'{path} has no *_test weights, so boxes will be wrong: they are what the network was trained to give, '
                'divided by TRAIN.BBOX_STDS. Make a file that has them: dcn convert IN OUT --cfg FILE --test-weights'
            )
        return params

    def check_parameters(self, arg_params: dict, aux_params: dict) -> None:
        """Raise UserError unless the parameters {name: NDArray} fit the graph, and are numbers."""
        known = set(self.symbol.list_arguments())
        params = {**arg_params, **aux_params}
        bad = [name for name, array in params.items() if not np.isfinite(array.asnumpy()).all()]
        if bad:
            raise UserError(
                f'{len(bad)} of {len(params)} parameters hold numbers that are not finite, the first is {bad[0]}: '
                'the training that wrote them diverged; use an earlier checkpoint.'
            )
        self._network.infer_shape(self.inputs)
        self._network.check_parameter_shapes(arg_params, aux_params, self.inputs, is_train=False)
        # further parameters do no harm, but these mean that the checkpoint is of a network that computes something else
        surplus = sorted(name for name in set(arg_params) - known if 'offset' in name)
        if surplus and self._whole:
            raise UserError(
                f'the checkpoint holds offsets of deformable layers ({names_text(surplus, 3)}), but '
                f'{self.cfg.name} has none there; give the experiment file of the deformable network.'
            )


def detection_graph(cfg: EasyDict) -> TestGraph:
    """A detector with an RPN of its own: images in, boxes out."""
    _check(cfg, 'detection')
    require_rpn(cfg, 'TEST.HAS_RPN', cfg.TEST.HAS_RPN)
    return TestGraph(cfg, 'get_symbol', _images(cfg))


def rpn_graph(cfg: EasyDict) -> TestGraph:
    """The RPN of a detector alone: images in, proposals out."""
    _check(cfg, 'detection')
    return TestGraph(cfg, 'get_symbol_rpn', _images(cfg), whole=False)


def rcnn_graph(cfg: EasyDict) -> TestGraph:
    """A detector without its RPN: images and RoIs in, boxes out."""
    _check(cfg, 'detection')
    inputs = {'data': _images(cfg)['data'], 'rois': (1, cfg.TEST.PROPOSAL_POST_NMS_TOP_N, 5)}
    return TestGraph(cfg, 'get_symbol_rcnn', inputs)


def segmentation_graph(cfg: EasyDict) -> TestGraph:
    """Images in, probabilities of each pixel's classes out."""
    _check(cfg, 'segmentation')
    height, width = largest_size(cfg.SCALES, cfg.network.IMAGE_STRIDE)
    return TestGraph(cfg, 'get_symbol', {'data': (1, 3, height, width), 'softmax_label': (1, height * width)})


def require_kind(cfg: EasyDict, kind: str) -> None:
    """Raise UserError unless the network of ``cfg`` does ``kind``: 'detection' or 'segmentation'."""
    found = kind_of(cfg)
    if found != kind:
        raise UserError(
            f'{cfg.name}: {cfg.symbol} is a network for {found}, not for {kind}; give the experiment file of one for '
            f'{kind}.'
        )


def require_rpn(cfg: EasyDict, key: str, value: bool) -> None:
    """Raise UserError where ``key`` of ``cfg`` says that RoIs come from a file."""
    if not value:
        raise UserError(
            f'{cfg.name}: {key} is false, which means boxes from a file; there are none here. With --set {key}=true '
            'the network makes its own proposals.'
        )


def _check(cfg, kind):
    require_kind(cfg, kind)
    if cfg.TEST.BATCH_IMAGES != 1:
        raise UserError(
            f'{cfg.name}: TEST.BATCH_IMAGES is {cfg.TEST.BATCH_IMAGES}; expected 1, as a device tests one image after '
            'the other.'
        )


def _images(cfg):
    size = largest_size(testing_scales(cfg), cfg.network.IMAGE_STRIDE)
    return {'data': (1, 3, *size), 'im_info': (1, 3)}
