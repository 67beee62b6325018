"""What every symbol class can do with its graph: infer shapes and check parameters against them."""

from __future__ import annotations

import re
from typing import Iterable

import numpy as np

from dcn.errors import UserError

import mxnet as mx

_PARAMETERS = ('_weight', '_bias', '_gamma', '_beta')
_ESSENTIAL = ('data', 'gt_boxes', 'rois')  # all other shapes follow from these


class Network:
    """A graph ``sym``; after infer_shape also arg_shape_dict, aux_shape_dict and out_shape_dict (name -> tuple)."""

    def __init__(self) -> None:
        self.sym: mx.sym.Symbol = None  # until it is built
        self.arg_shape_dict: dict[str, tuple[int, ...]] = {}
        self.aux_shape_dict: dict[str, tuple[int, ...]] = {}
        self.out_shape_dict: dict[str, tuple[int, ...]] = {}

    def infer_shape(self, data_shape_dict: dict[str, tuple[int, ...]]) -> None:
        """Fill the shape dictionaries from the inputs' shapes (name -> tuple)."""
        names = self.sym.list_arguments()
        for name in data_shape_dict:
            if name not in names:
                raise UserError(f'the graph has no input "{name}"; its inputs are {", ".join(input_names(names))}.')
        missing = [name for name in _ESSENTIAL if name in names and name not in data_shape_dict]
        if missing:
            raise UserError(f'shapes cannot be inferred without {", ".join(missing)}; give their shapes too.')
        try:
            args, outs, auxs = self.sym.infer_shape(**{name: tuple(shape) for name, shape in data_shape_dict.items()})
        except mx.base.MXNetError as error:
            given = ', '.join(f'{name} {tuple(shape)}' for name, shape in data_shape_dict.items())
            raise UserError(f'the inputs ({given}) do not fit the graph: {_reason(error)}') from None
        self.arg_shape_dict = dict(zip(names, args))
        self.out_shape_dict = dict(zip(self.sym.list_outputs(), outs))
        self.aux_shape_dict = dict(zip(self.sym.list_auxiliary_states(), auxs))

    def check_parameter_shapes(
        self,
        arg_params: dict[str, mx.nd.NDArray],
        aux_params: dict[str, mx.nd.NDArray],
        data_shape_dict: dict[str, tuple[int, ...]],
        is_train: bool = True,
    ) -> None:
        """Raise UserError unless every parameter of the graph is there with its shape, in floating point; further
        ones do no harm."""
        wanted = {
            name: shape
            for name, shape in self.arg_shape_dict.items()
            if name not in data_shape_dict and (is_train or 'label' not in name)
        }
        for kind, shapes, params in (
            ('parameter', wanted, arg_params),
            ('auxiliary state', self.aux_shape_dict, aux_params),
        ):
            for name, shape in shapes.items():
                found = f'shape {tuple(params[name].shape)}' if name in params else 'none'
                if found != f'shape {tuple(shape)}':
                    raise UserError(
                        f'{kind} {name}: expected shape {tuple(shape)}, found {found}; does the '
                        'checkpoint belong to this network? "dcn doctor FILE" says of which it is.'
                    )
                dtype = np.dtype(params[name].dtype)
                if dtype.kind in 'biu':
                    raise UserError(
                        f'{kind} {name}: expected floating-point numbers, found {dtype}; a network '
                        'that was quantised, or converted wrongly, is of no use here: take the one that it was made of.'
                    )


def input_names(names: Iterable[str]) -> list[str]:
    """Those of the argument ``names`` that are inputs, not parameters."""
    return [name for name in names if not name.endswith(_PARAMETERS) or name == 'bbox_weight']


def _reason(error):
    """The sentence of an MXNet error that tells the operator and the shapes, without its C++ origin."""
    found = re.search(r'Error in operator \S+: .*', str(error))
    line = found.group(0) if found else str(error).strip().splitlines()[-1]
    return re.sub(r'\[\d\d:\d\d:\d\d\] \S+ ', '', line)
