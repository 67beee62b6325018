"""What the GPU kernels must compute, as a table: name -> function of a cuda_runner.Runner that asserts it.

The tests run it emulated on the CPU, tools/cuda_check.py on a GPU. Needs neither MXNet nor pytest.
"""

import functools

import numpy as np

from dcn.bbox import anchor_grid, bbox_pred, clip_boxes, generate_anchors
from dcn.operators import reference
from dcn.operators.cuda import CudaError
from dcn.rng import generator
from tests.operators import cases
from tests.operators.cuda_runner import BEFORE_ADD, assert_right, in_half

ASYMMETRIC = 'asymmetric, groups 2, deformable groups 2, batch 3'
POOLINGS = {
    'DeformablePSROIPooling': cases.deformable_pooling,
    'PSROIPooling': cases.pooling,
    'ROIPooling': cases.integer_pooling,
    'DeformablePSROIPooling without trans': functools.partial(cases.deformable_pooling, no_trans=True),
}


def every_check():
    """{name: function of a runner}."""
    groups = (_convolutions, _poolings, _requests, _odd_numbers, _empty, _boxes, _refused)
    return {name: check for group in groups for name, check in group()}


# ---- values and gradients against the float64 reference implementation ----


def _convolutions():
    names = [*cases.CONVOLUTIONS, *cases.ODD_CONVOLUTIONS, *cases.TILED_CONVOLUTIONS]
    for name in names:
        for boundary in ('v1', 'v2'):
            yield f'convolution, {name}, {boundary}', functools.partial(_convolution, name, boundary)
        yield f'convolution, {name}, half', functools.partial(_convolution, name, 'v1', half=True)
        yield f'convolution, {name}, tf32', functools.partial(_convolution, name, 'v2', math='tf32')
        yield f'modulated convolution, {name}', functools.partial(_modulated, name)
    yield 'modulated convolution, half', functools.partial(_modulated, ASYMMETRIC, half=True)
    for boundary in ('v1', 'v2'):
        yield (
            f'convolution, {ASYMMETRIC}, {boundary}, float64',
            functools.partial(_convolution, ASYMMETRIC, boundary, dtype=np.float64),
        )
        yield f'convolution, every border region, {boundary}', functools.partial(_borders, boundary)


def _convolution(name, boundary, runner, dtype=np.float32, half=False, math='exact'):
    case = cases.convolution(name, dtype)
    case = in_half(case) if half else case
    assert_right(runner.run(case, boundary=boundary, math=math), case, math, boundary=boundary)


def _modulated(name, runner, half=False):
    case = cases.convolution(name, modulated=True)
    case = in_half(case) if half else case
    assert_right(runner.run(case), case)


def _borders(boundary, runner):
    """One 1 x 1 tap on a 4 x 4 map at every pair of coordinates of the border table, and at none."""
    positions = np.float32([-1.5, -1, -0.75, 0, 1.25, 1, 2.5, 3, 3.25, 4, 5.5, np.nan])
    random, start = generator(8, 'borders'), np.arange(12, dtype=np.float32) - 4  # 4 pixels of padding
    offset = np.stack(np.meshgrid(positions - start, positions - start, indexing='ij'))[None]
    inputs = {
        'data': random.standard_normal((1, 2, 4, 4)),
        'offset': offset,
        'weight': random.standard_normal((3, 2, 1, 1)),
    }
    attributes = dict(
        kernel=(1, 1),
        stride=(1, 1),
        pad=(4, 4),
        dilate=(1, 1),
        num_filter=3,
        num_group=1,
        num_deformable_group=1,
        no_bias=True,
    )
    out_grad = random.standard_normal((1, 3, 12, 12))
    case = cases.cast(cases.Case('DeformableConvolution', inputs, attributes, out_grad), np.float32)
    assert_right(runner.run(case, boundary=boundary), case, boundary=boundary)


def _poolings():
    for kind, make in POOLINGS.items():
        for name in cases.POOLINGS:
            yield f'{kind}, {name}', functools.partial(_pooling, make, name)
            yield f'{kind}, {name}, half', functools.partial(_pooling, make, name, half=True)
        yield (
            f'{kind}, parts per class, float64',
            functools.partial(_pooling, make, 'parts per class', dtype=np.float64),
        )


