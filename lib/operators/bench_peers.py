"""Other libraries as peers of ``dcn bench ops``, each in an environment of its own, made from PyPI.

    python lib/operators/bench_peers.py --make DIR [NAME ...]      makes DIR/torchvision, DIR/openvino, DIR/onnxruntime

A peer's own Python runs this file with ``--worker NAME``. It imports nothing of the project: it reads lines of JSON
{case, operator, attributes, file, direction}, file being an .npz with the inputs, and answers each with {seconds} or
with {missing: why}.
"""
import argparse
import json
import os
import subprocess
import sys
import time
import venv

import numpy as np

PACKAGES = {
    'torchvision': ['torch==2.13.0', 'torchvision==0.28.0', 'numpy'],
    'openvino': ['openvino==2026.4.1', 'numpy'],
    'onnxruntime': ['onnxruntime==1.32.0', 'onnx', 'numpy'],
}


class Missing(Exception):
    """The peer has no such operator or pass."""


def python_of(folder, name):
    """The interpreter of a peer's environment below ``folder``."""
    return os.path.join(folder, name, 'bin', 'python')


def make(folder, names):
    """Make the environments that are not there yet."""
    for name in names:
        python = python_of(folder, name)
        if not os.path.exists(python):
            venv.create(os.path.join(folder, name), with_pip=True)
        subprocess.run([python, '-m', 'pip', 'install', '--quiet', *PACKAGES[name]], check=True)
        print(f'{name}: {os.path.join(folder, name)}')


# ---- torchvision ----

def torchvision(operator, attributes, arrays, direction):
    """A function without arguments that makes one call."""
    import torch
    from torchvision import ops
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    backward = direction == 'backward'
    tensors = {name: torch.from_numpy(array).requires_grad_(backward and name != 'rois')
               for name, array in arrays.items()}

    def forward():
        if 'Convolution' in operator:
            return ops.deform_conv2d(tensors['data'], tensors['offset'], tensors['weight'], padding=attributes['pad'],
                                     dilation=attributes['dilate'], mask=tensors.get('mask'))
        if operator == 'PSROIPooling':
            return ops.ps_roi_pool(tensors['data'], tensors['rois'], attributes['pooled_size'],
                                   attributes['spatial_scale'])
        if operator == 'ROIPooling':
            return ops.roi_pool(tensors['data'], tensors['rois'], attributes['pooled_size'],
                                attributes['spatial_scale'])
        if operator == 'NMS':
            dets = tensors['dets']
            return ops.nms(dets[:, :4], dets[:, 4], attributes['threshold'])[:attributes['most']]
        raise Missing(f'no {operator}')
    if not backward:
        return _without_gradients(torch, forward)
    out = forward()
    head = torch.ones_like(out)
    wanted = [tensor for tensor in tensors.values() if tensor.requires_grad]
    return lambda: torch.autograd.grad(out, wanted, head, retain_graph=True)


def _without_gradients(torch, forward):
    def call():
        with torch.no_grad():
            return forward()
    return call


# ---- OpenVINO ----

def openvino(operator, attributes, arrays, direction):
    """A function without arguments that makes one call."""
    if direction == 'backward':
        raise Missing('no gradients')
    import openvino as ov
    from openvino import opset8, opset14
    inputs = {name: opset8.parameter(array.shape, np.float32, name=name) for name, array in arrays.items()}
    node = _openvino_node(opset8, opset14, operator, attributes, inputs, arrays)
    model = ov.Model([node], [inputs[name] for name in arrays if name != 'weight'])
    compiled = ov.Core().compile_model(model, 'CPU', {
        'INFERENCE_NUM_THREADS': int(os.environ['OMP_NUM_THREADS']), 'INFERENCE_PRECISION_HINT': 'f32',
        'PERFORMANCE_HINT': 'LATENCY'})
    request = compiled.create_infer_request()
    for index, name in enumerate(name for name in arrays if name != 'weight'):
        request.set_input_tensor(index, ov.Tensor(arrays[name]))
    return request.infer


