"""Custom operator `proposal` against plain loops over the steps of the original."""

import math

import numpy as np
import pytest

from dcn.bbox import generate_anchors
from dcn.errors import UserError
from dcn.operators.proposal import Rule, propose
from tests.boxes import iou

import mxnet as mx

STRIDE, SCALES, RATIOS = 16, (2, 4), (0.5, 1, 2)
ANCHORS = 6
DEFAULTS = dict(
    feat_stride=STRIDE,
    scales=str(SCALES),
    ratios=str(RATIOS),
    rpn_pre_nms_top_n=60,
    rpn_post_nms_top_n=20,
    threshold=0.7,
    rpn_min_size=0,
)


def inputs(images=1, rows=5, columns=7, info=(80, 112, 1.0), seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=(images, 2 * ANCHORS, rows, columns)).astype(np.float32)
    deltas = rng.normal(0, 0.3, (images, 4 * ANCHORS, rows, columns)).astype(np.float32)
    return scores, deltas, np.tile(np.float32(info), (images, 1))


def run(scores, deltas, info, outputs=1, **settings):
    """The operator through an MXNet executor; the gradients must come back as zeros."""
    names = ('cls_prob', 'bbox_pred', 'im_info')
    symbol = mx.sym.Custom(*(mx.sym.Variable(name) for name in names), op_type='proposal', **dict(DEFAULTS, **settings))
    arrays = {name: mx.nd.array(value) for name, value in zip(names, (scores, deltas, info))}
    grads = {name: mx.nd.ones(array.shape) for name, array in arrays.items()}
    executor = symbol.bind(mx.cpu(), arrays, args_grad=grads)
    found = [out.asnumpy() for out in executor.forward(is_train=True)]
    executor.backward([mx.nd.ones(out.shape) for out in found])
    assert not any(grad.asnumpy().any() for grad in grads.values())
    assert len(found) == outputs
    return found if outputs > 1 else found[0]


def reference_proposals(scores, deltas, info, pre=60, post=20, threshold=0.7, min_size=0):
    """Kept boxes [x1, y1, x2, y2, score] of one image, best first, before any padding: one loop for each step."""
    height, width, scale = info
    base = generate_anchors(STRIDE, RATIOS, SCALES)
    boxes = []
    for y in range(int(height / STRIDE)):
        for x in range(int(width / STRIDE)):
            for a in range(ANCHORS):
                x1, y1, x2, y2 = base[a] + (x * STRIDE, y * STRIDE, x * STRIDE, y * STRIDE)
                dx, dy, dw, dh = (float(v) for v in deltas[4 * a : 4 * a + 4, y, x])
                w, h = x2 - x1 + 1, y2 - y1 + 1
                centre_x, centre_y = x1 + 0.5 * (w - 1) + dx * w, y1 + 0.5 * (h - 1) + dy * h
                half_w, half_h = 0.5 * (math.exp(dw) * w - 1), 0.5 * (math.exp(dh) * h - 1)
                box = [centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h]
                box = [min(max(v, 0), limit - 1) for v, limit in zip(box, (width, height, width, height))]
                if box[2] - box[0] + 1 >= min_size * scale and box[3] - box[1] + 1 >= min_size * scale:
                    boxes.append(box + [scores[ANCHORS + a, y, x]])
    boxes.sort(key=lambda box: -box[4])
    kept = []
    for box in boxes[:pre] if pre > 0 else boxes:
        if all(iou(box, other) <= threshold for other in kept):
            kept.append(box)
    return np.array(kept[:post])


@pytest.mark.parametrize(
    'settings, info',
    [
        (dict(), (80, 112, 1.0)),
        (dict(), (70, 100, 1.0)),  # 4.4 x 6.25 cells: the last row and column give nothing
        (dict(rpn_min_size=24), (80, 112, 1.5)),  # minimum 36 pixels in the scaled image
        (dict(rpn_pre_nms_top_n=0, threshold=0.3), (80, 112, 1.0)),  # 0: no limit before NMS
        (dict(rpn_pre_nms_top_n=7, rpn_post_nms_top_n=5), (80, 112, 1.0)),
    ],
)
def test_against_the_loop(settings, info):
    scores, deltas, info = inputs(info=info)
    found = run(scores, deltas, info, **settings)
    merged = dict(DEFAULTS, **settings)
    expected = reference_proposals(
        scores[0],
        deltas[0],
        info[0],
        merged['rpn_pre_nms_top_n'],
        merged['rpn_post_nms_top_n'],
        merged['threshold'],
        merged['rpn_min_size'],
    )
    assert len(expected) > 3
    assert found.shape == (merged['rpn_post_nms_top_n'], 5)
    np.testing.assert_allclose(found[: len(expected), 1:], expected[:, :4], atol=1e-4)
    assert not found[:, 0].any()


def test_score_output():
    scores, deltas, info = inputs()
    rois, score = run(scores, deltas, info, outputs=2, output_score=True)
    expected = reference_proposals(scores[0], deltas[0], info[0])
    assert score.shape == (20, 1)
    np.testing.assert_allclose(score[: len(expected), 0], expected[:, 4])
    np.testing.assert_allclose(rois[: len(expected), 1:], expected[:, :4], atol=1e-4)


