"""Makes an OpenVINO file of an ONNX one, in a Python that has OpenVINO, but needs nothing of this project.

    python to_openvino.py MODEL.onnx OUT.xml

OpenVINO's own converter reads ONNX but for deformable convolution, which OpenVINO has under another name, and the order
of equal values: the rules for these are here. Standard input holds JSON: {"metadata": {text: text}, "half": whether
parameters are stored in half precision}. Prints a line of JSON: {} or {"error": text}.
"""

import json
import sys
from typing import Any, Dict, List

import numpy as np
import openvino
from openvino import opset8, opset11
from openvino.frontend.onnx import ConversionExtension


def deformable_convolution(node: Any) -> List[Any]:
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


MOST = 46340  # its square is the largest that 32 bits hold


def top_k(node: Any) -> List[Any]:
    """TopK of ONNX over a line of values, where the first of equal ones comes first; the converter's own rule lets
    their order fall as it may, and saturated scores are equal.

    OpenVINO's stable TopK takes half a second for 6000 of 21,000 values, a hundred times as long as the other one.
    That one is used here, twice: by value, and then by (which of the values it is, place), which no two have in common.
    """
    values, count = node.get_input(0), opset8.squeeze(node.get_input(1), _line(0))
    key = values if node.get_attribute('largest', 1) else opset8.negative(values)
    choice = opset8.if_op(opset8.less_equal(count, opset8.constant(np.int64(MOST))))
    bodies = [_body(order) for order in (_order, _order_of_many)]
    choice.set_then_body(bodies[0])
    choice.set_else_body(bodies[1])
    for place, given in enumerate((key, count)):
        parameters = [body.get_parameters()[place] for body in bodies]
        choice.set_input(given.output(0) if hasattr(given, 'output') else given, *parameters)
    order = choice.set_output(*(body.get_results()[0] for body in bodies))
    return [_taken(values, order).output(0), opset8.convert(order, 'i64').output(0)]


def _body(order):
    key, count = opset8.parameter([-1], np.float32), opset8.parameter([], np.int64)
    return openvino.Model([order(key, count)], [key, count])


def _order_of_many(key, count):
    return opset11.topk(key, count, 0, 'max', 'value', index_element_type='i32', stable=True).output(1)


def _order(key, count):
    """Places (count,) int32 of the largest of ``key`` (n,) float32, the first of equal ones first."""
    last = opset8.reduce_min(_sorted(key, count)[0], _line(0), keep_dims=True)
    above, equal = (_places(found) for found in (opset8.greater(key, last), opset8.equal(key, last)))
    number = opset8.shape_of(above, output_type='i32')
    values, places = _sorted(_taken(key, above), _length(above))
    before = opset8.slice(opset8.concat([last, values], 0), _line(0), opset8.shape_of(values), _line(1))
    which = opset8.cum_sum(opset8.convert(opset8.less(values, before), 'i32'), opset8.constant(np.int32(0)))
    both = opset8.add(opset8.multiply(which, number), places)
    order = _taken(above, _taken(places, _sorted(both, _length(both), 'min')[1]))
    return opset8.slice(opset8.concat([order, equal], 0), _line(0), opset8.unsqueeze(count, _line(0)), _line(1))


def _sorted(values, count, mode='max'):
    """(values, places), equal ones in any order."""
    return opset11.topk(values, count, 0, mode, 'value', index_element_type='i32').outputs()


def _places(flags):
    return opset8.reshape(opset8.non_zero(flags, output_type='i32'), _line(-1), False)


def _length(values):
    return opset8.squeeze(opset8.shape_of(values), _line(0))


def _taken(values, places):
    return opset8.gather(values, places, opset8.constant(np.int32(0)))


def _line(number):
    return opset8.constant(np.array([number], np.int64))


RULES = {'DeformConv': deformable_convolution, 'TopK': top_k}


def convert(source: str, target: str, metadata: Dict[str, str], half: bool) -> None:
    """Write ``target`` and its .bin, of the ONNX file ``source``."""
    model = openvino.convert_model(source, extension=[ConversionExtension(*rule) for rule in RULES.items()])
    for key, value in metadata.items():
        model.set_rt_info(value, ['dcn', key])
    openvino.save_model(model, target, compress_to_fp16=half)


if __name__ == '__main__':
    try:
        convert(sys.argv[1], sys.argv[2], **json.load(sys.stdin))
        answer = {}
    except Exception as error:
        answer = {'error': f'{type(error).__name__}: {error}'}
    print(json.dumps(answer), flush=True)
