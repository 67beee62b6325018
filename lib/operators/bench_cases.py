"""What ``dcn bench ops`` times: calls of operators at real sizes, and their inputs."""
import collections

import numpy as np

from lib.rng import generator

Case = collections.namedtuple('Case', 'operator inputs attributes backward')
Case.__doc__ = """A call: name of the operator, shapes of its inputs by name, attributes, whether it has a gradient."""


def convolution(batch, channels, height, width, filters, groups, dilate=2, modulated=False):
    """3 x 3, stride 1, as many positions as pixels."""
    inputs = {'data': (batch, channels, height, width), 'offset': (batch, 18 * groups, height, width),
              'weight': (filters, channels, 3, 3)}
    if modulated:
        inputs['mask'] = (batch, 9 * groups, height, width)
    attributes = dict(kernel=(3, 3), pad=(dilate, dilate), dilate=(dilate, dilate), num_filter=filters,
                      num_deformable_group=groups, no_bias=True)
    return Case('ModulatedDeformableConvolution' if modulated else 'DeformableConvolution', inputs, attributes, True)


def pooling(operator, classes, **attributes):
    """300 RoIs on a 600 x 1000 image at stride 16."""
    inputs = {'data': (1, 49 * classes, 38, 63), 'rois': (300, 5)}
    if operator == 'DeformablePSROIPooling':
        inputs['trans'] = (300, 2 * classes, 7, 7)
    attributes = dict(spatial_scale=1 / 16, output_dim=classes, group_size=7, pooled_size=7, **attributes)
    return Case(operator, inputs, attributes, True)


PARTS = dict(part_size=7, sample_per_part=4, trans_std=0.1, no_trans=False)
ANCHORS = dict(scales=(8, 16, 32), ratios=(0.5, 1, 2), feature_stride=16, threshold=0.7, rpn_pre_nms_top_n=6000,
               rpn_post_nms_top_n=300, rpn_min_size=16)
MAPS = {'cls_prob': (1, 18, 38, 63), 'bbox_pred': (1, 36, 38, 63), 'im_info': (1, 3)}
CASES = {
    'deformable conv 512x38x63, 4 groups': convolution(1, 512, 38, 63, 512, 4),
    'deformable conv 512x38x63, 4 groups, batch 2': convolution(2, 512, 38, 63, 512, 4),
    'deformable conv 512x64x128, 4 groups': convolution(1, 512, 64, 128, 512, 4),
    'deformable conv 256x100x152, 1 group': convolution(1, 256, 100, 152, 256, 1, dilate=1),
    'deformable conv 64x20x20, 4 groups, batch 2': convolution(2, 64, 20, 20, 64, 4),
    'modulated conv 512x38x63, 4 groups': convolution(1, 512, 38, 63, 512, 4, modulated=True),
    'modulated conv 256x100x152, 1 group': convolution(1, 256, 100, 152, 256, 1, dilate=1, modulated=True),
    'deformable PSRoI pooling, 300 RoIs, 21 classes': pooling('DeformablePSROIPooling', 21, **PARTS),
    'deformable PSRoI pooling, 300 RoIs, 81 classes': pooling('DeformablePSROIPooling', 81, **PARTS),
    'PSRoI pooling, 300 RoIs, 21 classes': pooling('PSROIPooling', 21),
    'PSRoI pooling, 300 RoIs, 81 classes': pooling('PSROIPooling', 81),
    'RoI pooling 7x7, 300 RoIs, 256 channels': Case(
        'ROIPooling', {'data': (1, 256, 38, 63), 'rois': (300, 5)}, dict(pooled_size=(7, 7), spatial_scale=1 / 16),
        True),
    'proposal, 9 anchors at 38x63, 6000 to 300': Case('Proposal', MAPS, ANCHORS, False),
    'NMS at 0.7, 6000 to 300': Case('NMS', {'dets': (6000, 5)}, dict(threshold=0.7, most=300), False),
}


def directions(case):
    """Names of the passes that a case has."""
    return ('forward', 'backward') if case.backward else ('forward',)


def inputs(case):
    """{name: float32 array}: offsets of about a pixel, masks around one half, boxes all over a 600 x 1000 image."""
    return {name: _array(name, shape) for name, shape in case.inputs.items()}


def _array(name, shape):
    random = generator(0, name)
    if name == 'rois':
        return np.column_stack([np.zeros(shape[0]), _boxes(random, shape[0])]).astype(np.float32)
    if name == 'dets':
        return np.column_stack([_boxes(random, shape[0]), random.uniform(0, 1, shape[0])]).astype(np.float32)
    if name == 'im_info':
        return np.float32([[600, 1000, 1]])
    if name in ('cls_prob', 'mask'):
        return random.uniform(0, 1, shape).astype(np.float32)
    return random.normal(0, 0.2 if name == 'bbox_pred' else 1, shape).astype(np.float32)


def _boxes(random, count):
    corner, size = random.uniform(0, 1, (count, 2)) * (800, 400), random.uniform(30, 350, (count, 2))
    return np.column_stack([corner, np.minimum(corner + size, (999, 599))])
