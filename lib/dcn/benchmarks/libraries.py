"""The process that times another library for ``dcn bench ops --peers``, run by that library's own Python:

    DIR/openvino/bin/python lib/dcn/benchmarks/libraries.py openvino

It imports nothing of the project. `serve` is the protocol of all peers' processes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from typing import Any, Callable, Mapping, NamedTuple

import numpy as np

SLOW = 0.3  # seconds of a call beside which allocating memory and waking threads do not count
ENOUGH = 0.02  # seconds of all calls that count in a turn


class Call(NamedTuple):
    """A call that can be timed: run() makes it or begins it, values() gives its results {name: array}, wait(), if any,
    returns when all that was begun is done."""

    run: Callable[[], Any]
    values: Callable[[], dict[str, Any]]
    wait: Callable[[], None] | None


class Missing(Exception):
    """The peer has no such operator or pass."""


# ---- the protocol ----


def serve(prepare: Callable[[dict[str, Any]], Call]) -> None:
    """Answers lines of JSON until the input ends.

    {versions: [packages]} gets {package: version}. {case, direction, operator, attributes, file}, file being an .npz
    with the inputs, gets {seconds}, and with a path `save` the results are written there, or {missing: why}.
    prepare(question) returns a Call. What compiles or allocates at first happens outside the timing.
    """
    ready: dict[str, Call] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if 'versions' in question:
            answer = {name: _version(name) for name in question['versions']}
        else:
            answer = _answer(prepare, ready, question)
        print(json.dumps(answer), flush=True)


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'missing'


def _answer(prepare, ready, question):
    key = json.dumps([question['case'], question['direction'], question['attributes']])
    try:
        if key not in ready:
            ready.clear()  # one case in memory at a time
            ready[key] = prepare(question)
            first = timed(ready[key])
            if first > SLOW and 'save' not in question:
                return {'seconds': first}
        call = ready[key]
        if 'save' in question:
            np.savez(question['save'], **call.values())
        return {'seconds': timed(call)}
    except Exception as error:  # whatever a foreign library says goes into the report
        return {'missing': f'{type(error).__name__}: {error}'.splitlines()[0]}


def timed(call: Call) -> float:
    """Seconds of one call. The first one does not count unless it is slow: since the last turn threads went to sleep,
    and other processes filled the caches. Short ones are repeated, twice as often each time, until the last repetitions
    take long enough. They are waited for together: handing over from one thread to another costs MXNet up to 40
    microseconds, by chance, and is no part of an operator."""
    count, seconds = 1, _total(call, 1)
    if seconds > SLOW:
        return seconds
    seconds = _total(call, 1)
    while seconds < ENOUGH:
        count *= 2
        seconds = _total(call, count)
    return seconds / count


def _total(call, count):
    start = time.perf_counter()
    for _ in range(count):
        call.run()
    if call.wait:
        call.wait()
    return time.perf_counter() - start


def arrays_of(path: str) -> dict[str, np.ndarray]:
    """{name: array} of an .npz file."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def threads() -> int:
    """How many threads a peer gets."""
    return int(os.environ['OMP_NUM_THREADS'])


def corners_outside(dets: np.ndarray) -> np.ndarray:
    """(N, 4) from (N, 5): boxes of inclusive corners for libraries whose boxes end at their corners: areas are then the
    same."""
    return np.ascontiguousarray(dets[:, :4] + np.float32([0, 0, 1, 1]))


# ---- torchvision ----


def torchvision(operator: str, attributes: Mapping[str, Any], arrays: Mapping[str, np.ndarray], direction: str) -> Call:
    """A Call. Missing where the library lacks the operator or the pass."""
    import torch

    torch.set_num_threads(threads())
    backward = direction == 'backward'
    tensors = {
        name: torch.from_numpy(array).requires_grad_(backward and name != 'rois') for name, array in arrays.items()
    }
    if operator == 'NMS':
        tensors.update(boxes=torch.from_numpy(corners_outside(arrays['dets'])))

    def forward():
        with torch.set_grad_enabled(backward):
            return _torchvision_call(operator, attributes, tensors)

    if not backward:
        return Call(forward, lambda: {'out': forward().numpy()}, None)
    wanted = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
    out = forward()
    head = torch.ones_like(out)

    def gradients():
        return torch.autograd.grad(out, list(wanted.values()), head, retain_graph=True)

    return Call(gradients, lambda: {name: grad.numpy() for name, grad in zip(wanted, gradients())}, None)