def _pooling(make, name, runner, dtype=np.float32, half=False):
    case = make(name, dtype)
    case = in_half(case) if half else case
    assert_right(runner.run(case), case)


# ---- requests ----


def _requests():
    makers = {
        'convolution': functools.partial(cases.convolution, ASYMMETRIC),
        'modulated convolution': functools.partial(cases.convolution, ASYMMETRIC, modulated=True),
    }
    makers.update({kind: functools.partial(make, 'parts per class') for kind, make in POOLINGS.items()})
    for name, make in makers.items():
        for half in (False, True):
            yield f'{name}, add{", half" * half}', functools.partial(_add, make, half)
        yield f'{name}, no gradients', functools.partial(_forward_alone, make)


def _add(make, half, runner):
    case = in_half(make()) if half else make()
    written, added = runner.run(case)[1], runner.run(case, 'add')[1]
    for name, gradient in added.items():
        allowed = (2.0**-9 if half else 1e-5) * (BEFORE_ADD + np.abs(written[name]).max())
        np.testing.assert_allclose(gradient, written[name] + BEFORE_ADD, rtol=0, atol=allowed, err_msg=name)


def _forward_alone(make, runner):
    np.testing.assert_array_equal(runner.run(make(), 'null')[0], runner.run(make())[0])


# ---- numbers that make no sense ----


def _odd_numbers():
    for boundary in ('v1', 'v2'):
        yield f'convolution, offsets that are no numbers, {boundary}', functools.partial(_odd_offsets, boundary)
    for kind, make in POOLINGS.items():
        yield f'{kind}, RoIs that are no RoIs', functools.partial(_odd_rois, make)
    yield 'ROIPooling, bins without a largest cell', _no_largest


def _odd_offsets(boundary, runner):
    """The reference implementation takes them for samples outside the map."""
    case = cases.convolution(ASYMMETRIC)
    offset = case.inputs['offset']
    offset.reshape(-1)[::7] = np.resize(
        np.float32([np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9]), offset.reshape(-1)[::7].shape
    )
    with np.errstate(invalid='ignore'):
        assert_right(runner.run(case, boundary=boundary), case, boundary=boundary)


def _no_largest(runner):
    """Nothing but minus infinity, or NaN: 0, and no gradient, as on the CPU."""
    case = cases.integer_pooling('parts per class')
    case.inputs['data'][:, 1], case.inputs['data'][:, 2] = -np.inf, np.nan
    out, grads = runner.run(case)
    np.testing.assert_array_equal(out[:, 1:3], 0)
    np.testing.assert_array_equal(grads['data'][:, 1:3], 0)
    assert out[:, 3:].any() and grads['data'][:, 3:].any()


def _odd_rois(make, runner):
    """Regions without an image or a number pool to 0 and take part in nothing; the others are as without them."""
    case = make('parts per class')
    odd = np.float32(
        [
            [-1, 0, 0, 50, 50],
            [3, 0, 0, 50, 50],
            [np.nan, 0, 0, 50, 50],
            [1e30, 0, 0, 9, 9],
            [0, np.nan, np.nan, np.nan, np.nan],
            [0, np.inf, 0, np.inf, 50],
            [1, -1e30, -1e30, -1e30, -1e30],
        ]
    )
    repeated = {name: np.resize(array, (len(odd),) + array.shape[1:]) for name, array in case.inputs.items()}
    inputs = {
        name: array if name == 'data' else np.concatenate([repeated[name], array])
        for name, array in case.inputs.items()
    }
    inputs['rois'][: len(odd)] = odd
    grads = np.concatenate([np.ones((len(odd),) + case.out_grad.shape[1:], np.float32), case.out_grad])
    out, found = runner.run(case._replace(inputs=inputs, out_grad=grads))
    alone, expected = runner.run(case)
    np.testing.assert_array_equal(out[: len(odd)], 0)
    np.testing.assert_array_equal(out[len(odd) :], alone)
    np.testing.assert_allclose(found['data'], expected['data'], rtol=1e-4, atol=1e-5)  # atomics: in any order


