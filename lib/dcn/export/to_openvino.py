"""Makes an OpenVINO file of an ONNX one, in a Python that has OpenVINO, but needs nothing of this project.

    python to_openvino.py MODEL.onnx OUT.xml

OpenVINO's own converter reads ONNX but for deformable convolution, which OpenVINO has under another name, and the order
of equal values: the rules for these are here. Standard input holds JSON: {"metadata": {text: text}, "half": whether
parameters are stored in half precision}. Prints a line of JSON: {} or {"error": text}.
"""

import json
import sys

import numpy as np
import openvino
from openvino import opset8, opset11
from openvino.frontend.onnx import ConversionExtension


def deformable_convolution(node):
    """DeformConv of ONNX as dcn.export writes it: without a bias, with or without a mask."""
    data, weight, offset = (node.get_input(k) for k in range(3))
    pads = list(node.get_attribute('pads'))
    found = opset8.deformable_convolution(
        data,
        offset,
        weight,
        list(node.get_attribute('strides')),
        pads[:2],
        pads[2:],
        list(node.get_attribute('dilations')),
        node.get_input(4) if node.get_input_size() > 4 else None,
        group=node.get_attribute('group'),
        deformable_group=node.get_attribute('offset_group'),
        bilinear_interpolation_pad=True,  # zeros outside the map, as ONNX has it
    )
    return [found.output(0)]


def top_k(node):
    """TopK of ONNX, where the first of equal values comes first; the converter's own rule lets their order fall as it
    may, and saturated scores are equal."""
    count = opset8.squeeze(node.get_input(1), opset8.constant(np.array([0], np.int64)))
    mode = 'max' if node.get_attribute('largest', 1) else 'min'
    axis = node.get_attribute('axis', -1)
    found = opset11.topk(node.get_input(0), count, axis, mode, 'value', index_element_type='i64', stable=True)
    return found.outputs()


RULES = {'DeformConv': deformable_convolution, 'TopK': top_k}


def convert(source, target, metadata, half):
    """Write ``target`` and its .bin."""
    model = openvino.convert_model(source, extension=[ConversionExtension(*rule) for rule in RULES.items()])
    for key, value in metadata.items():
        model.set_rt_info(value, ['dcn', key])
    openvino.save_model(model, target, compress_to_fp16=half)


if __name__ == '__main__':
    try:
        convert(*sys.argv[1:], **json.load(sys.stdin))
        answer = {}
    except Exception as error:
        answer = {'error': f'{type(error).__name__}: {error}'}
    print(json.dumps(answer), flush=True)
