"""A network on a ResNet whose size and deformable layers the configuration chooses."""

from __future__ import annotations

from typing import Callable

from easydict import EasyDict

from dcn.symbols.initialise import initial_value
from dcn.symbols.network import Network, input_names
from dcn.symbols.resnet import Deform, Spelling, resnet
from dcn.symbols.resnet_plan import STEM_STRIDE, plan

import mxnet as mx
from mxnet.symbol import Symbol


class ResNetNetwork(Network):
    """Class attributes are the network's own choice; ``network.*`` of the configuration overrides them where given.

    A subclass gives ``_train_outputs(cfg)`` and ``_test_outputs(cfg)``, lists of symbols.
    """

    new_layers: tuple[str, ...] = ()  # beginnings of the names of layers that no ImageNet model has
    strides = (1, 2, 2, 1)  # of the first blocks of res2 to res5
    deformable: tuple[str, ...] = ()  # stages or blocks with deformable 3x3 convolutions
    deformable_groups = 4
    offset_dilated = True
    offset_lr: tuple[float, float] | None = None  # learning rates of offset convolutions: weight and bias, as multiples
    spelling = Spelling()
    _train_outputs: Callable[[EasyDict], list[Symbol]]
    _test_outputs: Callable[[EasyDict], list[Symbol]]
    mean_gradients = False  # of the images of an update: the original's FPN takes their mean, the others their sum

    def get_symbol(self, cfg: EasyDict, is_train: bool = True) -> Symbol:
        """The whole network; the subclass tells its inputs."""
        return self._built(self._train_outputs if is_train else self._test_outputs, cfg)

    def init_weight(
        self, cfg: EasyDict, arg_params: dict[str, mx.nd.NDArray], aux_params: dict[str, mx.nd.NDArray]
    ) -> None:
        """After infer_shape: first values of the layers that a pretrained model lacks; without a model, of all."""
        inputs = input_names(self.arg_shape_dict)
        shapes = {name: shape for name, shape in self.arg_shape_dict.items() if name not in inputs}
        how = (cfg.TRAIN.seed, self.new_layers, not cfg.network.pretrained, not cfg.network.train_bn)
        _initialise_missing(arg_params, shapes, *how)
        _initialise_missing(aux_params, self.aux_shape_dict, *how)

    def _built(self, outputs, *args):
        """The graph of ``outputs(*args)``, a list of symbols."""
        with mx.name.NameManager():  # automatic names count from zero in every graph
            self.sym = mx.sym.Group(list(outputs(*args)))
        return self.sym

    def _backbone(self, cfg, data=None):
        """{'res2': ..., 'res5': ...} on the input data (B, 3, H, W), and {layer: offsets}."""
        network = cfg.network
        deform = Deform(
            self._choice(cfg, 'deformable'),
            self._choice(cfg, 'deformable_groups'),
            network.deform_rule,
            network.modulated,
            self.offset_dilated,
            self.offset_lr,
        )
        strides = self._choice(cfg, 'strides')
        sizes = plan(network.depth, network.units, network.filters, strides, network.res5_dilate)
        data = mx.sym.Variable('data') if data is None else data
        return resnet(data, sizes, deform, network.train_bn, self.spelling)

    def _feature_strides(self, cfg):
        """Strides in pixels of the outputs of res2 to res5."""
        stride, found = STEM_STRIDE, []
        for first in self._choice(cfg, 'strides'):
            stride *= first
            found.append(stride)
        return found

    def _choice(self, cfg, key):
        return getattr(self, key) if cfg.network[key] is None else cfg.network[key]


def _initialise_missing(params, shapes, seed, new_layers, backbone, frozen):
    """Add to ``params`` the new and offset layers of ``shapes`` (name -> shape) it lacks; with ``backbone``, all
    (``frozen``: its batch norm is)."""
    for name, shape in shapes.items():
        if name not in params and (backbone or 'offset' in name or name.startswith(new_layers)):
            params[name] = mx.nd.array(initial_value(name, shape, seed, new_layers, frozen))


def images_grad_scale(cfg: EasyDict) -> float | None:
    """Images on a device add up, as those on several devices do: undoes the mean that softmax takes over them."""
    return float(cfg.TRAIN.BATCH_IMAGES) if cfg.TRAIN.BATCH_IMAGES > 1 else None
