"""What RoI pooling learns, which shows its kind: 'integer' (nothing), 'deformable' or 'modulated'.

Letters of sizes as in :mod:`dcn.inspection.checkpoint.known`.
"""

import math
import re
from typing import Dict, Mapping, Optional, Tuple

from dcn.inspection.checkpoint import known

Shape = Optional[Tuple[int, ...]]
LAYER = re.compile(r'(rfcn_(cls|bbox)_offset_t|(deform_fc_[12]|offset)(_p\d)?)_(weight|bias)$')
_BY_POSITION = {'rfcn_cls_offset_t': ('{}*P2*C', 'H', 1, 1), 'rfcn_bbox_offset_t': ('{}*P2', 'H', 1, 1)}
_DEFORMABLE = {'offset': ('2*P2', 'P2*W')}
_MODULATED = {'deform_fc_1': ('H', 'P2*W'), 'deform_fc_2': ('H', 'H'), 'offset': ('3*P2', 'H')}
_LEVELS = ('_p2', '_p3', '_p4', '_p5')


def kind(shapes: Mapping[str, Shape]) -> str:
    """The kind of pooling of a checkpoint of ``shapes`` ({bare name: shape})."""
    if not any(LAYER.match(name) for name in shapes):
        return 'integer'
    numbers, _ = numbers_and_bins(shapes.get('rfcn_bbox_offset_t_weight'))
    return 'modulated' if numbers == 3 or any(name.startswith('deform_fc') for name in shapes) else 'deformable'


def numbers_and_bins(shape: Shape) -> Tuple[int, Optional[int]]:
    """(numbers for each bin, bins) of R-FCN's box offsets: as many rows as twice or three times a square; (0, None)
    for anything else."""
    rows = (shape or (0,))[0]
    for numbers in (2, 3):
        if rows and rows % numbers == 0 and math.isqrt(rows // numbers) ** 2 == rows // numbers:
            return numbers, rows // numbers
    return 0, None


def layers(family: str, pooling: str, sizes: Mapping[str, Optional[int]]) -> Dict[str, Tuple[Optional[int], ...]]:
    """{parameter: shape} of the layers that this ``pooling`` has in a network of ``family``.

    sizes: {letter: number}
    """
    if pooling == 'integer':
        return {}
    named: Dict[str, tuple]
    if family == 'rfcn':
        count = 3 if pooling == 'modulated' else 2
        named = {name: (shape[0].format(count), *shape[1:]) for name, shape in _BY_POSITION.items()}
    else:
        levels = _LEVELS if family == 'fpn' else ('',)
        named = {
            name + level: shape
            for level in levels
            for name, shape in (_MODULATED if pooling == 'modulated' else _DEFORMABLE).items()
        }
    found = {}
    for name, shape in named.items():
        found[name + '_weight'] = tuple(known.value(term, sizes) for term in shape)
        found[name + '_bias'] = found[name + '_weight'][:1]
    return found
