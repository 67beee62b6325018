"""The sizes and names of ResNet v1's layers (He et al., CVPR 2016) as Caffe's models have them: plain facts, without
MXNet."""

from typing import NamedTuple, Optional, Sequence, Tuple

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
FILTERS = (64, 128, 256, 512)
STEM_STRIDE = 4


class Plan(NamedTuple):
    """Of res2 to res5: names of the residual blocks, middle widths (outputs have four times as many channels, the stem
    the first width), strides of the first blocks, dilations of the 3x3 convolutions."""

    units: Tuple[Tuple[str, ...], ...]
    filters: Tuple[int, ...]
    strides: Tuple[int, ...]
    dilates: Tuple[int, ...]


def plan(
    depth: int = 101,
    units: Optional[Sequence[int]] = None,
    filters: Optional[Sequence[int]] = None,
    strides: Optional[Sequence[int]] = None,
    res5_dilate: Optional[int] = None,
) -> Plan:
    """The Plan of a detection backbone: res5 dilates by 2 where it has stride 1, as in the original, or by
    ``res5_dilate`` (4, 6 and 8 in table 3 of Dai et al., ICCV 2017).

    units: numbers of residual blocks of res2 to res5 (default: those of ``depth``, 50, 101 or 152 layers).
    """
    strides = tuple(strides or (1, 2, 2, 1))
    names = tuple(_unit_names(f'res{stage}', count, depth) for stage, count in enumerate(units or UNITS[depth], 2))
    dilate = res5_dilate or (2 if strides[3] == 1 else 1)
    return Plan(names, tuple(filters or FILTERS), strides, (1, 1, 1, dilate))


def depth_of(units: Sequence[int]) -> Optional[int]:
    """50, 101 or 152, the depth that has these numbers of residual blocks; None where none has."""
    return next((depth for depth, count in UNITS.items() if count == tuple(units)), None)


def _unit_names(stage: str, count: int, depth: int) -> Tuple[str, ...]:
    """Caffe's: res3a, res3b1, res3b2 in the middle stages of deeper networks, res3a, res3b, res3c everywhere else."""
    if (depth > 50 and stage in ('res3', 'res4')) or count > 26:
        return (stage + 'a',) + tuple(f'{stage}b{number}' for number in range(1, count))
    return tuple(stage + chr(ord('a') + number) for number in range(count))
