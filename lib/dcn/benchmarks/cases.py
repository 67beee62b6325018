"""What ``dcn bench ops`` times: calls of operators at real sizes and at small ones, and their inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dcn.rng import generator

STRIDE = 16  # pixels of the image for a cell of the feature map


class Case(NamedTuple):
    """A call: name of the operator, shapes of its inputs by name, attributes, whether it has a gradient."""

    operator: str
    inputs: dict[str, tuple[int, ...]]
    attributes: dict[str, Any]
    backward: bool


def convolution(
    batch: int,
    channels: int,
    height: int,
    width: int,
    filters: int,
    groups: int,
    dilate: int = 2,
    modulated: bool = False,
) -> Case:
    """3 x 3, stride 1, as many positions as pixels."""
    inputs = {
        'data': (batch, channels, height, width),
        'offset': (batch, 18 * groups, height, width),
        'weight': (filters, channels, 3, 3),
    }
    if modulated:
        inputs['mask'] = (batch, 9 * groups, height, width)
    attributes = dict(
        kernel=(3, 3),
        pad=(dilate, dilate),
        dilate=(dilate, dilate),
        num_filter=filters,
        num_deformable_group=groups,
        no_bias=True,
    )
    return Case('ModulatedDeformableConvolution' if modulated else 'DeformableConvolution', inputs, attributes, True)


def psroi_pooling(operator: str, classes: int, rois: int, height: int = 38, width: int = 63, **attributes: Any) -> Case:
    """7 x 7 bins for each class."""
    inputs = {'data': (1, 49 * classes, height, width), 'rois': (rois, 5)}
    if operator == 'DeformablePSROIPooling':
        inputs['trans'] = (rois, 2 * classes, 7, 7)
    attributes = dict(spatial_scale=1 / STRIDE, output_dim=classes, group_size=7, pooled_size=7, **attributes)
    return Case(operator, inputs, attributes, True)


def roi_pooling(channels: int, rois: int, height: int = 38, width: int = 63) -> Case:
    """7 x 7 bins."""
    return Case(
        'ROIPooling',
        {'data': (1, channels, height, width), 'rois': (rois, 5)},
        dict(pooled_size=(7, 7), spatial_scale=1 / STRIDE),
        True,
    )


def proposal(height: int, width: int, before: int, after: int) -> Case:
    """9 anchors for each cell; `before` candidates enter NMS, `after` proposals leave it."""
    inputs = {'cls_prob': (1, 18, height, width), 'bbox_pred': (1, 36, height, width), 'im_info': (1, 3)}
    attributes = dict(
        scales=(8, 16, 32),
        ratios=(0.5, 1, 2),
        feature_stride=STRIDE,
        threshold=0.7,
        rpn_pre_nms_top_n=before,
        rpn_post_nms_top_n=after,
        rpn_min_size=16,
    )
    return Case('Proposal', inputs, attributes, False)


PARTS = dict(part_size=7, sample_per_part=4, trans_std=0.1, no_trans=False)
CASES = {
    'deformable conv 512x38x63, 4 groups': convolution(1, 512, 38, 63, 512, 4),
    'deformable conv 512x38x63, 4 groups, batch 2': convolution(2, 512, 38, 63, 512, 4),
    'deformable conv 512x64x128, 4 groups': convolution(1, 512, 64, 128, 512, 4),
    'deformable conv 256x100x152, 1 group': convolution(1, 256, 100, 152, 256, 1, dilate=1),
    'deformable conv 64x20x20, 4 groups, batch 2': convolution(2, 64, 20, 20, 64, 4),
    'deformable conv 8x10x10, 1 group': convolution(1, 8, 10, 10, 8, 1),
    'modulated conv 512x38x63, 4 groups': convolution(1, 512, 38, 63, 512, 4, modulated=True),
    'modulated conv 256x100x152, 1 group': convolution(1, 256, 100, 152, 256, 1, dilate=1, modulated=True),
    'deformable PSRoI pooling, 300 RoIs, 21 classes': psroi_pooling('DeformablePSROIPooling', 21, 300, **PARTS),
    'deformable PSRoI pooling, 300 RoIs, 81 classes': psroi_pooling('DeformablePSROIPooling', 81, 300, **PARTS),
    'deformable PSRoI pooling, 8 RoIs, 2 classes': psroi_pooling('DeformablePSROIPooling', 2, 8, 14, 14, **PARTS),
    'PSRoI pooling, 300 RoIs, 21 classes': psroi_pooling('PSROIPooling', 21, 300),
    'PSRoI pooling, 300 RoIs, 81 classes': psroi_pooling('PSROIPooling', 81, 300),
    'PSRoI pooling, 8 RoIs, 2 classes': psroi_pooling('PSROIPooling', 2, 8, 14, 14),
    'RoI pooling 7x7, 300 RoIs, 256 channels': roi_pooling(256, 300),
    'RoI pooling 7x7, 8 RoIs, 16 channels': roi_pooling(16, 8, 14, 14),
    'proposal, 9 anchors at 38x63, 6000 to 300': proposal(38, 63, 6000, 300),
    'proposal, 9 anchors at 14x14, 300 to 20': proposal(14, 14, 300, 20),
    'NMS at 0.7, 6000 to 300': Case('NMS', {'dets': (6000, 5)}, dict(threshold=0.7, most=300), False),
    'NMS at 0.7, 100 to 50': Case('NMS', {'dets': (100, 5)}, dict(threshold=0.7, most=50), False),
}


def directions(case: Case) -> tuple[str, ...]:
    """Names of the passes that a case has."""
    return ('forward', 'backward') if case.backward else ('forward',)


def inputs(case: Case) -> dict[str, np.ndarray]:
    """{name: float32 array}: offsets of about a pixel, masks around one half, boxes all over the image."""
    height, width = next(iter(case.inputs.values()))[2:] if len(case.inputs) > 1 else (38, 63)
    image = STRIDE * height, STRIDE * width
    return {name: _array(name, shape, image) for name, shape in case.inputs.items()}


def _array(name, shape, image):
    random = generator(0, name)
    if name == 'rois':
        return np.column_stack([np.zeros(shape[0]), _boxes(random, shape[0], image)]).astype(np.float32)
    if name == 'dets':
        return np.column_stack([_boxes(random, shape[0], image), random.uniform(0, 1, shape[0])]).astype(np.float32)
    if name == 'im_info':
        return np.float32([[*image, 1]])
    if name in ('cls_prob', 'mask'):
        return random.uniform(0, 1, shape).astype(np.float32)
    return random.normal(0, 0.2 if name == 'bbox_pred' else 1, shape).astype(np.float32)


def _boxes(random, count, image):
    """(count, 4), sides from a twentieth to three fifths of the image's shorter one."""
    height, width = image
    shorter = min(image)
    corner = random.uniform(0, 1, (count, 2)) * (0.8 * width, 0.7 * height)
    size = random.uniform(0.05 * shorter, 0.6 * shorter, (count, 2))
    return np.column_stack([corner, np.minimum(corner + size, (width - 1, height - 1))])
