"""The head of R-FCN (Dai et al., NIPS 2016): one score map a class and part, pooled by position; its parts may be deformable.

Deformable pooling: Dai et al., ICCV 2017, section 2.2. P is the number of parts a side, C classes with the background, K regression classes.
"""
import functools

import mxnet as mx


def rfcn_features(res5, filters=1024):
    """conv_new_1 (B, filters, h, w), which learns three times as fast, and its relu."""
    x = mx.sym.Convolution(res5, kernel=(1, 1), num_filter=filters, lr_mult=3.0, name='conv_new_1')
    return mx.sym.Activation(x, act_type='relu', name='relu1')


def rfcn_head(features, rois, classes, reg_classes, parts=7, spatial_scale=1.0 / 16, pooling='integer'):
    """Scores (R, C), box deltas (R, 4K) and class offsets (R, 2C, P, P), or None, on ``features`` (B, c, h, w) at ``rois`` (R, 5) in pixels.

    ``pooling``: 'integer' bins of whole cells; 'bilinear' bins, four by four samples each; 'deformable': those, moved by
    predicted offsets, one pair (x, y) a class and part for the classes and one pair a part for the boxes.
    """
    branch = functools.partial(_branch, features, rois, parts, spatial_scale, pooling)
    # the names with the typo are the original's
    score, offset = branch('rfcn_cls', 'psroipooled_cls_rois', 'ave_cls_scors_rois', classes, classes)
    deltas, _ = branch('rfcn_bbox', 'psroipooled_loc_rois', 'ave_bbox_pred_rois', 4 * reg_classes, 1)
    score = mx.sym.Reshape(score, shape=(-1, classes), name='cls_score_reshape')
    return score, mx.sym.Reshape(deltas, shape=(-1, 4 * reg_classes), name='bbox_pred_reshape'), offset


def _branch(features, rois, parts, spatial_scale, pooling, name, pool_name, mean_name, outputs, offset_classes):
    """Maps ``name`` of outputs * P * P channels, pooled to (R, outputs, P, P) and averaged to (R, outputs, 1, 1); and the offsets used."""
    maps = mx.sym.Convolution(features, kernel=(1, 1), num_filter=parts * parts * outputs, name=name)
    bins = {'group_size': parts, 'pooled_size': parts, 'spatial_scale': spatial_scale}
    samples = {'part_size': parts, 'sample_per_part': 4, **bins}
    deformable_pool = mx.sym.contrib.DeformablePSROIPooling
    offset = None
    if pooling == 'integer':
        pooled = mx.sym.contrib.PSROIPooling(data=maps, rois=rois, output_dim=outputs, name=pool_name, **bins)
    elif pooling == 'bilinear':
        pooled = deformable_pool(data=maps, rois=rois, no_trans=True, output_dim=outputs, name=pool_name, **samples)
    else:
        offset_maps = mx.sym.Convolution(features, kernel=(1, 1), num_filter=2 * parts * parts * offset_classes, name=name + '_offset_t')
        offset = deformable_pool(data=offset_maps, rois=rois, no_trans=True, output_dim=2 * offset_classes, name=name + '_offset',
                                 **samples)
        pooled = deformable_pool(data=maps, rois=rois, trans=offset, no_trans=False, trans_std=0.1, output_dim=outputs, name=pool_name,
                                 **samples)
    return mx.sym.Pooling(pooled, pool_type='avg', global_pool=True, kernel=(parts, parts), name=mean_name), offset
