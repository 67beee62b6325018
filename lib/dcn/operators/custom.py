"""The NumPy operators as MXNet's Custom operators: importing this module registers them."""

import numpy as np

from dcn.operators import fpn_roi_pooling, ohem, proposal, proposal_target, pyramid_proposal  # noqa: F401  (enter them)
from dcn.operators.numpy_operator import OPERATORS

import mxnet as mx


class _Executed(mx.operator.CustomOp):
    """Runs a NumpyOperator.

    No MXNet operator runs inside: its engine is busy with the caller, and a second one would only wait for threads.
    """

    def __init__(self, operator):
        super().__init__()
        self._operator = operator

    def forward(self, is_train, req, in_data, out_data, aux):
        """Copy the inputs in, compute, copy the outputs out."""
        _forget_dependencies()
        results = self._operator.compute(*[array.asnumpy() for array in in_data])
        for target, request, value in zip(out_data, req, results):
            _store(target, request, value)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        """The operator's gradients, or zeros."""
        if self._operator.gradient is not None:
            grads = self._operator.gradient(out_grad[0].asnumpy(), *[array.asnumpy() for array in in_data])
            for target, request, grad in zip(in_grad, req, grads):
                _store(target, request, grad)
            return
        for target, request in zip(in_grad, req):
            if request in ('write', 'inplace'):
                _store(target, request, np.zeros(target.shape))


class _Declared(mx.operator.CustomOpProp):
    """Declares a NumpyOperator; a subclass names its class as ``kind``."""

    kind = None

    def __init__(self, **attributes):
        self._operator = self.kind(**attributes)
        super().__init__(need_top_grad=self._operator.gradient is not None)

    def list_arguments(self):
        """Names of the inputs."""
        return list(self._operator.arguments)

    def list_outputs(self):
        """Names of the outputs."""
        return list(self._operator.outputs)

    def infer_shape(self, in_shape):
        """Shapes of the inputs and outputs; all are unknown (empty) as long as the first input's is."""
        if not in_shape[0]:
            return in_shape, [[] for _ in self._operator.outputs], []
        inputs, outputs = self._operator.shapes(*in_shape)
        return inputs, outputs, []

    def create_operator(self, ctx, shapes, dtypes):
        """The operator for one executor."""
        return _Executed(self._operator)

    def declare_backward_dependency(self, out_grad, in_data, out_data):
        """What the gradients need: nothing where they are zero."""
        return [] if self._operator.gradient is None else [*out_grad, *in_data]


def _forget_dependencies():
    # MXNet 1.9.1 keeps the backward dependencies of the Custom operator that was declared last for all of them, and
    # reads the storage type of the others' empty arrays by it, which fails. Without any, every array counts as dense.
    mx.operator._registry.result_deps = set()


def _store(target, request, value):
    """Put ``value`` into the NDArray ``target`` as the engine asks: 'null', 'write', 'inplace' or 'add'."""
    if request == 'null':
        return
    if request == 'add':
        value = target.asnumpy() + value
    target[:] = np.ascontiguousarray(value, dtype=target.dtype)


for _name, _kind in OPERATORS.items():
    mx.operator.register(_name)(type(_kind.__name__, (_Declared,), {'kind': _kind}))
