"""Custom operator `pyramid_proposal` against the operator `proposal` and against its steps in NumPy."""

import numpy as np
import pytest

import dcn.operators  # noqa: F401  (registers the operator)
from dcn.bbox import bbox_pred, clip_boxes, generate_anchors, shifted_anchors
from dcn.operators.reference import nms

import mxnet as mx

RATIOS, ANCHORS = (0.5, 1, 2), 3
SETTINGS = dict(
    scales='(8,)', ratios=str(RATIOS), rpn_pre_nms_top_n=40, rpn_post_nms_top_n=15, threshold=0.7, rpn_min_size=0
)
HEIGHT, WIDTH = 80, 112


def inputs(strides, images=1, seed=0):
    """{input name: array}; a map has a cell for each stride begun, so those of strides 32 and 64 have one too many."""
    rng = np.random.default_rng(seed)
    sizes = {stride: (-(-HEIGHT // stride), -(-WIDTH // stride)) for stride in strides}
    found = {f'rpn_cls_prob_stride{s}': rng.uniform(size=(images, 2 * ANCHORS, *sizes[s])) for s in strides}
    found.update({f'rpn_bbox_pred_stride{s}': rng.normal(0, 0.3, (images, 4 * ANCHORS, *sizes[s])) for s in strides})
    found['im_info'] = np.tile([HEIGHT, WIDTH, 1.0], (images, 1))
    return {name: value.astype(np.float32) for name, value in found.items()}


def run(arrays, strides, **extra):
    outputs = mx.nd.Custom(
        *map(mx.nd.array, arrays.values()),
        op_type='pyramid_proposal',
        feat_stride=str(strides),
        **{**SETTINGS, **extra},
    )
    return [out.asnumpy() for out in outputs] if isinstance(outputs, list) else outputs.asnumpy()


def reference_proposals(arrays, strides):
    """Boxes and scores of image 0 that NMS leaves, best first."""
    boxes, scores = [], []
    for stride in strides:
        rows, columns = HEIGHT // stride, WIDTH // stride  # the floor, as in `proposal`
        anchors = shifted_anchors(generate_anchors(stride, RATIOS, (8,)), stride, rows, columns)
        deltas = arrays[f'rpn_bbox_pred_stride{stride}'][0, :, :rows, :columns]
        deltas = deltas.reshape(ANCHORS, 4, rows, columns).transpose(2, 3, 0, 1).reshape(-1, 4)
        boxes.append(clip_boxes(bbox_pred(anchors, deltas), (HEIGHT, WIDTH)))
        scores.append(arrays[f'rpn_cls_prob_stride{stride}'][0, ANCHORS:, :rows, :columns].transpose(1, 2, 0).ravel())
    boxes, scores = np.concatenate(boxes), np.concatenate(scores)
    best = np.argsort(-scores, kind='stable')[:40]
    dets = np.column_stack([boxes[best], scores[best]]).astype(np.float32)
    return dets[nms(dets, 0.7)[:15]]


@pytest.mark.parametrize('strides', [(4, 8, 16, 32, 64), (64, 32, 16, 8, 4), (8, 32)])
def test_all_levels_share_one_nms(strides):
    """In any order of the strides; the original took the inputs for strides 4 to 64 whatever was asked for."""
    arrays = inputs(strides)
    rois, scores = run(arrays, strides, output_score=True)
    expected = reference_proposals(arrays, strides)
    assert len(expected) > 10
    np.testing.assert_allclose(rois[: len(expected), 1:], expected[:, :4], atol=1e-3)
    np.testing.assert_array_equal(scores[: len(expected), 0], expected[:, 4])


def test_one_level_is_the_operator_proposal():
    arrays = inputs((16,))
    single = mx.nd.Custom(
        *map(mx.nd.array, arrays.values()), op_type='proposal', feat_stride=16, **{**SETTINGS, 'rpn_post_nms_top_n': 5}
    ).asnumpy()
    np.testing.assert_array_equal(run(arrays, (16,), rpn_post_nms_top_n=5), single)


def test_images_are_independent():
    strides = (8, 16)
    arrays = inputs(strides, images=2)
    both = run(arrays, strides)
    assert both[:, 0].tolist() == [0] * 15 + [1] * 15
    for image in range(2):
        one = run({name: value[image : image + 1] for name, value in arrays.items()}, strides)
        np.testing.assert_array_equal(both[15 * image : 15 * image + 15, 1:], one[:, 1:])
