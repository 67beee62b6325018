"""What can be wrong with a checkpoint's names, shapes and values."""

from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from dcn.bbox import box_test_weights
from dcn.config.detection import TRAIN
from dcn.inspection.checkpoint.findings import Finding, note, ok, wrong
from dcn.inspection.checkpoint.tensors import Statistics

DEFAULT_STDS, DEFAULT_MEANS = tuple(TRAIN['BBOX_STDS'][0]), tuple(TRAIN['BBOX_MEANS'][0])
BOX_LAYERS = ('rfcn_bbox', 'bbox_pred')
_LARGEST = 1e6  # no weight of a trained network comes near


def names_and_shapes(
    wanted: Mapping[str, Optional[Tuple[Optional[int], ...]]], shapes: Mapping[str, Optional[Tuple[int, ...]]]
) -> List[Finding]:
    """Names that are missing, have another shape or are not known; both are {name: shape}."""
    found = []
    missing = [name for name in wanted if name not in shapes]
    if missing:
        found.append(wrong('missing', names=missing, wanted=len(wanted)))
    for name, shape in wanted.items():
        if name in shapes and shape is not None and None not in shape and shapes[name] != shape:
            found.append(wrong('shape', name=name, expected=shape, found=shapes[name]))
    if not found:
        found.append(ok('complete', wanted=len(wanted)))
    extra = [name for name in shapes if name not in wanted]
    if extra:
        found.append(note('extra', names=extra))
    return found


def values(statistics: Sequence[Statistics]) -> List[Finding]:
    """What the Statistics of the tensors show."""
    found = []
    for s in statistics:
        name = s.name.split(':', 1)[-1]
        if s.nan or s.infinite:
            found.append(wrong('not-finite', name=name, nan=s.nan, infinite=s.infinite))
        elif s.low is None or s.high is None:
            continue
        elif name.endswith('_moving_var') and s.low < 0:
            found.append(wrong('negative-variance', name=name, low=s.low))
        elif max(abs(s.low), abs(s.high)) > _LARGEST:
            found.append(wrong('huge', name=name, largest=max(abs(s.low), abs(s.high))))
    by_name = {s.name.split(':', 1)[-1]: s for s in statistics}
    offsets = [
        name for name, s in by_name.items() if 'offset' in name and name.endswith('_weight') and s.low is not None
    ]
    zero = [name for name in offsets if by_name[name].low == by_name[name].high == 0]
    if zero:
        found.append(note('all-offsets-zero') if len(zero) == len(offsets) else note('offsets-zero', names=zero))
    dead = [
        name
        for name, s in by_name.items()
        if name.endswith('_weight') and 'offset' not in name and s.size > 1 and s.low is not None and s.low == s.high
    ]
    if dead:
        found.append(wrong('constant-weights', names=dead))
    fresh = [name for name, s in by_name.items() if name.endswith('_moving_var') and s.low == s.high == 1]
    if fresh and len(fresh) == sum(name.endswith('_moving_var') for name in by_name):
        found.append(wrong('untrained-statistics'))
    kinds = sorted({s.dtype for s in statistics if s.dtype})
    if kinds != ['float32']:
        found.append(note('dtypes', dtypes=kinds))
    return found


def test_weights(
    arrays: Mapping[str, np.ndarray],
    classes: Optional[int],
    stds: Sequence[float] = DEFAULT_STDS,
    means: Sequence[float] = DEFAULT_MEANS,
) -> List[Finding]:
    """Findings on *_test: they must be the weights times the standard deviations of the box targets.

    arrays   {bare name: array} of the box layer, its bias and their *_test twins, as far as they are there
    classes  regression classes K; rows are class-slot major, 4 K of them times the bins of position-sensitive pooling
    """
    layer = next((name for name in BOX_LAYERS if f'{name}_weight' in arrays), None)
    if layer is None:
        return []
    names = [f'{layer}_{kind}' for kind in ('weight', 'bias')]
    absent = [f'{name}_test' for name in names if f'{name}_test' not in arrays]
    if absent:
        return [wrong('no-test-weights', names=absent, factors=(1 / max(stds), 1 / min(stds)))]
    if names[1] not in arrays:
        return []  # named among the missing ones
    for name in names:
        one, two = arrays[name].shape, arrays[f'{name}_test'].shape
        if one != two:
            return [wrong('shape', name=f'{name}_test', expected=one, found=two)]
    classes = classes or 1
    weight, bias = (arrays[name] for name in names)
    if bias.ndim != 1 or weight.shape[:1] != bias.shape:
        return []  # their shapes are wrong, which is told for each
    rows = len(bias)
    if rows == 0 or rows % (4 * classes):
        return [wrong('box-rows', name=names[1], classes=classes, found=rows)]
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    expected = box_test_weights(exact, layer, means, stds, classes)
    # of the largest value: what is stored in half precision is rounded to eleven bits, twice
    tolerance = 1e-5 if all(array.dtype != np.float16 for array in arrays.values()) else 2.0**-10
    if all(_close(exact[name], values_, tolerance) for name, values_ in expected.items()):
        return [ok('test-weights', name=f'{names[0]}_test', of=names[0], stds=_floats(stds))]
    return [_wrong_scale(names[0], exact, classes, stds, tolerance)]


def _close(one, two, tolerance):
    return bool(np.all(np.abs(one - two) <= tolerance * max(np.abs(two).max(initial=0), 1e-12)))


def _wrong_scale(
    name: str, arrays: Dict[str, np.ndarray], classes: int, stds: Sequence[float], tolerance: float
) -> Finding:
    """The factors that the file does hold, where there are four; the weights may also be of another epoch."""
    rows = [arrays[key].reshape(classes, 4, -1) for key in (name, f'{name}_test')]
    factors = []
    for k in range(4):
        a, b = rows[0][:, k].ravel(), rows[1][:, k].ravel()
        norm = float(a @ a)
        factor = float(a @ b) / norm if norm else 0.0
        if not norm or not np.linalg.norm(b - factor * a) <= 10 * tolerance * np.linalg.norm(b):
            return wrong('test-weights-unrelated', name=f'{name}_test', of=name, stds=_floats(stds))
        factors.append(factor)
    return wrong('test-weights-scale', name=f'{name}_test', of=name, stds=_floats(stds), found=factors)


def _floats(numbers: Sequence[float]) -> List[float]:
    return [float(number) for number in numbers]
