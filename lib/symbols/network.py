"""What every symbol class can do with its graph: infer shapes and check parameters against them."""
import re

import mxnet as mx

from lib.errors import UserError


class Network:
    """A graph ``sym`` and, after :meth:`infer_shape`, its shapes: ``arg_shape_dict``, ``aux_shape_dict``, ``out_shape_dict`` (name -> tuple)."""

    def __init__(self):
        self.sym = None
        self.arg_shape_dict, self.aux_shape_dict, self.out_shape_dict = {}, {}, {}

    def infer_shape(self, data_shape_dict):
        """Fill the shape dictionaries from the inputs' shapes (name -> tuple)."""
        names = self.sym.list_arguments()
        for name in data_shape_dict:
            if name not in names:
                raise UserError(f'the graph has no input "{name}"; its first inputs are {", ".join(_inputs(names))}.')
        try:
            shapes = self.sym.infer_shape(**data_shape_dict)
        except mx.base.MXNetError as error:
            given = ', '.join(f'{name} {tuple(shape)}' for name, shape in data_shape_dict.items())
            raise UserError(f'the inputs ({given}) do not fit the graph: {_reason(error)}') from None
        if shapes[0] is None:
            missing = sorted(set(_inputs(names)) - set(data_shape_dict))
            raise UserError(f'the shapes of the graph do not follow from its inputs; give the shapes of {", ".join(missing)} too.')
        self.arg_shape_dict = dict(zip(names, shapes[0]))
        self.out_shape_dict = dict(zip(self.sym.list_outputs(), shapes[1]))
        self.aux_shape_dict = dict(zip(self.sym.list_auxiliary_states(), shapes[2]))

    def check_parameter_shapes(self, arg_params, aux_params, data_shape_dict, is_train=True):
        """Raise UserError unless every parameter of the graph is there with its shape; more than the graph needs is fine."""
        wanted = {name: shape for name, shape in self.arg_shape_dict.items()
                  if name not in data_shape_dict and (is_train or 'label' not in name)}
        for kind, shapes, params in (('parameter', wanted, arg_params), ('auxiliary state', self.aux_shape_dict, aux_params)):
            for name, shape in shapes.items():
                if name not in params:
                    raise UserError(f'{kind} {name} is missing: expected shape {shape}; is the checkpoint one of this network?')
                if tuple(params[name].shape) != tuple(shape):
                    raise UserError(f'{kind} {name}: expected shape {shape}, found {tuple(params[name].shape)}; '
                                    f'is the checkpoint one of this network?')


def _inputs(names):
    return [name for name in names if not name.endswith(('_weight', '_bias', '_gamma', '_beta')) or name == 'bbox_weight']


def _reason(error):
    """The sentence of an MXNet error that tells the operator and the shapes, without its C++ origin."""
    found = re.search(r'Error in operator \S+: .*', str(error))
    line = found.group(0) if found else str(error).strip().splitlines()[-1]
    return re.sub(r'\[\d\d:\d\d:\d\d\] \S+ ', '', line)