def _torchvision_call(operator, attributes, tensors):
    from torchvision import ops

    if 'Convolution' in operator:
        return ops.deform_conv2d(
            tensors['data'],
            tensors['offset'],
            tensors['weight'],
            padding=attributes['pad'],
            dilation=attributes['dilate'],
            mask=tensors.get('mask'),
        )
    if operator == 'PSROIPooling':
        return ops.ps_roi_pool(tensors['data'], tensors['rois'], attributes['pooled_size'], attributes['spatial_scale'])
    if operator == 'ROIPooling':
        return ops.roi_pool(tensors['data'], tensors['rois'], attributes['pooled_size'], attributes['spatial_scale'])
    if operator == 'NMS':
        return ops.nms(tensors['boxes'], tensors['dets'][:, 4], attributes['threshold'])[: attributes['most']]
    raise Missing(f'no {operator}')


# ---- OpenVINO ----


def openvino(operator: str, attributes: Mapping[str, Any], arrays: Mapping[str, np.ndarray], direction: str) -> Call:
    """A Call. Missing where the library lacks the operator or the pass."""
    if direction == 'backward':
        raise Missing('no gradients')
    import openvino as ov
    from openvino import opset8, opset14

    if operator == 'NMS':
        arrays = {
            'boxes': corners_outside(arrays['dets'])[None],
            'scores': np.ascontiguousarray(arrays['dets'][None, None, :, 4]),
        }
    inputs = {name: opset8.parameter(array.shape, np.float32, name=name) for name, array in arrays.items()}
    node = _openvino_node(opset8, opset14, operator, attributes, inputs, arrays)
    names = [name for name in arrays if name != 'weight']
    model = ov.Model([node], [inputs[name] for name in names])
    compiled = ov.Core().compile_model(
        model,
        'CPU',
        {'INFERENCE_NUM_THREADS': threads(), 'INFERENCE_PRECISION_HINT': 'f32', 'PERFORMANCE_HINT': 'LATENCY'},
    )
    request = compiled.create_infer_request()
    for index, name in enumerate(names):
        request.set_input_tensor(index, ov.Tensor(arrays[name]))

    def values():
        request.infer()
        out = request.get_output_tensor(0).data
        return {'out': _kept(out) if operator == 'NMS' else np.array(out)}

    return Call(request.infer, values, None)


def _openvino_node(old, new, operator, attributes, inputs, arrays):
    if 'Convolution' in operator:
        pad, dilate = list(attributes['pad']), attributes['dilate']
        return old.deformable_convolution(
            inputs['data'],
            inputs['offset'],
            old.constant(arrays['weight']),
            [1, 1],
            pad,
            pad,
            dilate,
            mask=inputs.get('mask'),
            deformable_group=attributes['num_deformable_group'],
            bilinear_interpolation_pad=True,
        )
    if operator == 'DeformablePSROIPooling':
        return old.deformable_psroi_pooling(
            inputs['data'],
            inputs['rois'],
            attributes['output_dim'],
            attributes['spatial_scale'],
            attributes['group_size'],
            'bilinear_deformable',
            attributes['sample_per_part'],
            attributes['sample_per_part'],
            attributes['trans_std'],
            attributes['part_size'],
            offsets=inputs['trans'],
        )
    if operator == 'PSROIPooling':
        return old.psroi_pooling(
            inputs['data'],
            inputs['rois'],
            attributes['output_dim'],
            attributes['group_size'],
            attributes['spatial_scale'],
            1,
            1,
            'average',
        )
    if operator == 'ROIPooling':
        return new.roi_pooling(
            inputs['data'], inputs['rois'], list(attributes['pooled_size']), attributes['spatial_scale'], 'max'
        )
    if operator == 'Proposal':
        return _openvino_proposal(old, attributes, inputs)
    if operator == 'NMS':
        return new.non_max_suppression(
            inputs['boxes'],
            inputs['scores'],
            np.int64(attributes['most']),
            np.float32(attributes['threshold']),
            box_encoding='corner',
            sort_result_descending=False,
        )
    raise Missing(f'no {operator}')