# ---- nothing to do ----


def _empty():
    yield 'convolution, empty batch', _empty_batch
    for kind, make in POOLINGS.items():
        yield f'{kind}, no RoIs', functools.partial(_no_rois, make)
    yield 'NMS of nothing', lambda runner: _assert_kept(runner, np.zeros((0, 5), np.float32), 0.5)


def _empty_batch(runner):
    case = cases.convolution(ASYMMETRIC)
    inputs = {name: array[:0] if name in ('data', 'offset') else array for name, array in case.inputs.items()}
    out, grads = runner.run(case._replace(inputs=inputs, out_grad=case.out_grad[:0]))
    assert out.size == 0
    for name in ('weight', 'bias'):
        np.testing.assert_array_equal(grads[name], 0)


def _no_rois(make, runner):
    case = make('parts per class')
    inputs = {name: array if name == 'data' else array[:0] for name, array in case.inputs.items()}
    out, grads = runner.run(case._replace(inputs=inputs, out_grad=case.out_grad[:0]))
    assert out.size == 0
    np.testing.assert_array_equal(grads['data'], 0)


# ---- boxes ----


def _boxes():
    for count, places in ((1, 12), (33, 12), (300, 40), (1100, 8)):  # 1100 needs two tiles of the sort
        yield f'NMS of {count}', functools.partial(_nms, count, places)
    yield 'NMS, NaN scores and boxes', _odd_boxes
    for name, heights in {'one map': (38,), 'maps of a pyramid': (19, 10, 5)}.items():
        yield f'proposals, {name}', functools.partial(_proposals, heights, 0.7, 0)
    yield 'proposals, few survive and repeat', functools.partial(_proposals, (4,), 0.1, 0)
    yield 'proposals, all too small', functools.partial(_proposals, (4,), 0.7, 1e6)
    for name in cases.PROPOSALS:
        yield f'contrib proposals, {name}', functools.partial(contrib_proposals, name)


def many_boxes(count, places=40):
    """Boxes with whole corners and few different scores: equal boxes, equal scores and overlaps of exactly a half or a
    third are frequent. (count, 5)."""
    random = generator(7, count)
    first = random.integers(0, places, (count, 2))
    last = first + random.integers(0, 12, (count, 2))
    return np.column_stack([first, last, random.integers(1, 20, count) / 20]).astype(np.float32)


def _assert_kept(runner, dets, thresh):
    expected = reference.nms(dets, thresh)
    np.testing.assert_array_equal(runner.nms(dets, thresh, max(len(dets), 1)), expected)
    np.testing.assert_array_equal(runner.nms(dets, thresh, 5), expected[:5])


def _nms(count, places, runner):
    for thresh in (1 / 3, 0.5):
        _assert_kept(runner, many_boxes(count, places), thresh)


def _odd_boxes(runner):
    dets = many_boxes(100)
    dets[::9, 4], dets[::13, 2], dets[5, :4] = np.nan, np.nan, np.inf
    with np.errstate(invalid='ignore'):
        _assert_kept(runner, dets, 0.5)


RATIOS, SCALES = (0.5, 1, 2), (8, 16)


def proposal_inputs(heights, images=2):
    """Maps (scores, deltas, anchors, stride) and im_info for images of 16 * heights[0] rows less a few."""
    random, maps = generator(9, heights), []
    for level, height in enumerate(heights):
        stride, per_cell = 16 << level, len(RATIOS) * len(SCALES)
        scores = random.uniform(0, 1, (images, 2 * per_cell, height, height + 2)).astype(np.float32)
        scores = np.round(scores * 256) / 256  # equal scores are frequent
        deltas = random.standard_normal((images, 4 * per_cell, height, height + 2)).astype(np.float32) * 0.3
        scores[0, per_cell:, 0, 0], deltas[0, 0, 1, 1], deltas[0, 2, 2, 2] = np.nan, np.nan, 1e6
        maps.append((scores, deltas, generate_anchors(stride, RATIOS, SCALES), stride))
    side = 16 * heights[0]
    return maps, np.float32([[side - 5, side + 20, 1.5], [side, side + 32, 0.5]])


