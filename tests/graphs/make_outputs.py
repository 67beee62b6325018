"""Writes golden_outputs.json, a few numbers by which a whole network can be checked at 96 x 128 pixels:

    DCN_STOCK_OPERATORS=1 python -m tests.graphs.make_outputs

They were made by this project's graph of deformable R-FCN (VOC) on parameters and a picture filled by
:mod:`tests.graphs.filling`, with the operators of stock MXNet 1.9.1, after the same graph had given the outputs and the
gradients of the original at 224 x 320 (test_reference.py).
"""
import json
from pathlib import Path

import numpy as np

from lib.config import load_config, symbol_class
from lib.files import atomic_write
from tests.graphs.conftest import VOC_DCN
from tests.graphs.runs import pictured, run

GOLDEN = Path(__file__).with_name('golden_outputs.json')
HEIGHT, WIDTH = 96, 128
# fewer than suppression leaves, so that nothing is filled up at random
OVERRIDES = ('TEST.RPN_POST_NMS_TOP_N=12', 'TRAIN.RPN_POST_NMS_TOP_N=12')
LAYERS = ('conv1_weight', 'res3b3_branch2b_weight', 'res4b22_branch2c_weight', 'res5a_branch2b_offset_weight',
          'res5c_branch2b_weight', 'rpn_conv_3x3_weight', 'conv_new_1_weight', 'rfcn_cls_weight', 'rfcn_bbox_bias',
          'rfcn_cls_offset_t_weight', 'rfcn_bbox_offset_t_weight', 'bn5b_branch2a_gamma')


def training_inputs():
    """One object; anchors label 1, 0, -1 in turn; targets that grow along the map."""
    cells = (HEIGHT // 16, WIDTH // 16)
    count = 36 * cells[0] * cells[1]
    return {
        **pictured(HEIGHT, WIDTH), 'gt_boxes': np.array([[[20, 10, 90, 70, 7]]]),
        'label': (1 - np.arange(count // 4) % 3)[np.newaxis], 'bbox_weight': np.ones((1, 36, *cells)),
        'bbox_target': np.linspace(-0.5, 0.5, count).reshape(1, 36, *cells)}


def measure(build):
    """What the golden file holds; ``build(is_train)`` gives the network."""
    outputs, _ = run(build(False), pictured(HEIGHT, WIDTH))
    _, gradients = run(build(True), training_inputs(), gradients=True)
    return {
        'rois': outputs['rois_output'][:, 1:].tolist(),
        'probabilities': outputs['cls_prob_reshape_output'][0].tolist(),
        'deltas': outputs['bbox_pred_reshape_output'][0, :, 4:].tolist(),
        'gradient_norms': {name: float(np.linalg.norm(gradients[name].astype(np.float64))) for name in LAYERS}}


def main():
    """Write the golden file."""
    cfg = load_config(f'experiments/rfcn/cfgs/{VOC_DCN}.yaml', OVERRIDES)

    def build(is_train):
        network = symbol_class(cfg)()
        network.get_symbol(cfg, is_train)
        return network

    rounded = json.loads(json.dumps(measure(build)), parse_float=lambda text: float(f'{float(text):.6g}'))
    with atomic_write(str(GOLDEN), 'w') as stream:
        stream.write(json.dumps(rounded))
        stream.write('\n')


if __name__ == '__main__':
    main()
