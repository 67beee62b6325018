"""Writes golden_outputs.json, a few numbers by which a whole network of each family can be checked at 96 x 128 pixels:

    DCN_STOCK_OPERATORS=1 python -m tests.graphs.make_outputs

They were made by this project's graphs of the deformable networks on parameters and a picture filled by
:mod:`tests.graphs.filling`, with the operators of stock MXNet 1.9.1, after the same graphs had given the outputs and
the gradients of the original at 224 x 320 (test_reference.py).
"""

import json
from pathlib import Path

import numpy as np

from dcn.config import load_config, symbol_class
from dcn.files import atomic_write
from tests.graphs.conftest import DEEPLAB_DCN, FASTER_DCN, FPN_DCN, VOC_DCN
from tests.graphs.runs import pictured, run

GOLDEN = Path(__file__).with_name('golden_outputs.json')
HEIGHT, WIDTH = 96, 128
# fewer RoIs than NMS leaves, and each is foreground or background, so that nothing is filled up at random: a draw
# follows the last bits of its inputs, which differ between processors; 21 classes
DETECTION = (
    'TEST.RPN_POST_NMS_TOP_N=12',
    'TRAIN.RPN_POST_NMS_TOP_N=12',
    'TRAIN.ENABLE_OHEM=true',
    'TRAIN.BATCH_ROIS=-1',
    'TRAIN.BG_THRESH_LO=0.0',
    'dataset.NUM_CLASSES=21',
)
BACKBONE = (
    'conv1_weight',
    'res3b3_branch2b_weight',
    'res4b22_branch2c_weight',
    'res5a_branch2b_offset_weight',
    'res5c_branch2b_weight',
)
BOX_HEAD = ('fc_new_1_weight', 'fc_new_2_bias', 'cls_score_weight', 'bbox_pred_weight')
# network: overrides, layers whose gradients are kept
NETWORKS = {
    VOC_DCN: (
        DETECTION,
        (
            *BACKBONE,
            'rpn_conv_3x3_weight',
            'conv_new_1_weight',
            'rfcn_cls_weight',
            'rfcn_bbox_bias',
            'rfcn_cls_offset_t_weight',
            'rfcn_bbox_offset_t_weight',
            'bn5b_branch2a_gamma',
        ),
    ),
    FASTER_DCN: (
        DETECTION,
        (*BACKBONE, *BOX_HEAD, 'rpn_conv_3x3_weight', 'conv_new_1_weight', 'offset_weight', 'offset_bias'),
    ),
    FPN_DCN: (
        DETECTION,
        (
            *BACKBONE,
            *BOX_HEAD,
            'res3b3_branch2b_offset_weight',
            'fpn_p2_1x1_weight',
            'fpn_p3_weight',
            'fpn_p6_weight',
            'rpn_conv_weight',
            'offset_p2_weight',
            'offset_p2_bias',
        ),
    ),
    DEEPLAB_DCN: ((), (*BACKBONE, 'fc6_weight', 'score_bias', 'upsampling_weight')),
}


def measure(stem, build):
    """What the golden file holds of a network; ``build(is_train)`` gives it."""
    kind = _segmentation if stem == DEEPLAB_DCN else _detection
    found, gradients = kind(build)
    norms = {name: float(np.linalg.norm(gradients[name].astype(np.float64))) for name in NETWORKS[stem][1]}
    return {**found, 'gradient_norms': norms}


def _detection(build):
    """RoIs, probabilities and deltas of class 1 in test mode; gradients."""
    outputs, _ = run(build(False), pictured(HEIGHT, WIDTH))
    network = build(True)
    _, gradients = run(network, training_inputs(network), gradients=True)
    return {
        'rois': outputs['rois_output'][:, 1:].tolist(),
        'probabilities': outputs['cls_prob_reshape_output'][0].tolist(),
        'deltas': outputs['bbox_pred_reshape_output'][0, :, 4:8].tolist(),
    }, gradients


def _segmentation(build):
    """Probabilities of every 16th pixel; gradients where a quarter of the picture does not count."""
    data = pictured(HEIGHT, WIDTH)['data']
    outputs, _ = run(build(False), {'data': data})
    label = np.arange(HEIGHT * WIDTH).reshape(1, 1, HEIGHT, WIDTH) // 600
    label[..., : WIDTH // 4] = 255
    _, gradients = run(build(True), {'data': data, 'label': label}, gradients=True)
    return {'probabilities': outputs['softmax_output'][0, :, 8::16, 8::16].tolist()}, gradients


def training_inputs(network):
    """One object; anchors label 1, 0, -1 in turn; targets that grow along the map."""
    inputs = {**pictured(HEIGHT, WIDTH), 'gt_boxes': np.array([[[20, 10, 90, 70, 7]]])}
    network.infer_shape({name: value.shape for name, value in inputs.items()})
    label, boxes = network.arg_shape_dict['label'], network.arg_shape_dict['bbox_target']
    return {
        **inputs,
        'label': (1 - np.arange(label[1]) % 3)[np.newaxis],
        'bbox_weight': np.ones(boxes),
        'bbox_target': np.linspace(-0.5, 0.5, np.prod(boxes)).reshape(boxes),
    }


def main():
    """Write the golden file."""
    golden = {}
    for stem, (overrides, _) in NETWORKS.items():
        (path,) = Path('experiments').glob(f'*/cfgs/{stem}.yaml')
        cfg = load_config(str(path), overrides)

        def build(is_train, cfg=cfg):
            network = symbol_class(cfg)()
            network.get_symbol(cfg, is_train)
            return network

        golden[stem] = measure(stem, build)
    rounded = json.loads(json.dumps(golden), parse_float=lambda text: float(f'{float(text):.6g}'))
    with atomic_write(str(GOLDEN), 'w') as stream:
        stream.write(json.dumps(rounded))
        stream.write('\n')


if __name__ == '__main__':
    main()
