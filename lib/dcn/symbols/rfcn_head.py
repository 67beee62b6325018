"""The head of R-FCN (Dai et al., NIPS 2016): score maps for each class and part, pooled by position.

The parts may be deformable (Dai et al., ICCV 2017, section 2.2) and modulated. The paper of modulation (Zhu et al.,
CVPR 2019, section 3.2) pools without positions; for R-FCN this is an extension of ours: as the offsets come from maps
that are pooled by position, so do the weights. P is the number of parts a side, C the number of classes with the
background, K that of regression classes.
"""

from __future__ import annotations

import functools

from dcn.symbols.modulation import offsets_and_weights

import mxnet as mx
from mxnet.symbol import Symbol


def rfcn_head(
    features: Symbol,
    rois: Symbol,
    classes: int,
    reg_classes: int,
    parts: int = 7,
    spatial_scale: float = 1.0 / 16,
    pooling: str = 'integer',
) -> tuple[Symbol, Symbol, Symbol | None]:
    """Scores (R, C), box deltas (R, 4K) and class offsets (R, 2C, P, P), or None, at ``rois`` (R, 5) in pixels.

    ``pooling``: 'integer' bins of whole cells; 'bilinear' bins, four by four samples each; 'deformable': those, shifted
    by predicted offsets, one pair (x, y) for each class and part in the class branch, for each part in the box branch;
    'modulated': also multiplied by predicted weights, one beside each pair, 0.5 at first.
    """
    branch = functools.partial(_branch, features, rois, parts, spatial_scale, pooling)
    # the name with the typo is the original's
    score, offset = branch('rfcn_cls', 'psroipooled_cls_rois', 'ave_cls_scors_rois', classes, classes)
    deltas, _ = branch('rfcn_bbox', 'psroipooled_loc_rois', 'ave_bbox_pred_rois', 4 * reg_classes, 1)
    score = mx.sym.Reshape(score, shape=(-1, classes), name='cls_score_reshape')
    return score, mx.sym.Reshape(deltas, shape=(-1, 4 * reg_classes), name='bbox_pred_reshape'), offset


def _branch(features, rois, parts, spatial_scale, pooling, name, pool_name, mean_name, outputs, offset_classes):
    """Maps ``name`` (B, outputs * P * P, h, w) pooled to (R, outputs, 1, 1), and offsets (R, 2 * .., P, P) or None."""
    pool = functools.partial(
        mx.sym.contrib.DeformablePSROIPooling,
        rois=rois,
        group_size=parts,
        pooled_size=parts,
        part_size=parts,
        sample_per_part=4,
        spatial_scale=spatial_scale,
    )
    maps = mx.sym.Convolution(features, kernel=(1, 1), num_filter=parts * parts * outputs, name=name)
    offset = weights = None
    if pooling == 'integer':
        pooled = mx.sym.contrib.PSROIPooling(
            data=maps,
            rois=rois,
            group_size=parts,
            pooled_size=parts,
            spatial_scale=spatial_scale,
            output_dim=outputs,
            name=pool_name,
        )
    elif pooling == 'bilinear':
        pooled = pool(data=maps, no_trans=True, output_dim=outputs, name=pool_name)
    else:
        offset, weights = _part_offsets(features, pool, parts, pooling, name + '_offset', offset_classes)
        pooled = pool(data=maps, trans=offset, no_trans=False, trans_std=0.1, output_dim=outputs, name=pool_name)
    if weights is not None:
        pooled = mx.sym.broadcast_mul(pooled, weights, name=pool_name + '_modulated')
    return mx.sym.Pooling(pooled, pool_type='avg', global_pool=True, kernel=(parts, parts), name=mean_name), offset


def _part_offsets(features, pool, parts, pooling, name, classes):
    """Offsets ``name`` (R, 2 * classes, P, P), x and y of each class, and weights (R, classes, P, P) or None, pooled by
    position from the maps ``name``_t."""
    modulated = pooling == 'modulated'
    channels = (3 if modulated else 2) * classes
    maps = mx.sym.Convolution(features, kernel=(1, 1), num_filter=parts * parts * channels, name=name + '_t')
    pooled = pool(data=maps, no_trans=True, output_dim=channels, name=name + '_pool' if modulated else name)
    return offsets_and_weights(pooled, 2 * classes, name, name + '_weights') if modulated else (pooled, None)
