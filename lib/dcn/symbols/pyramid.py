"""Feature pyramid (Lin et al., CVPR 2017, section 3) and RoI pooling from its levels."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from dcn.symbols.box_head import OFFSET_LAYERS

import mxnet as mx
from mxnet.symbol import Symbol


def pyramid(stages: dict[str, Symbol], filters: int = 256) -> dict[str, Symbol]:
    """{'p2': ..., 'p6': ...} (B, filters, h, w) on the outputs of res2 to res5; p6 has twice the stride of res5.

    From coarse to fine: the map above, enlarged to twice its size, plus a 1x1 convolution of the stage. Sides must be
    multiples of res5's stride. There is no relu on the maps.
    """
    levels, above = {}, None
    for level in (5, 4, 3, 2):
        name = f'fpn_p{level}'
        x = _convolution(stages[f'res{level}'], name + '_1x1', filters, 1)
        if above is not None:
            enlarged = mx.sym.UpSampling(above, scale=2, sample_type='nearest', name=f'fpn_p{level + 1}_upsample')
            x = mx.sym.ElementWiseSum(enlarged, x, name=name + '_sum')
        levels[f'p{level}'] = _convolution(x, name, filters, 3)
        above = x
    # on res5 itself, not on p5
    levels['p6'] = _convolution(stages['res5'], 'fpn_p6', filters, 3, stride=2)
    return {name: levels[name] for name in sorted(levels)}


def pyramid_roi_pooling(
    levels: dict[str, Symbol],
    rois: Symbol,
    strides: Sequence[int],
    pooling: str = 'integer',
    filters: int = 1024,
    **settings: Any,
) -> Symbol:
    """(R, c, P, P) at ``rois`` (R, 5) in pixels, each from the one of p2 to p5 that fits its size.

    ``pooling``: 'integer', 'deformable' or 'modulated', the latter two as :func:`dcn.symbols.box_head.roi_pooling` has
    them, ``filters`` too; each level has a predictor of its own. ``settings``: attributes of the operator other than
    its defaults.
    """
    names = ('p2', 'p3', 'p4', 'p5')
    inputs = {'data_' + name: levels[name] for name in names}
    if tuple(strides) != (4, 8, 16, 32):
        settings['feat_strides'] = tuple(strides)
    if pooling != 'integer':
        settings['with_deformable'] = True
        rate = {'lr_mult': 0.01} if pooling == 'deformable' else {}
        inputs.update(
            {
                f'{layer}_{part}_{name}': mx.sym.var(f'{layer}_{name}_{part}', dtype=np.float32, **rate)
                for name in names
                for layer in OFFSET_LAYERS[pooling]
                for part in ('weight', 'bias')
            }
        )
    if pooling == 'modulated':
        settings.update(modulated=True, offset_filters=filters)
    return mx.sym.Custom(rois=rois, op_type='fpn_roi_pooling', name='fpn_roi_pooling', **inputs, **settings)


def _convolution(x, name, filters, side, stride=1):
    return mx.sym.Convolution(
        x, kernel=(side, side), pad=(side // 2, side // 2), stride=(stride, stride), num_filter=filters, name=name
    )
