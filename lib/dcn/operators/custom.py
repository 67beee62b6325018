"""What the Custom operators share: arrays in, NumPy, arrays out, and gradients that are zero."""

import ast

import numpy as np

from dcn.errors import UserError

import mxnet as mx


class NumpyOperator(mx.operator.CustomOp):
    """Runs ``compute(*inputs) -> outputs`` on NumPy arrays.

    ``gradient(out_grad, *inputs)``, for one output, gives the gradients of all inputs; without it they are zero. No
    MXNet operator runs inside: its engine is busy with the caller, and a second one would only wait for threads.
    """

    def __init__(self, compute, gradient=None):
        super().__init__()
        self._compute, self._gradient = compute, gradient

    def forward(self, is_train, req, in_data, out_data, aux):
        """Copy the inputs in, compute, copy the outputs out."""
        _forget_dependencies()
        results = self._compute(*[array.asnumpy() for array in in_data])
        for target, request, value in zip(out_data, req, results):
            _store(target, request, value)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        """Zeros without ``gradient``: the selection of boxes is a constant of the step, as in the original."""
        if self._gradient is not None:
            grads = self._gradient(out_grad[0].asnumpy(), *[array.asnumpy() for array in in_data])
            for target, request, grad in zip(in_grad, req, grads):
                _store(target, request, grad)
            return
        for target, request in zip(in_grad, req):
            if request in ('write', 'inplace'):
                _store(target, request, np.zeros(target.shape))


class NumpyOperatorProp(mx.operator.CustomOpProp):
    """Declares a :class:`NumpyOperator` over ``self.compute``, and over ``self.gradient`` where there is one."""

    arguments = ()
    outputs = ()
    gradient = None

    def __init__(self):
        super().__init__(need_top_grad=self.gradient is not None)

    def list_arguments(self):
        """Names of the inputs."""
        return list(self.arguments)

    def list_outputs(self):
        """Names of the outputs."""
        return list(self.outputs)

    def infer_shape(self, in_shape):
        """Shapes of the inputs and outputs; all are unknown (empty) as long as the first input's is."""
        if not in_shape[0]:
            return in_shape, [[] for _ in self.outputs], []
        inputs, outputs = self.shapes(*in_shape)
        return inputs, outputs, []

    def create_operator(self, ctx, shapes, dtypes):
        """The operator for one executor."""
        return NumpyOperator(self.compute, self.gradient)

    def declare_backward_dependency(self, out_grad, in_data, out_data):
        """What the gradients need: nothing where they are zero."""
        return [] if self.gradient is None else [*out_grad, *in_data]


def number(name, text, kind=float):
    """The attribute ``name`` given as text, as an int or a float."""
    try:
        return kind(text)
    except ValueError:
        raise UserError(f'attribute {name}: expected a number ({kind.__name__}), found {text!r}') from None


def numbers(name, text, length=None):
    """The attribute ``name`` given as text such as '(8, 16, 32)', as a tuple of floats."""
    try:
        values = ast.literal_eval(text)
        values = tuple(float(v) for v in (values if isinstance(values, (tuple, list)) else (values,)))
    except (ValueError, SyntaxError, TypeError):
        raise UserError(f'attribute {name}: expected numbers such as "(8, 16, 32)", found {text!r}') from None
    if length is not None and len(values) != length:
        raise UserError(f'attribute {name}: expected {length} numbers, found {len(values)} in {text!r}')
    return values


def boolean(name, text):
    """The attribute ``name`` given as 'True' or 'False' (any case, or 1 and 0)."""
    words = {'true': True, '1': True, 'false': False, '0': False}
    if str(text).lower() not in words:
        raise UserError(f'attribute {name}: expected True or False, found {text!r}')
    return words[str(text).lower()]


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