def proposals_of(maps, info, pre_nms, post_nms, threshold, min_size):
    """The reference implementation: boxes (n, 4) and scores (n,) of one image, n <= post_nms; maps of (scores (A, h,
    w), deltas, stride)."""
    boxes, best = [], []
    for scores, deltas, stride in maps:
        rows, columns = int(info[0] / stride), int(info[1] / stride)
        grid = anchor_grid(stride, RATIOS, SCALES, *scores.shape[1:])
        moved = deltas.reshape(len(scores), 4, *scores.shape[1:]).transpose(2, 3, 0, 1)
        moved = clip_boxes(bbox_pred(grid, moved.reshape(-1, 4)), info[:2]).reshape(*moved.shape)[:rows, :columns]
        boxes.append(moved.reshape(-1, 4))
        best.append(scores.transpose(1, 2, 0)[:rows, :columns].ravel())
    boxes, best = np.concatenate(boxes), np.concatenate(best)
    large = (boxes[:, 2:] - boxes[:, :2] + 1 >= min_size * info[2]).all(axis=1) & np.isfinite(best)
    dets = np.column_stack([boxes, best])[large].astype(np.float32)
    dets = dets[np.argsort(-dets[:, 4], kind='stable')][:pre_nms]
    dets = dets[reference.nms(dets, threshold)[:post_nms]]
    return dets[:, :4], dets[:, 4]


def _proposals(heights, threshold, min_size, runner):
    maps, infos = proposal_inputs(heights)
    pre_nms, post_nms = 400, 60
    rois, scores, counts = runner.proposal(maps, infos, pre_nms, post_nms, threshold, min_size or 16)
    for image, info in enumerate(infos):
        mine = slice(image * post_nms, (image + 1) * post_nms)
        levels = [(score[image, score.shape[1] // 2 :], delta[image], stride) for score, delta, _, stride in maps]
        with np.errstate(invalid='ignore'):
            boxes, best = proposals_of(levels, info, pre_nms, post_nms, threshold, min_size or 16)
        assert counts[image] == len(boxes)
        if not len(boxes):
            boxes, best = np.float32([[0, 0, info[1] - 1, info[0] - 1]]), np.float32([0])
        turns = np.arange(post_nms) % len(boxes)
        np.testing.assert_array_equal(rois[mine, 0], image)
        np.testing.assert_allclose(rois[mine, 1:], boxes[turns], rtol=1e-5, atol=1e-3)  # exp differs in its last bit
        np.testing.assert_array_equal(scores[mine], best[turns])


def contrib_proposals(name, runner):
    """The proposals of a case of cases.PROPOSALS."""
    inputs, attributes = cases.proposal(name)
    rois, scores = runner.contrib_proposal(inputs, attributes)
    exact_rois, exact_scores = reference.contrib_proposal(**inputs, **attributes)
    np.testing.assert_array_equal(scores, exact_scores.astype(np.float32))
    np.testing.assert_allclose(rois, exact_rois, rtol=0, atol=1e-3)  # float32 of some 200 pixels


# ---- refused ----


def _refused():
    yield 'a workspace that is too small is refused', _small_workspace
    yield 'an impossible shape is refused', _impossible


def _status_of(call):
    try:
        call()
    except CudaError as error:
        assert len(str(error)) > 40
        return error.status
    return 0


def _small_workspace(runner):
    dets = runner.put(many_boxes(10))
    assert _status_of(lambda: runner.library.nms(dets.pointer, 10, 0.5, 10, None, None, (dets.pointer, 8))) == 17


def _impossible(runner):
    case = cases.convolution(ASYMMETRIC)
    wrong = case._replace(attributes=dict(case.attributes, num_deformable_group=3))
    assert _status_of(lambda: runner.run(wrong)) == 2
    inputs, attributes = cases.proposal('usual')
    far = dict(attributes, feature_stride=2**21)  # 13 columns of it are more pixels than float32 tells apart
    assert _status_of(lambda: runner.contrib_proposal(inputs, far)) == 2
