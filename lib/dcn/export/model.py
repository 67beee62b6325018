"""A trained network as one ONNX file: photo or blob in, boxes or the network's own outputs out."""

import json
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

from dcn import rewrite
from dcn.config.families import kind_of
from dcn.errors import UserError
from dcn.export import preprocessing, results
from dcn.export.builder import Builder
from dcn.export.network import add_network, graph_inputs, output_name
from dcn.export.trained import Trained
from dcn.loader.loaders import testing_scales

STAGES = ('boxes', 'network')


class Options(NamedTuple):
    """What the file is to do.

    stage          'network': the graph's own outputs; 'boxes': what a user wants of them, boxes, scores and classes,
                   or of a segmentation network the class of each pixel
    size           (height, width) of the input, or None where every image may have its own
    preprocessing  False: the input is the network's blob ``data``; True: a photo ``image`` (h, w, 3) uint8 BGR
    threshold      boxes up to this score are dropped
    half           parameters are stored in half precision; the file computes in single all the same
    opset          of the ONNX standard
    iou_slack      added to the thresholds of NMS, for a runtime that drops boxes at exactly the threshold, which stay
    """

    stage: str = 'boxes'
    size: Optional[Tuple[int, int]] = None
    preprocessing: bool = False
    threshold: float = 1e-3
    half: bool = False
    opset: int = 19
    iou_slack: float = 0.0


def options_for(runtime: str, **options: Any) -> Options:
    """The Options of a file for 'onnxruntime' or 'openvino'; the latter drops clipped boxes whose IoU is 0.7, say, to
    the last digit."""
    return Options(iou_slack=1e-7 if runtime == 'openvino' else 0.0, **options)


def onnx_model(trained: Trained, options: Options = Options()) -> Any:
    """The ModelProto of the test graph of ``trained``."""
    cfg = trained.cfg
    _check(cfg, options)
    # batch norm becomes part of the convolutions; outputs keep their order, not always their names
    names = [output_name(trained.graph.nodes[i], k) for i, k in trained.graph.heads]
    graph, params = rewrite.for_inference(trained.graph, trained.params, onednn=False)
    b = Builder(options.opset, options.half, options.iou_slack)
    wanted, detector = graph_inputs(graph, params), kind_of(cfg) == 'detection'
    scale, photo = None, None
    height, width = options.size or ('height', 'width')
    if options.preprocessing:
        image = b.input('image', np.uint8, (height, width, 3))
        size = testing_scales(cfg)[0]
        stride, means = cfg.network.IMAGE_STRIDE, cfg.network.PIXEL_MEANS
        b.scope = 'preprocessing'
        blob, im_info, scale = preprocessing.network_input(b, image, *size, stride, means)
        photo = b('Slice', b('Shape', image), np.array([0]), np.array([2]))
        known = {'data': blob, 'im_info': im_info}
    else:
        known = {'data': b.input('data', np.float32, (1, 3, height, width))}
        if 'im_info' in wanted or detector and options.stage == 'boxes':
            known['im_info'] = b.input('im_info', np.float32, (1, 3))
    outputs = dict(zip(names, add_network(b, graph, params, trained.shapes, known)))
    if options.stage == 'network':
        for name, (value, shape) in outputs.items():
            b.output(name, value, shape=[None] * len(shape))
    elif detector:
        _add_boxes(b, cfg, outputs, known, scale, options.threshold)
    else:
        _add_pixels(b, outputs, known, scale, photo)
    return b.model(cfg.symbol, _metadata(trained, options))


def _add_boxes(b, cfg, outputs, known, scale, threshold):
    b.scope = 'boxes'
    (rois, _), (scores, _), (deltas, _) = (
        outputs[name] for name in ('rois_output', 'cls_prob_reshape_output', 'bbox_pred_reshape_output')
    )
    if scale is None:
        scale = b.cast(b.column(b.reshape(known['im_info'], 3), 0, 2), np.float64)
    size = b.cast(b('Slice', b('Shape', known['data']), np.array([2]), np.array([4])), np.float32)
    boxes, best, classes = results.detections(
        b,
        rois,
        scores,
        deltas,
        size,
        scale,
        cfg.dataset.NUM_CLASSES,
        cfg.CLASS_AGNOSTIC,
        cfg.TEST,
        threshold,
    )
    b.output('boxes', boxes, shape=('detections', 4))
    b.output('scores', best, shape=('detections',))
    b.output('classes', classes, np.int64, shape=('detections',))


def _add_pixels(b, outputs, known, scale, photo):
    b.scope = 'pixels'
    (probability, _) = outputs['softmax_output']
    if photo is None:
        photo = inner = b('Slice', b('Shape', known['data']), np.array([2]), np.array([4]))
    else:
        inner = b.cast(b('Max', b('Round', b('Mul', b.cast(photo, np.float64), scale)), np.float64(1)), np.int64)
    b.output('classes', results.pixel_classes(b, probability, inner, photo), np.int64, shape=('rows', 'columns'))


def _check(cfg, options):
    if options.stage not in STAGES:
        raise UserError(f'stage {options.stage}: expected one of {", ".join(STAGES)}')
    if kind_of(cfg) == 'detection' and options.stage == 'boxes' and cfg.TEST.USE_SOFTNMS:
        raise UserError(
            f'{cfg.name}: TEST.USE_SOFTNMS is true, and soft-NMS is not a standard operation; export with '
            '--set TEST.USE_SOFTNMS=false, or with --stage network and run soft-NMS outside the file'
        )
    if options.preprocessing and options.stage == 'boxes' and len(testing_scales(cfg)) > 1:
        raise UserError(
            f'{cfg.name}: TEST_SCALES has {len(testing_scales(cfg))} sizes, but an exported file uses one; '
            f'choose it, such as --set "TEST_SCALES=[{list(testing_scales(cfg)[0])}]"'
        )


def _metadata(trained, options):
    """What the file says of itself, {text: text}."""
    cfg = trained.cfg
    short, longest = testing_scales(cfg)[0]
    stride = cfg.network.IMAGE_STRIDE
    about = {
        'symbol': cfg.symbol,
        'configuration': cfg.name,
        'stage': options.stage,
        'class_names': list(trained.class_names),
        'colour_order': 'the image is BGR; data has the planes red, green, blue',
        'pixel_means_bgr': [float(mean) for mean in cfg.network.PIXEL_MEANS],
        'size_rule': {
            'short_side': short,
            'longest_side': longest,
            'padded_to_multiples_of': stride,
            'in_words': f'the short side becomes {short} pixels unless the long one would exceed {longest}'
            + (f'; zeros at the bottom and right up to multiples of {stride}, before the means' if stride else ''),
        },
        'im_info': '[height, width, scale] of data, padding included; scale = data / photo',
        'preprocessing': 'inside' if options.preprocessing else 'outside',
        'boxes': 'x1 y1 x2 y2 in pixels of the photo, corners inclusive; classes count from 1, 0 is the background',
        'threshold': options.threshold,
        'precision_of_parameters': 'float16' if options.half else 'float32',
        'licence_of_the_parameters': 'unknown',
        'source': trained.source,
    }
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
