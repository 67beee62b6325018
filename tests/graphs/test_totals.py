"""Parameters and multiply-adds of every graph, against those of the original's graphs."""

import pytest

from tests.graphs.macs import multiply_adds, parameters
from tests.graphs.normal_form import read_golden

GOLDEN = read_golden()
PREFIX = 'rfcn__resnet_v1_101_'
ALT = 'alt__' + PREFIX
FASTER = 'faster_rcnn__resnet_v1_101_'
FPN = 'fpn__resnet_v1_101_coco_trainval_fpn'
DEEPLAB = 'deeplab__deeplab_resnet_v1_101_'
FASTER_ALT = 'alt__' + FASTER
# test mode at 600 x 1000 (FPN: 608 x 1024, DeepLab: 1024 x 2048 and 505 x 505): parameters (millions) in all, of
# backbone, offset layers, heads; multiply-adds (G) likewise
TABLE = {
    ALT + 'voc0712_rfcn_dcn_end2end_ohem__rfcn': (49.260, 42.500, 3.205, 3.555, 135.00, 118.82, 7.67, 8.50),
    ALT + 'voc0712_rfcn_dcn_end2end_ohem__rpn': (32.282, 27.535, 0.000, 4.747, 94.41, 83.05, 0.00, 11.36),
    ALT + 'voc0712_rfcn_end2end_ohem__rfcn': (46.055, 42.500, 0.000, 3.555, 127.33, 118.82, 0.00, 8.50),
    ALT + 'voc0712_rfcn_end2end_ohem__rpn': (32.282, 27.535, 0.000, 4.747, 94.41, 83.05, 0.00, 11.36),
    'rfcn__deform_conv_demo': (51.051, 42.500, 0.249, 8.302, 139.29, 118.82, 0.60, 19.87),
    'rfcn__deform_psroi_demo': (50.019, 42.500, 0.406, 7.113, 136.82, 118.82, 0.97, 17.02),
    PREFIX + 'coco_trainval_rfcn_dcn_end2end_ohem': (63.057, 42.500, 9.232, 11.324, 168.00, 118.82, 22.08, 27.10),
    PREFIX + 'coco_trainval_rfcn_end2end_ohem': (53.824, 42.500, 0.000, 11.324, 145.92, 118.82, 0.00, 27.10),
    PREFIX + 'voc0712_rfcn_dcn_end2end_ohem': (54.007, 42.500, 3.205, 8.302, 146.36, 118.82, 7.67, 19.87),
    PREFIX + 'voc0712_rfcn_end2end_ohem': (50.802, 42.500, 0.000, 8.302, 138.69, 118.82, 0.00, 19.87),
    'rfcn__rfcn_coco_demo__rfcn_demo': (53.824, 42.500, 0.000, 11.324, 145.92, 118.82, 0.00, 27.10),
    'rfcn__rfcn_coco_demo': (53.824, 42.500, 0.000, 11.324, 145.92, 118.82, 0.00, 27.10),
    FASTER_ALT + 'voc0712_rcnn_dcn_end2end__rcnn': (59.253, 42.500, 2.225, 14.528, 127.03, 118.82, 2.75, 5.46),
    FASTER_ALT + 'voc0712_rcnn_dcn_end2end__rpn': (32.282, 27.535, 0.000, 4.747, 94.41, 83.05, 0.00, 11.36),
    FASTER_ALT + 'voc0712_rcnn_end2end__rcnn': (57.028, 42.500, 0.000, 14.528, 124.28, 118.82, 0.00, 5.46),
    FASTER_ALT + 'voc0712_rcnn_end2end__rpn': (32.282, 27.535, 0.000, 4.747, 94.41, 83.05, 0.00, 11.36),
    FASTER + 'coco_trainval_rcnn_dcn_end2end': (64.317, 42.500, 2.225, 19.591, 138.51, 118.82, 2.75, 16.93),
    FASTER + 'coco_trainval_rcnn_end2end': (62.092, 42.500, 0.000, 19.591, 135.76, 118.82, 0.00, 16.93),
    FASTER + 'voc0712_rcnn_dcn_end2end': (64.000, 42.500, 2.225, 19.275, 138.39, 118.82, 2.75, 16.82),
    FASTER + 'voc0712_rcnn_end2end': (61.775, 42.500, 0.000, 19.275, 135.64, 118.82, 0.00, 16.82),
    FPN + '_dcn_end2end_ohem': (72.226, 42.500, 6.162, 23.563, 224.45, 93.91, 4.27, 126.27),
    FPN + '_end2end_ohem': (66.064, 42.500, 0.000, 23.563, 220.17, 93.91, 0.00, 126.27),
    'deeplab__deeplab_cityscapes_demo': (44.637, 42.500, 0.000, 2.137, 425.62, 408.12, 0.00, 17.50),
    DEEPLAB + 'cityscapes_segmentation_base': (44.637, 42.500, 0.000, 2.137, 425.62, 408.12, 0.00, 17.50),
    DEEPLAB + 'cityscapes_segmentation_dcn': (44.886, 42.500, 0.249, 2.137, 427.66, 408.12, 2.04, 17.50),
    DEEPLAB + 'voc12_segmentation_base': (44.641, 42.500, 0.000, 2.141, 52.93, 50.74, 0.00, 2.19),
    DEEPLAB + 'voc12_segmentation_dcn': (44.890, 42.500, 0.249, 2.141, 53.19, 50.74, 0.25, 2.19),
}


def measure(network, graph):
    """Exact counts of the graph of a golden entry."""
    _, made = network(
        graph['yaml'], [f'symbol={graph["symbol"]}'], graph['mode'] == 'train', graph['part'] and '_' + graph['part']
    )
    made.infer_shape(graph['input_shapes'])
    return parameters(made, graph['input_shapes']), multiply_adds(made, graph['input_shapes'])


@pytest.mark.parametrize('name', TABLE)
def test_totals_equal_the_published_graphs(name, network):
    params, macs = measure(network, GOLDEN[name + '__test'])
    kinds = ('total', 'backbone', 'offset', 'head')
    assert tuple(round(params[kind] / 1e6, 3) for kind in kinds) == TABLE[name][:4]
    assert tuple(round(macs[kind] / 1e9, 2) for kind in kinds) == TABLE[name][4:]


@pytest.mark.parametrize('name', GOLDEN)
def test_counts_equal_the_golden_file(name, network):
    params, macs = measure(network, GOLDEN[name])
    assert params == GOLDEN[name]['params']
    assert macs == GOLDEN[name]['macs']


# the parameters that torchvision gives; its last layer has 2048 * 1000 + 1000 of them
@pytest.mark.parametrize('depth, count', [(50, 25557032), (101, 44549160), (152, 60192808)])
def test_resnets_have_the_right_number_of_parameters(depth, count, network):
    _, made = network('resnet_v1_101_voc0712_rfcn_end2end_ohem', [f'network.depth={depth}'], False)
    made.infer_shape({'data': (1, 3, 64, 96), 'im_info': (1, 3)})
    assert parameters(made, ('data', 'im_info'))['backbone'] == count - 2049000
