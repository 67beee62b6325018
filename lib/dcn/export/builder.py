"""An ONNX graph while it is built: nodes, constants and inputs, each value known by its name."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

import numpy as np

from dcn.errors import UserError

# the name of a value, or what becomes a constant
Operand = Union[str, np.ndarray, np.generic]
OPSETS = (19, 21)  # DeformConv came with 19; newer ones than the last have not been tried


def onnx_package() -> Any:
    """The package ``onnx``, or one sentence that tells how to get it."""
    try:
        import onnx
    except ImportError:
        raise UserError('the package onnx is missing, which writes ONNX files; run: pip install "onnx>=1.14"') from None
    return onnx


class Builder:
    """``builder('Add', x, np.float32(1), axis=...)`` adds a node and gives the name of its output (a list of
    names where ``outputs`` is above 1).

    Inputs are names of values, NumPy arrays or scalars (which become constants, equal ones once), or None for an
    optional input that is absent. Values are named after ``scope``, the node of the network that they are part of.
    """

    def __init__(self, opset: int = OPSETS[0], half: bool = False, iou_slack: float = 0.0):
        if not OPSETS[0] <= opset <= OPSETS[1]:
            raise UserError(
                f'opset {opset}: expected {OPSETS[0]} to {OPSETS[1]}: deformable convolution is a standard operation '
                f'since opset {OPSETS[0]}; leave --opset out'
            )
        self.iou_slack = iou_slack  # NMS drops boxes from the threshold and this on
        self._onnx, self.opset, self.scope, self._half = onnx_package(), opset, '', half
        self._nodes: List[Any] = []
        self._inputs: List[Any] = []
        self._outputs: List[Any] = []
        self._initializers: List[Any] = []
        self._constants: Dict[Tuple[str, Tuple[int, ...], bytes], str] = {}
        self._taken: Set[str] = set()

    def __call__(self, op: str, *inputs: Optional[Operand], outputs: int = 1, **attributes: Any) -> Any:
        names = [self._unused(f'{self.scope}/{op}' if self.scope else op) for _ in range(outputs)]
        self._nodes.append(
            self._onnx.helper.make_node(op, [self._value(x) for x in inputs], names, name=names[0], **attributes)
        )
        return names[0] if outputs == 1 else names

    def parameter(self, name: str, array: np.ndarray) -> str:
        """A constant under its own name; with ``half`` it is stored in half precision, and made single by the file."""
        self._taken.add(name)
        if self._half:
            limit = np.finfo(np.float16).max
            self._initializers.append(
                self._onnx.numpy_helper.from_array(np.clip(array, -limit, limit).astype(np.float16), name)
            )
            return self.cast(name, np.float32)
        self._initializers.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def input(self, name: str, dtype: Any, shape: Sequence[Union[int, str]]) -> str:
        """An input; texts in ``shape`` name dimensions that are known when the file runs."""
        self._taken.add(name)
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, value: str, dtype: Any = np.float32, shape: Optional[Sequence[Any]] = None) -> None:
        """Give ``value`` out under ``name``."""
        self._taken.add(name)
        self._nodes.append(self._onnx.helper.make_node('Identity', [value], [name], name=f'output/{name}'))
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, kind, shape))

    def model(self, name: str, metadata: Mapping[str, str]) -> Any:
        """The whole as a checked ModelProto; ``metadata``: {text: text}."""
        onnx = self._onnx
        graph = onnx.helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._initializers)
        # the oldest format that has these opsets, so that older runtimes read it
        model = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid('', self.opset)],
            ir_version=9 if self.opset < 21 else 10,
            producer_name='Deformable ConvNets on MXNet',
        )
        onnx.helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model

    # ---- what several rules need ----

    def size(self, x: Operand, axis: int) -> str:
        """The length of ``x`` along ``axis``, an int64 scalar."""
        return self('Gather', self('Shape', x), np.int64(axis))

    def length(self, x: Operand, axis: int) -> str:
        """As :meth:`size`, but float32."""
        return self('Cast', self.size(x, axis), to=self._onnx.TensorProto.FLOAT)

    def cast(self, x: Operand, dtype: Any) -> str:
        """``x`` as values of the NumPy type ``dtype``."""
        return self('Cast', x, to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def range(self, count: Operand, dtype: Any = np.float32) -> str:
        """0, 1, ..., ``count`` - 1, of ``dtype``; ``count`` an int64 scalar."""
        return self.cast(self('Range', np.int64(0), count, np.int64(1)), dtype)

    def shape(self, *sizes: Union[int, Operand]) -> str:
        """A shape for Reshape or Expand, of numbers and int64 scalars."""
        return self(
            'Concat',
            *(np.array([n], np.int64) if isinstance(n, int) else self.reshape(n, 1) for n in sizes),
            axis=0,
        )

    def reshape(self, x: Operand, *shape: int) -> str:
        """``x`` with the sides ``shape``, of which one may be -1: the rest."""
        return self('Reshape', x, np.array(shape, np.int64))

    def slice(self, x: Operand, axis: int, begin: Union[int, Operand], end: Union[int, Operand]) -> str:
        """``x[begin:end]`` along ``axis``; ``begin`` and ``end`` are numbers or int64 scalars."""
        ends = [np.array([n], np.int64) if isinstance(n, int) else self.reshape(n, 1) for n in (begin, end)]
        return self('Slice', x, *ends, np.array([axis], np.int64))

    def column(self, x: Operand, axis: int, index: int) -> str:
        """``x`` at ``index`` along ``axis``, without that axis."""
        return self('Gather', x, np.int64(index), axis=axis)

    def clip(self, x: Operand, low: Operand, high: Operand) -> str:
        """``x`` between ``low`` and ``high``, which are included."""
        return self('Min', self('Max', x, low), high)

    def round_away(self, x: Operand) -> str:
        """C's round: halves go away from zero; ONNX's Round takes them to even numbers."""
        return self('Mul', self('Sign', x), self('Floor', self('Add', self('Abs', x), np.float32(0.5))))

    def _value(self, x):
        if x is None:
            return ''
        if isinstance(x, str):
            return x
        array = np.asarray(x)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            name = self._constants[key] = self._unused('constant')
            self._initializers.append(self._onnx.numpy_helper.from_array(array, name))
        return self._constants[key]

    def _unused(self, name):
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f'{name}_{number}'
        self._taken.add(found)
        return found
