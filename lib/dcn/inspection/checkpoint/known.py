"""The networks of the original as tables of parameter shapes (networks.json), with sizes left open:

C classes with the background, K classes of box regression (2: object or not), A anchors a cell, P2 bins of RoI pooling,
F1 to F4 middle widths of res2 to res5, R and H widths of the region proposals and the head, W channels that RoI pooling
of Faster R-CNN and FPN reads, S stride in pixels of the maps that DeepLab scores. What RoI pooling learns is not in
them (:mod:`dcn.inspection.checkpoint.pooling`).
A shape is a list of numbers and products such as '4*P2*K'. tests/inspection/make_networks.py writes the file.
"""

import json
import os
import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from dcn.symbols.resnet_plan import FILTERS, depth_of

_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'networks.json')
OFFSET = re.compile(r'(res\d[a-z]\d*)_branch2b_offset_(weight|bias)$')
_BLOCK = re.compile(r'res(\d)([a-z]\d*)_branch2a_weight$')
_NORM = ('gamma', 'beta')
_STATES = ('moving_mean', 'moving_var')

Shapes = Dict[str, Tuple[int, ...]]


class Backbone(NamedTuple):
    """A ResNet with Caffe's names: names of the blocks of res2 to res5, and their middle widths."""

    blocks: Tuple[Tuple[str, ...], ...]
    filters: Tuple[int, ...]

    @property
    def depth(self) -> Optional[int]:
        """50, 101 or 152, or None."""
        return depth_of([len(names) for names in self.blocks])

    @property
    def usual(self) -> bool:
        """Whether it has the sizes of the paper (He et al., CVPR 2016)."""
        return self.depth is not None and self.filters == FILTERS

    def shapes(self) -> Tuple[Shapes, Shapes]:
        """({argument: shape}, {auxiliary state: shape})"""
        args: Shapes = {}
        auxs: Shapes = {}

        def layer(name, filters, channels, kernel):
            args[name + '_weight'] = (filters, channels, kernel, kernel)
            norm = name.replace('res', 'bn') if name.startswith('res') else 'bn_' + name
            args.update({f'{norm}_{kind}': (filters,) for kind in _NORM})
            auxs.update({f'{norm}_{kind}': (filters,) for kind in _STATES})

        layer('conv1', self.filters[0], 3, 7)
        channels = self.filters[0]
        for names, mid in zip(self.blocks, self.filters):
            for name in names:
                if name == names[0]:
                    layer(name + '_branch1', 4 * mid, channels, 1)
                layer(name + '_branch2a', mid, channels, 1)
                layer(name + '_branch2b', mid, mid, 3)
                layer(name + '_branch2c', 4 * mid, mid, 1)
                channels = 4 * mid
        return args, auxs


def backbone_of(shapes: Mapping[str, Optional[Tuple[int, ...]]]) -> Optional[Backbone]:
    """The Backbone that the names and shapes of a checkpoint (name -> shape) show, or None. Stages may be missing at
    the end, as in a region proposal network."""
    stages: Dict[int, Dict[str, int]] = {}
    for name, shape in shapes.items():
        match = _BLOCK.match(name)
        if match and shape and len(shape) == 4:
            stages.setdefault(int(match.group(1)), {})[match.group(2)] = shape[0]
    if 'conv1_weight' not in shapes or not stages or sorted(stages) != list(range(2, 2 + len(stages))):
        return None
    names = tuple(
        tuple(f'res{stage}{block}' for block in sorted(stages[stage], key=_block_order)) for stage in sorted(stages)
    )
    return Backbone(names, tuple(max(stages[stage].values()) for stage in sorted(stages)))


def _block_order(block):
    """a, b, c, ... and a, b1, b2, ..."""
    return block[0], int(block[1:] or 0)


class Table(NamedTuple):
    """One symbol of the original. ``classes``: number of classes -> YAML file's stem; ``deformable``: blocks;
    ``pooling``: kind of RoI pooling."""

    symbol: str
    family: str
    classes: Dict[int, str]
    deformable: List[str]
    groups: int
    pooling: str
    shapes: Dict[str, list]

    def evaluate(self, sizes: Mapping[str, Optional[int]]) -> Dict[str, Tuple[Optional[int], ...]]:
        """{parameter: shape} with ``sizes`` ({'C': 21, ...}) in place of the letters."""
        return {name: tuple(value(term, sizes) for term in shape) for name, shape in self.shapes.items()}


def value(term: object, sizes: Mapping[str, Optional[int]]) -> Optional[int]:
    """The number that a term such as 512 or '4*P2*K' stands for; None where a letter is unknown."""
    product = 1
    for factor in str(term).split('*'):
        number = int(factor) if factor.isdigit() else sizes.get(factor)
        if number is None:
            return None
        product *= number
    return product


def tables() -> List[Table]:
    """All Tables."""
    with open(_FILE, encoding='utf-8') as stream:
        content = json.load(stream)
    return [
        Table(
            symbol,
            entry['family'],
            {int(c): stem for c, stem in entry['classes'].items()},
            entry['deformable'],
            entry['groups'],
            entry['pooling'],
            entry['shapes'],
        )
        for symbol, entry in content.items()
    ]