def _openvino_proposal(old, attributes, inputs):
    whole, real = np.uint32, np.float32
    return old.proposal(
        inputs['cls_prob'],
        inputs['bbox_pred'],
        old.squeeze(inputs['im_info'], [0]),
        {
            'base_size': whole(attributes['feature_stride']),
            'feat_stride': whole(attributes['feature_stride']),
            'pre_nms_topn': whole(attributes['rpn_pre_nms_top_n']),
            'post_nms_topn': whole(attributes['rpn_post_nms_top_n']),
            'nms_thresh': real(attributes['threshold']),
            'min_size': whole(attributes['rpn_min_size']),
            'ratio': real(attributes['ratios']),
            'scale': real(attributes['scales']),
            'clip_before_nms': True,
            'clip_after_nms': False,
            'normalize': False,
        },
    )


def _kept(rows):
    """Box numbers of the rows [image, class, box]; rows of -1 fill OpenVINO's."""
    boxes = np.array(rows)[:, 2]
    return boxes[boxes >= 0]


# ---- ONNX Runtime ----


def onnxruntime(operator: str, attributes: Mapping[str, Any], arrays: Mapping[str, np.ndarray], direction: str) -> Call:
    """A Call. Missing where the library lacks the operator or the pass."""
    if direction == 'backward':
        raise Missing('no gradients')
    import onnx
    import onnxruntime as ort

    constants = {}
    if operator == 'NMS':
        constants = {'most': np.int64([attributes['most']]), 'threshold': np.float32([attributes['threshold']])}
        arrays = {
            'boxes': corners_outside(arrays['dets'])[None],
            'scores': np.ascontiguousarray(arrays['dets'][None, None, :, 4]),
        }
    kind = onnx.TensorProto.INT64 if operator == 'NMS' else onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [_onnx_node(onnx.helper.make_node, operator, attributes, 'mask' in arrays)],
        'one',
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)
            for name, array in arrays.items()
        ],
        [onnx.helper.make_tensor_value_info('out', kind, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 19)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads()
    session = ort.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])

    def run():
        return session.run(None, arrays)[0]

    return Call(run, lambda: {'out': _kept(run()) if operator == 'NMS' else run()}, None)


def _onnx_node(make_node, operator, attributes, modulated):
    if 'Convolution' in operator:
        inputs = ['data', 'weight', 'offset'] + (['', 'mask'] if modulated else [])
        return make_node(
            'DeformConv',
            inputs,
            ['out'],
            kernel_shape=[3, 3],
            pads=list(attributes['pad']) * 2,
            dilations=list(attributes['dilate']),
            strides=[1, 1],
            offset_group=attributes['num_deformable_group'],
        )
    if operator == 'ROIPooling':
        return make_node(
            'MaxRoiPool',
            ['data', 'rois'],
            ['out'],
            spatial_scale=attributes['spatial_scale'],
            pooled_shape=list(attributes['pooled_size']),
        )
    if operator == 'NMS':
        return make_node('NonMaxSuppression', ['boxes', 'scores', 'most', 'threshold'], ['out'])
    raise Missing(f'no {operator}')


def main(name: str) -> None:
    """Be the peer of that name."""
    library = {'torchvision': torchvision, 'openvino': openvino, 'onnxruntime': onnxruntime}[name]

    def prepare(question):
        arrays = arrays_of(question['file'])
        return library(question['operator'], question['attributes'], arrays, question['direction'])

    serve(prepare)


if __name__ == '__main__':
    main(sys.argv[1])