def _openvino_node(old, new, operator, attributes, inputs, arrays):
    if 'Convolution' in operator:
        (height, width), dilate = attributes['pad'], attributes['dilate']
        return old.deformable_convolution(
            inputs['data'], inputs['offset'], old.constant(arrays['weight']), [1, 1], [height, width], [height, width],
            dilate, mask=inputs.get('mask'), deformable_group=attributes['num_deformable_group'],
            bilinear_interpolation_pad=True)
    if operator == 'DeformablePSROIPooling':
        return old.deformable_psroi_pooling(
            inputs['data'], inputs['rois'], attributes['output_dim'], attributes['spatial_scale'],
            attributes['group_size'], 'bilinear_deformable', attributes['sample_per_part'],
            attributes['sample_per_part'], attributes['trans_std'], attributes['part_size'], offsets=inputs['trans'])
    if operator == 'PSROIPooling':
        return old.psroi_pooling(inputs['data'], inputs['rois'], attributes['output_dim'], attributes['group_size'],
                                 attributes['spatial_scale'], 1, 1, 'average')
    if operator == 'ROIPooling':
        return new.roi_pooling(inputs['data'], inputs['rois'], list(attributes['pooled_size']),
                               attributes['spatial_scale'], 'max')
    if operator == 'Proposal':
        whole, real = np.uint32, np.float32
        settings = {'base_size': whole(16), 'feat_stride': whole(attributes['feature_stride']),
                    'pre_nms_topn': whole(attributes['rpn_pre_nms_top_n']),
                    'post_nms_topn': whole(attributes['rpn_post_nms_top_n']),
                    'nms_thresh': real(attributes['threshold']), 'min_size': whole(attributes['rpn_min_size']),
                    'ratio': real(attributes['ratios']), 'scale': real(attributes['scales']),
                    'clip_before_nms': True, 'clip_after_nms': False, 'normalize': False}
        return old.proposal(inputs['cls_prob'], inputs['bbox_pred'], old.squeeze(inputs['im_info'], [0]), settings)
    if operator == 'NMS':
        columns = old.split(old.unsqueeze(inputs['dets'], [0]), 2, 5).outputs()
        return new.non_max_suppression(
            old.concat(columns[:4], 2), old.transpose(columns[4], [0, 2, 1]), np.int64(attributes['most']), np.float32(attributes['threshold']),
            box_encoding='corner', sort_result_descending=False)
    raise Missing(f'no {operator}')


# ---- ONNX Runtime ----

def onnxruntime(operator, attributes, arrays, direction):
    """A function without arguments that makes one call."""
    if direction == 'backward':
        raise Missing('no gradients')
    import onnx
    import onnxruntime as ort
    names, extra = list(arrays), {}
    if 'Convolution' in operator:
        names = [name for name in ('data', 'offset', 'weight') if name in arrays]
        inputs = ['data', 'weight', 'offset', '', 'mask'] if 'mask' in arrays else ['data', 'weight', 'offset']
        pads = list(attributes['pad']) * 2
        node = onnx.helper.make_node('DeformConv', inputs, ['out'], kernel_shape=[3, 3], pads=pads,
                                     dilations=list(attributes['dilate']), strides=[1, 1],
                                     offset_group=attributes['num_deformable_group'])
        names = list(arrays)
    elif operator == 'ROIPooling':
        node = onnx.helper.make_node('MaxRoiPool', ['data', 'rois'], ['out'], spatial_scale=attributes['spatial_scale'],
                                     pooled_shape=list(attributes['pooled_size']))
    elif operator == 'NMS':
        dets = arrays['dets']
        arrays = {'boxes': np.ascontiguousarray(dets[None, :, :4]),
                  'scores': np.ascontiguousarray(dets[None, None, :, 4])}
        names = list(arrays)
        extra = {'most': np.int64([attributes['most']]), 'threshold': np.float32([attributes['threshold']])}
        node = onnx.helper.make_node('NonMaxSuppression', ['boxes', 'scores', 'most', 'threshold'], ['out'])
    else:
        raise Missing(f'no {operator}')
    kind = onnx.TensorProto.INT64 if operator == 'NMS' else onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node], 'one', [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, arrays[name].shape)
                        for name in names],
        [onnx.helper.make_tensor_value_info('out', kind, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in extra.items()])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 19)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ['OMP_NUM_THREADS'])
    session = ort.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    return lambda: session.run(None, {name: arrays[name] for name in names})


# ---- the worker ----

def work(peer):
    """Answers until the input ends."""
    prepare = {'torchvision': torchvision, 'openvino': openvino, 'onnxruntime': onnxruntime}[peer]
    ready = {}
    for line in sys.stdin:
        question = json.loads(line)
        key = question['case'], question['direction']
        try:
            if key not in ready:
                ready.clear()
                with np.load(question['file']) as file:
                    arrays = {name: file[name] for name in file.files}
                ready[key] = prepare(question['operator'], question['attributes'], arrays, question['direction'])
                ready[key]()
            start = time.perf_counter()
            ready[key]()
            answer = {'seconds': time.perf_counter() - start}
        except Exception as error:   # whatever a foreign library says goes into the report
            answer = {'missing': f'{type(error).__name__}: {error}'.splitlines()[0]}
        print(json.dumps(answer), flush=True)


def main():
    """Make environments, or be a peer."""
    parser = argparse.ArgumentParser(description='Environments for the peers of "dcn bench ops --peers".')
    parser.add_argument('--make', metavar='DIR', help='make the environments below DIR')
    parser.add_argument('names', nargs='*', help=f'which (default: {", ".join(PACKAGES)})')
    parser.add_argument('--worker', choices=PACKAGES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args.worker)
    unknown = set(args.names) - set(PACKAGES)
    if unknown or not args.make:
        parser.error(f'unknown peer {sorted(unknown)}' if unknown else '--make DIR is needed')
    make(args.make, args.names or list(PACKAGES))


if __name__ == '__main__':
    main()
