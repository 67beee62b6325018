"""RoI pooling, proposals, sampling grids, and the Custom operators of this project's networks."""

import math

from dcn.inspection.shape_rules.rule import Misfit, dimensions, fixed, listed, require


def _roi_pooling(attrs, shapes):
    data, rois = shapes[:2]
    if data is None or rois is None:
        return shapes, [None]
    dimensions(data, 4)
    require(len(rois) == 2 and rois[1] == 5, 'RoIs of shape (R, 5)', rois)
    return shapes, [(rois[0], data[1], *attrs.pair('pooled_size', 7))]


def _position_sensitive(attrs, shapes):
    """PSROIPooling and DeformablePSROIPooling: data (B, outputs * groups^2, h, w), rois (R, 5), [trans]."""
    data, rois = shapes[:2]
    outputs, pooled = attrs.required('output_dim'), attrs.required('pooled_size')
    group = attrs.integer('group_size') or pooled
    if data is not None:
        dimensions(data, 4)
        channels = outputs * group * group
        require(data[1] == channels, f'{outputs} x {group} x {group} = {channels} channels', data)
    if rois is not None:
        require(len(rois) == 2 and rois[1] == 5, 'RoIs of shape (R, 5)', rois)
    return shapes, [None if rois is None else (rois[0], outputs, pooled, pooled)]


def _proposal(attrs, shapes):
    scores = attrs.truth('output_score')
    known = [shape for shape in shapes if shape is not None]
    if not known:
        return shapes, [None, None][: 1 + scores]
    rois = known[0][0] * attrs.integer('rpn_post_nms_top_n', 300)
    return shapes[:-1] + [shapes[-1] or (known[0][0], 3)], [(rois, 5), (rois, 1)][: 1 + scores]


def _proposal_target(attrs, shapes):
    rois, gt_boxes = shapes
    rows, columns = attrs.integer('batch_rois', -1), 4 * attrs.required('num_classes')
    if rows == -1:
        if rois is None or gt_boxes is None:
            return shapes, [None] * 4
        rows = rois[0] + gt_boxes[0]
    return shapes, [(rows, 5), (rows,), (rows, columns), (rows, columns)]


def _hard_examples(attrs, shapes):
    return shapes, [shapes[2] or (shapes[0] and shapes[0][:1]), shapes[4] or shapes[1]]


def _fpn_roi_pooling(attrs, shapes):
    """data p2 to p5, then weights and biases of each level's layers where deformable, then rois (R, 5)."""
    data, rois = shapes[0], shapes[-1]
    if data is None or rois is None:
        return shapes, [None]
    side = attrs.integer('pooled_height', 7)
    hidden = [attrs.integer('offset_filters', 1024)] * 2 if attrs.truth('modulated') else []
    widths = [data[1] * side * side, *hidden, (3 if hidden else 2) * side * side]
    layers = [shape for before, after in zip(widths, widths[1:]) for shape in ((after, before), (after,))]
    layers = layers * 4 if attrs.truth('with_deformable') else []
    if len(layers) != len(shapes) - 5 or any(shape not in (None, own) for shape, own in zip(shapes[4:-1], layers)):
        raise Misfit(f'layers of shapes {layers[: len(layers) // 4]} for each level', listed(shapes[4:-1]))
    return [*shapes[:4], *layers, rois], [(rois[0], data[1], side, side)]


def _bilinear_sampler(attrs, shapes):
    data, grid = shapes
    if data is None or grid is None:
        return shapes, [None]
    dimensions(data, 4)
    require(len(grid) == 4 and grid[:2] == (data[0], 2), f'a grid of shape ({data[0]}, 2, height, width)', grid)
    return shapes, [(*data[:2], *grid[2:])]


def _grid_generator(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    if attrs.text('transform_type') == 'warp':
        require(len(data) == 4 and data[1] == 2, 'a flow of shape (images, 2, height, width)', data)
        return shapes, [data]
    size = attrs.pair('target_shape', 0)
    require(len(data) == 2 and data[1] == 6 and min(size) > 0, 'data (images, 6) and a target_shape', data)
    return shapes, [(data[0], 2, *size)]


def _correlation(attrs, shapes):
    """FlowNet's: one channel for each displacement within ``max_displacement``."""
    one, two = shapes
    if one is None or two is None:
        return shapes, [None]
    dimensions(one, 4)
    fixed(two, one, 'a second map')
    kernel, reach = attrs.integer('kernel_size', 1), attrs.integer('max_displacement', 1)
    stride, step, pad = attrs.integer('stride1', 1), attrs.integer('stride2', 1), attrs.integer('pad_size', 0)
    border = reach + (kernel - 1) // 2
    size = [math.ceil((length + 2 * pad - 2 * border) / stride) for length in one[2:]]
    require(min(size) > 0, 'maps larger than the displacements', one)
    return shapes, [(one[0], (2 * (reach // step) + 1) ** 2, *size)]


def _multibox_prior(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    boxes = len(attrs.tuple('sizes', (1.0,))) + len(attrs.tuple('ratios', (1.0,))) - 1
    require(len(data) > 3, 'data of 4 dimensions', data)
    return shapes, [(1, data[2] * data[3] * boxes, 4)]


def _adaptive_pooling(attrs, shapes):
    data = shapes[0]
    if data is None:
        return shapes, [None]
    dimensions(data, 4)
    size = attrs.tuple('output_size')
    require(len(size) < 3, 'at most two sizes', size)
    return shapes, [(*data[:2], *(size * 2 if len(size) == 1 else size or (1, 1)))]


RULES = {
    'ROIPooling': _roi_pooling,
    '_contrib_ROIAlign': _roi_pooling,
    '_contrib_PSROIPooling': _position_sensitive,
    '_contrib_DeformablePSROIPooling': _position_sensitive,
    '_contrib_Proposal': _proposal,
    '_contrib_MultiProposal': _proposal,
    'BilinearSampler': _bilinear_sampler,
    'GridGenerator': _grid_generator,
    'Correlation': _correlation,
    '_contrib_MultiBoxPrior': _multibox_prior,
    '_contrib_AdaptiveAvgPooling2D': _adaptive_pooling,
}
CUSTOM = {
    'proposal': _proposal,
    'pyramid_proposal': _proposal,
    'proposal_target': _proposal_target,
    'BoxAnnotatorOHEM': _hard_examples,
    'fpn_roi_pooling': _fpn_roi_pooling,
}
