"""Running what the rules of the export write: by the reference evaluator of the package onnx, or by ONNX Runtime."""

import os

import numpy as np
import pytest

from dcn.errors import UserError
from dcn.export.builder import Builder
from dcn.export.model import options_for
from dcn.export.runtime import Runtime, runtime_python, to_openvino
from dcn.formats.attributes import Attributes

PEERS = os.environ.get('DCN_PEERS')  # folder of environments that lib/dcn/peers.py made


def evaluate(build, opset=19, **inputs):
    """What ``build(builder, *names of the inputs)``, a list of values, gives for ``inputs``: a list of arrays.

    By onnx's evaluator, which takes no heed of the order of equal values in TopK.
    """
    reference = pytest.importorskip('onnx.reference', reason='the package onnx is not installed')
    return reference.ReferenceEvaluator(_part(build, inputs, opset, None)).run(None, inputs)


def evaluate_in_runtime(build, folder, dtypes, package='onnxruntime', **inputs):
    """The same by ONNX Runtime or, as the ``package``, openvino; ``dtypes`` of the results, ``folder`` for the file."""
    need_runtime(package)
    model = _part(build, inputs, 19, dtypes, options_for(package).iou_slack)
    if package == 'openvino':
        path = os.path.join(folder, 'part.xml')
        to_openvino(model, path, half=False, peers=PEERS)
    else:
        path = os.path.join(folder, 'part.onnx')
        with open(path, 'wb') as stream:
            stream.write(model.SerializeToString())
    with Runtime(path, PEERS) as runtime:
        found, _ = runtime.run(inputs)
    return [found[f'result{k}'] for k in range(len(dtypes))]


def _part(build, inputs, opset, dtypes, iou_slack=0.0):
    """A model without Builder.model(), whose checker wants the shapes of results."""
    import onnx

    b = Builder(opset, iou_slack=iou_slack)
    values = build(b, *(b.input(name, array.dtype, array.shape) for name, array in inputs.items()))
    for k, value in enumerate(values):
        b.output(f'result{k}', value, dtypes[k] if dtypes else np.float32)
    graph = onnx.helper.make_graph(b._nodes, 'part', b._inputs, b._outputs, b._initializers)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', opset)], ir_version=9)


def attributes(**values):
    """An operator's attributes, as files hold them."""
    return Attributes({key: str(value) for key, value in values.items()}, 'a test')


def need_runtime(package):
    """Skip where ``package`` is neither here nor below $DCN_PEERS."""
    pytest.importorskip('onnx', reason='the package onnx is not installed')
    try:
        runtime_python(package, PEERS)
    except UserError as error:
        pytest.skip(f'{error}; or set DCN_PEERS to the folder')


def random(seed):
    return np.random.default_rng(seed)