def test_padding_repeats_kept_boxes_and_repeats_itself():
    scores, deltas, info = inputs()
    kept = reference_proposals(scores[0], deltas[0], info[0], pre=8, post=20)
    assert len(kept) <= 8
    found = run(scores, deltas, info, rpn_pre_nms_top_n=8)
    for row in found[len(kept) :]:
        assert np.abs(kept[:, :4] - row[1:]).max(axis=1).min() < 1e-4
    # not always the same box, and a function of the inputs alone
    assert len(np.unique(found[len(kept) :], axis=0)) > 1
    np.testing.assert_array_equal(run(scores, deltas, info, rpn_pre_nms_top_n=8), found)


def test_two_images_equal_two_calls():
    scores, deltas, info = inputs(images=2)
    info[1] = (75, 90, 1.25)
    both = run(scores, deltas, info, rpn_pre_nms_top_n=9)
    assert both.shape == (40, 5)
    np.testing.assert_array_equal(both[:, 0], np.repeat([0, 1], 20))
    for index in range(2):
        part = slice(index, index + 1)
        single = run(scores[part], deltas[part], info[part], rpn_pre_nms_top_n=9)
        np.testing.assert_array_equal(both[20 * index : 20 * index + 20, 1:], single[:, 1:])


def test_cells_beyond_the_image_change_nothing():
    """An image padded in a batch gives the proposals that it gives alone, random padding included."""
    scores, deltas, info = inputs(info=(70, 100, 1.0))
    wide = [np.pad(array, [(0, 0), (0, 0), (0, 2), (0, 3)], constant_values=9) for array in (scores, deltas)]
    np.testing.assert_array_equal(run(*wide, info, rpn_pre_nms_top_n=9), run(scores, deltas, info, rpn_pre_nms_top_n=9))


def test_equal_scores_keep_the_order_of_the_cells():
    scores, deltas, info = inputs(info=(80, 112, 1.0))
    found = run(np.full_like(scores, 0.5), np.zeros_like(deltas), info, threshold=1.0, rpn_post_nms_top_n=6)
    base = generate_anchors(STRIDE, RATIOS, SCALES)
    np.testing.assert_allclose(found[:, 1:], np.clip(base, 0, [111, 79, 111, 79]))


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_dropped(bad):
    scores, deltas, info = inputs()
    scores[0, ANCHORS + 1, 2, 3] = bad
    clean = scores.copy()
    clean[0, ANCHORS + 1, 2, 3] = -1
    expected = run(clean, deltas, info, rpn_post_nms_top_n=5)
    np.testing.assert_array_equal(run(scores, deltas, info, rpn_post_nms_top_n=5), expected)


def test_deltas_that_are_not_a_number_are_dropped():
    scores, deltas, info = inputs()
    scores[0, ANCHORS + 1, 2, 3] = 2  # the best box of all, but for its delta
    deltas[0, 4 * 1 + 2, 2, 3] = np.nan
    found = run(scores, deltas, info, rpn_post_nms_top_n=5)
    scores[0, ANCHORS + 1, 2, 3] = -1
    np.testing.assert_array_equal(found, run(scores, np.nan_to_num(deltas), info, rpn_post_nms_top_n=5))


@pytest.mark.parametrize(
    'which, info, box',
    [
        ('deltas', (80, 112, 1.0), (0, 0, 111, 79)),
        ('scores', (80, 112, 1.0), (0, 0, 111, 79)),
        ('nothing', (10, 112, 1.0), (0, 0, 111, 9)),  # lower than one cell
        ('nothing', (0, 0, 0), (0, 0, 0, 0)),
        ('nothing', (np.nan, np.nan, np.nan), (0, 0, 0, 0)),
    ],
)
def test_nothing_left_gives_the_full_image(which, info, box):
    scores, deltas, info = inputs(info=info)
    {'deltas': deltas, 'scores': scores, 'nothing': scores[:0]}[which][:] = np.nan
    np.testing.assert_array_equal(run(scores, deltas, info), np.tile((0,) + box, (20, 1)))


@pytest.mark.parametrize('info', [(np.inf, 112, 1), (80, -np.inf, 1), (80, 112, np.inf)])
def test_an_infinite_image_is_a_sentence(info):
    """History: an OverflowError of Python's where the height or width is infinite."""
    rule = Rule(SCALES, RATIOS, 60, 20, 0.7, 16)
    scores, deltas, _ = inputs()
    with pytest.raises(UserError, match=r'im_info: expected the finite height, width and scale .*, found \[.*inf.*\]'):
        propose([(scores[0, ANCHORS:], deltas[0], STRIDE)], np.float32(info), rule, 'proposal')


def test_im_info_shape_follows_from_the_batch():
    symbol = mx.sym.Custom(*(mx.sym.Variable(n) for n in 'abc'), op_type='proposal', **DEFAULTS)
    shapes, outputs, _ = symbol.infer_shape(a=(3, 12, 5, 7), b=(3, 24, 5, 7))
    assert (shapes[2], outputs) == ((3, 3), [(60, 5)])
    assert symbol.list_outputs() == [symbol.name + '_output']
