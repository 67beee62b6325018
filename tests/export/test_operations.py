"""Each rule of the export against the float64 references and NumPy operators, run by onnx's own evaluator."""

import numpy as np
import pytest
from easydict import EasyDict

from dcn.export import deformable, pooling, preprocessing, proposals, results
from dcn.export.runtime import Runtime, to_openvino
from dcn.loader.image import network_input
from dcn.nms import nms
from dcn.operators import reference
from tests.export.running import PEERS, attributes, evaluate, evaluate_in_runtime, need_runtime, random

import mxnet as mx

SPREAD = dict(stride=(2, 1), pad=(1, 0), dilate=(2, 1))
GEOMETRY = dict(SPREAD, kernel=(3, 2))


def _convolution_inputs(seed, groups=2, modulated=False):
    rng = random(seed)
    data = rng.normal(size=(1, 4, 7, 9)).astype(np.float32)
    weight = rng.normal(size=(6, 4, 3, 2)).astype(np.float32)
    shape = (1, 2 * groups * 6, 3, 8)
    # far enough to leave the map on all sides, and exactly onto its borders
    offset = np.where(rng.random(shape) < 0.3, rng.integers(-9, 10, shape), rng.normal(0, 3, shape)).astype(np.float32)
    mask = rng.random((1, groups * 6, 3, 8)).astype(np.float32)
    return (data, offset, mask, weight) if modulated else (data, offset, weight)


@pytest.mark.parametrize('boundary', ['v1', 'v2'])
def test_eq2_deformable_convolution_samples_by_both_rules(boundary):
    data, offset, weight = _convolution_inputs(0)
    expected = reference.deformable_convolution(
        data, offset, weight, None, **SPREAD, num_deformable_group=2, boundary=boundary
    )
    attrs = attributes(**GEOMETRY, num_deformable_group=2, boundary=boundary)
    (found,) = evaluate(
        lambda b, *names: deformable.deformable_convolution(b, attrs, names), data=data, offset=offset, weight=weight
    )
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def test_v1_is_not_v2_at_these_offsets():
    """What the test above would not see if offsets stayed inside."""
    data, offset, weight = _convolution_inputs(0)
    first, second = (
        reference.deformable_convolution(data, offset, weight, None, **SPREAD, num_deformable_group=2, boundary=rule)
        for rule in ('v1', 'v2')
    )
    assert np.abs(first - second).max() > 0.1


def test_modulated_convolution_has_rule_v2():
    data, offset, mask, weight = _convolution_inputs(1, modulated=True)
    expected = reference.deformable_convolution(
        data, offset, weight, None, **SPREAD, num_deformable_group=2, boundary='v2', mask=mask
    )
    attrs = attributes(**GEOMETRY, num_deformable_group=2)
    (found,) = evaluate(
        lambda b, *names: deformable.modulated_convolution(b, attrs, names),
        data=data,
        offset=offset,
        mask=mask,
        weight=weight,
    )
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def _rois(count, seed=3):
    """RoIs on a map of 8 x 11 cells of 16 pixels: some beyond its borders, one a single pixel, one on halves."""
    rng = random(seed)
    corners = rng.uniform(-30, 200, (count, 2, 2)).astype(np.float32)
    rois = np.concatenate([np.zeros((count, 1)), corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    rois[0] = [0, 40, 40, 40, 40]
    rois[1] = [0, 0.5, 1.5, 90.5, 61.5]
    return rois


@pytest.mark.parametrize('group, bins', [(3, 3), (2, 4)])
def test_eq5_psroi_pooling(group, bins):
    data, rois = random(4).normal(size=(1, 5 * group * group, 8, 11)).astype(np.float32), _rois(12)
    expected = reference.psroi_pooling(data, rois, 1 / 16, 5, bins, group)
    attrs = attributes(spatial_scale=0.0625, output_dim=5, pooled_size=bins, group_size=group)
    (found,) = evaluate(lambda b, *names: pooling.psroi_pooling(b, attrs, names), data=data, rois=rois)
    assert np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize('package', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize('bins', [3, 7])
def test_eq5_bins_that_end_between_two_cells_have_the_cells_of_the_operator(tmp_path, package, bins):
    """Where a bin ends exactly there, one rounding more or less adds a row of cells, here with values of their own."""
    rng = random(6)
    data = rng.normal(size=(1, bins * bins, 40, 60)).astype(np.float32)
    corners = np.sort(rng.integers(0, 640, (3000, 2, 2)), axis=1).reshape(-1, 4)
    rois = np.concatenate([np.zeros((3000, 1)), corners], axis=1).astype(np.float32)
    settings = dict(spatial_scale=0.0625, output_dim=1, pooled_size=bins, group_size=bins)
    expected = mx.nd.contrib.PSROIPooling(mx.nd.array(data), mx.nd.array(rois), **settings).asnumpy()
    (found,) = evaluate_in_runtime(
        lambda b, *names: pooling.psroi_pooling(b, attributes(**settings), names),
        str(tmp_path),
        [np.float32],
        package,
        data=data,
        rois=rois,
    )
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize('runtime', ['reference', 'onnxruntime', 'openvino'])
@pytest.mark.parametrize(
    'group, bins, part, classes', [(3, 3, 3, 2), (1, 3, 3, 1), (2, 4, 2, 1), (3, 3, 3, None), (1, 2, 2, None)]
)
def test_eq6_deformable_psroi_pooling(tmp_path, runtime, group, bins, part, classes):
    # the evaluator takes milliseconds for each cell of a map
    (height, width), scale, outputs = ((2, 3), 1 / 64, 2) if runtime == 'reference' else ((8, 11), 1 / 16, 4)
    rng = random(5)
    data, rois = rng.normal(size=(1, outputs * group * group, height, width)).astype(np.float32), _rois(9)
    arrays = {'data': data, 'rois': rois}
    trans = None
    if classes:
        trans = arrays['trans'] = rng.normal(0, 2, (9, 2 * classes, part, part)).astype(np.float32)
    settings = dict(
        spatial_scale=scale,
        output_dim=outputs,
        group_size=group,
        pooled_size=bins,
        part_size=part,
        sample_per_part=3,
        trans_std=0.1,
    )
    expected = reference.deformable_psroi_pooling(data, rois, trans, **settings)
    found = _deformable_psroi_pooling(tmp_path, runtime, arrays, no_trans=not classes, **settings)
    assert np.abs(found - expected).max() < 2e-5


def _deformable_psroi_pooling(folder, runtime, arrays, **settings):
    attrs, shapes = attributes(**settings), [array.shape for array in arrays.values()]

    def build(b, *names):
        return deformable.deformable_psroi_pooling(b, attrs, names, shapes)

    # the evaluator knows the operations of opset 21 alone
    if runtime == 'reference':
        return evaluate(build, opset=21, **arrays)[0]
    return evaluate_in_runtime(build, folder, [np.float32], runtime, **arrays)[0]


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize('stride', [4, 16])
def test_eq6_bins_that_begin_or_end_on_the_border_keep_their_samples(operators, tmp_path, runtime, stride):
    """As those of all RoIs that were cut at the sides of the image: a sample lost there changes a mean by a fourth."""
    rng, size = random(11), np.array([41, 29])
    data = rng.normal(size=(1, 2, *size[::-1])).astype(np.float32)
    low, high = np.sort(rng.uniform(0, size * stride - 1, (2, 1000, 2)).astype(np.float32), axis=0)
    low, high = (
        np.where(rng.random(low.shape) < 0.5, 0, low),
        np.where(rng.random(low.shape) < 0.5, size * stride - 1, high),
    )
    rois = np.concatenate([np.zeros((len(low), 1)), low, high], axis=1).astype(np.float32)
    settings = dict(
        spatial_scale=1 / stride, output_dim=2, group_size=1, pooled_size=7, sample_per_part=4, no_trans=True
    )
    arrays = {'data': data, 'rois': rois}
    expected = mx.nd.contrib.DeformablePSROIPooling(*map(mx.nd.array, arrays.values()), **settings).asnumpy()
    found = _deformable_psroi_pooling(tmp_path, runtime, arrays, **settings)
    assert np.abs(found - expected).max() < 2e-5


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_eq6_bins_that_are_nowhere_have_no_samples(operators, tmp_path, runtime):
    """Offsets of a network that has diverged."""
    rng = random(12)
    arrays = {
        'data': rng.normal(size=(1, 4, 8, 11)).astype(np.float32),
        'rois': _rois(9),
        'trans': rng.choice([0, 1, 1e9, -1e30, np.nan, np.inf, -np.inf], (9, 2, 3, 3)).astype(np.float32),
    }
    settings = dict(spatial_scale=1 / 16, output_dim=4, group_size=1, pooled_size=3, sample_per_part=3, trans_std=0.1)
    expected = mx.nd.contrib.DeformablePSROIPooling(*map(mx.nd.array, arrays.values()), **settings).asnumpy()
    found = _deformable_psroi_pooling(tmp_path, runtime, arrays, **settings)
    assert np.abs(found - expected).max() < 2e-5 and (expected == 0).any() and (expected != 0).any()


def test_levels_of_rois_at_powers_of_two_and_between(operators):
    from dcn.operators.fpn_roi_pooling import level_of_roi

    sides = np.concatenate([2.0 ** np.arange(3, 11), 2.0 ** np.arange(3, 11) - 1, random(6).uniform(1, 900, 40)])
    rois = np.zeros((len(sides), 5), np.float32)
    rois[:, 3:] = sides[:, None] - 1
    (found,) = evaluate(lambda b, rois: [pooling.level_of_roi(b, rois, 4, 128)], rois=rois)
    assert found.tolist() == level_of_roi(rois, 4, 128.0).tolist() and set(found) == {0, 1, 2, 3}


def _proposal_case(smallest, size, ties):
    """Inputs, attributes, and what the operator makes of them: boxes and scores."""
    from dcn.operators.proposal import Rule, propose

    rng = random(7)
    scores = rng.permutation(12 * 6 * 7).reshape(1, 12, 6, 7).astype(np.float32) / 504
    scores = np.round(scores, 1) if ties else scores
    deltas = rng.normal(0, 0.4, (1, 24, 6, 7)).astype(np.float32)
    im_info = np.array([[*size, 1.25]], np.float32)
    rule = Rule((2.0, 4.0), (0.5, 1.0, 2.0), 120, 40, 0.7, smallest)
    attrs = attributes(
        feat_stride=16,
        scales=(2, 4),
        ratios=(0.5, 1, 2),
        rpn_pre_nms_top_n=120,
        rpn_post_nms_top_n=40,
        threshold=0.7,
        rpn_min_size=smallest,
    )
    expected = propose([(scores[0, 6:], deltas[0], 16)], im_info[0], rule, 'proposal')
    return dict(cls_prob=scores, bbox_pred=deltas, im_info=im_info), attrs, expected


def _check_proposals(found, expected):
    (rois, scores), (boxes, best) = found, expected
    # rows after the last of NMS are drawn at random there, and repeat the best one here
    same = len(np.unique(boxes, axis=0))
    assert same > 10 and np.abs(rois[:same, 1:] - boxes[:same]).max() < 1e-4
    assert np.array_equal(scores[:same, 0], best[:same])
    assert (rois[same:] == rois[0]).all()


CASES = [(0, (96, 112)), (24, (96, 112)), (0, (90, 101))]


@pytest.mark.parametrize('smallest, size', CASES)
def test_proposals_are_those_of_the_operator(operators, smallest, size):
    inputs, attrs, expected = _proposal_case(smallest, size, ties=False)
    _check_proposals(evaluate(lambda b, *names: proposals.proposal(b, attrs, names), **inputs), expected)


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize('smallest, size', CASES)
def test_proposals_of_equal_scores_keep_their_order(operators, tmp_path, runtime, smallest, size):
    """On a map of known size, too, which OpenVINO once went on for ever to simplify."""
    inputs, attrs, expected = _proposal_case(smallest, size, ties=True)

    def build(b, *names):
        return proposals.proposal(b, attrs, names)

    _check_proposals(evaluate_in_runtime(build, tmp_path, [np.float32] * 2, runtime, **inputs), expected)


def _detection_case(agnostic, most, ties):
    """Inputs, the rule as a build(), and what the engine makes of them: boxes, scores, classes."""
    from dcn.engine.inference.postprocessing import im_detect, select

    rng, count, classes = random(8), 60, 4
    corners = rng.uniform(0, 200, (count, 2, 2))
    rois = np.concatenate([np.zeros((count, 1)), corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    scores = rng.dirichlet(np.ones(classes), count).astype(np.float32)[None]
    scores = np.round(scores, 1) if ties else scores
    deltas = rng.normal(0, 0.2, (1, count, 4 * (2 if agnostic else classes))).astype(np.float32)
    test = EasyDict(NMS=0.4, max_per_image=most, USE_SOFTNMS=False)
    outputs = {'rois_output': rois, 'cls_prob_reshape_output': scores, 'bbox_pred_reshape_output': deltas}
    found = select(*im_detect(outputs, {'data': np.zeros((1, 3, 150, 180))}, 1.6), 0.05, test, agnostic)
    rows = np.concatenate(found)
    order = np.argsort(-rows[:, 4], kind='stable')
    labels = np.concatenate([np.full(len(dets), j) for j, dets in enumerate(found)])
    size, scale = np.array([150, 180], np.float32), np.array(1.6)
    inputs = dict(rois=rois, scores=scores, deltas=deltas, size=size, scale=scale)

    def build(b, *names):
        return results.detections(b, *names, classes, agnostic, test, 0.05)

    return inputs, build, (rows[order, :4], rows[order, 4], labels[order])


def _check_detections(found, expected):
    assert len(found[0]) > 5 and np.abs(found[0] - expected[0]).max() < 1e-4
    assert all(np.array_equal(array, other) for array, other in zip(found[1:], expected[1:]))


DETECTIONS = [np.float32, np.float32, np.int64]


@pytest.mark.parametrize('agnostic, most', [(True, 100), (False, 100), (False, 7), (True, -1)])
def test_detections_are_those_of_the_engine(operators, agnostic, most):
    inputs, build, expected = _detection_case(agnostic, most, ties=False)
    _check_detections(evaluate(build, **inputs), expected)


@pytest.mark.parametrize('agnostic, most', [(True, 100), (False, 7)])
def test_detections_of_equal_scores_are_all_kept_in_order(operators, tmp_path, agnostic, most):
    inputs, build, expected = _detection_case(agnostic, most, ties=True)
    assert most == 100 or len(expected[0]) > most  # as many as are as good as the last
    _check_detections(evaluate_in_runtime(build, tmp_path, DETECTIONS, **inputs), expected)


def test_no_detections_at_all(tmp_path):
    test = EasyDict(NMS=0.4, max_per_image=5)
    inputs = dict(
        rois=np.array([[0, 1, 1, 9, 9]], np.float32),
        scores=np.array([[[1, 0, 0]]], np.float32),
        deltas=np.zeros((1, 1, 12), np.float32),
        size=np.array([20, 20], np.float32),
        scale=np.array(1.0),
    )
    found = evaluate_in_runtime(
        lambda b, *names: results.detections(b, *names, 3, False, test, 0.1), tmp_path, DETECTIONS, **inputs
    )
    assert [array.shape for array in found] == [(0, 4), (0,), (0,)]


def test_suppression_counts_corners_as_inclusive():
    """Two boxes of 2 x 2 pixels that share one column: IoU 1/3, which is 0 where far corners are exclusive."""
    boxes = np.array([[[0, 0, 1, 1], [1, 0, 2, 1]]], np.float32)
    scores = np.array([[[0.9, 0.8]]], np.float32)
    for threshold, kept in ((0.3, 1), (0.34, 2)):
        (found,) = evaluate(
            lambda b, boxes, scores: [proposals.suppressed(b, boxes, scores, 9, threshold, 0)],
            boxes=boxes,
            scores=scores,
        )
        assert len(found) == kept == len(nms(np.column_stack([boxes[0], scores[0, 0]]), threshold))


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize('further, kept', [(-0.0007, 2), (0, 2), (0.0007, 1)])
def test_suppression_at_the_threshold(tmp_path, runtime, further, kept):
    """IoU 0.7 to the last digit, and 7e-7 to either side of it."""
    boxes = np.array([[[0, 0, 999, 9], [0, 0, 699 + further, 9]]], np.float32)
    (found,) = evaluate_in_runtime(
        lambda b, boxes, scores: [proposals.suppressed(b, boxes, scores, 9, 0.7, 0)],
        tmp_path,
        [np.int64],
        runtime,
        boxes=boxes,
        scores=np.array([[[0.9, 0.8]]], np.float32),
    )
    assert len(found) == kept == len(nms(np.column_stack([boxes[0], [0.9, 0.8]]).astype(np.float32), 0.7))


@pytest.mark.parametrize('runtime', ['reference', 'onnxruntime', 'openvino'])
def test_suppression_leaves_boxes_without_area_alone(tmp_path, runtime):
    """Corners in the wrong order by more than a pixel, on either axis or on both, twice each, and boxes around them."""
    sides = [(5, 3.9), (5, 4), (5, 9)]  # no width, no width, five pixels
    pairs = [(x1, y1, x2, y2) for x1, x2 in sides for y1, y2 in sides] * 2
    boxes = np.array([[*pairs, (0, 0, 20, 20), (0, 0, 20, 21)]], np.float32)
    scores = random(4).permutation(len(boxes[0])).astype(np.float32)[None, None] + 1
    build = lambda b, boxes, scores: [proposals.suppressed(b, boxes, scores, 99, 0.5, 0)]  # noqa: E731
    if runtime == 'reference':
        (found,) = evaluate(build, boxes=boxes, scores=scores)
    else:
        (found,) = evaluate_in_runtime(build, tmp_path, [np.int64], runtime, boxes=boxes, scores=scores)
    expected = nms(np.column_stack([boxes[0], scores[0, 0]]), 0.5)
    assert list(found[:, 2]) == list(expected) and len(expected) == 2 * 8 + 1 + 1


@pytest.mark.parametrize(
    'shape, short, longest, stride',
    [((30, 47), 61, 100, 0), ((40, 33), 20, 30, 16), ((25, 50), 25, 50, 0), ((44, 20), 22, 22, 8), ((1, 90), 9, 30, 0)],
)
def test_photos_are_resized_bit_by_bit_as_opencv_does(shape, short, longest, stride):
    image = random(9).integers(0, 256, (*shape, 3)).astype(np.uint8)
    means = [103.06, 115.9, 123.15]
    expected, scale = network_input(image, short, longest, stride, means)
    data, im_info, found = evaluate(
        lambda b, image: preprocessing.network_input(b, image, short, longest, stride, means), image=image
    )
    assert np.array_equal(data, expected['data']) and np.array_equal(im_info, expected['im_info'])
    assert float(found) == scale


@pytest.mark.parametrize('shape, short', [((1201, 1303), 1100), ((1000, 9001), 1000)])
def test_photos_are_resized_bit_by_bit_in_openvino_too(tmp_path, shape, short):
    """Which divides whole numbers in single precision: one pixel in a million was another."""
    image = random(10).integers(0, 256, (*shape, 3)).astype(np.uint8)
    expected, _ = network_input(image, short, 1200, 0, [0, 0, 0])
    data, _, _ = evaluate_in_runtime(
        lambda b, image: preprocessing.network_input(b, image, short, 1200, 0, [0, 0, 0]),
        tmp_path,
        [np.float32] * 2 + [np.float64],
        'openvino',
        image=image,
    )
    assert np.array_equal(data, expected['data'])


@pytest.mark.parametrize('largest', [1, 0])
def test_equal_values_keep_their_order_in_openvino(tmp_path, largest):
    """Beside NumPy's stable sort: many ties and none, all of them or some, ties where the last one is cut."""
    need_runtime('openvino')
    from onnx import TensorProto, helper

    floats, whole = TensorProto.FLOAT, TensorProto.INT64
    infos = [('x', floats, ['n']), ('k', whole, [1])], [('values', floats, ['m']), ('places', whole, ['m'])]
    inputs, outputs = ([helper.make_tensor_value_info(*info) for info in group] for group in infos)
    node = helper.make_node('TopK', ['x', 'k'], ['values', 'places'], largest=largest, axis=-1)
    graph = helper.make_graph([node], 'part', inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 19)], ir_version=9)
    path = str(tmp_path / 'part.xml')
    to_openvino(model, path, half=False, peers=PEERS)
    with Runtime(path, PEERS) as runtime:
        for count, taken, digits in [(21546, 6000, 3), (21546, 6000, 9), (100, 100, 1), (300, 20, 0), (1, 1, 2)]:
            x = random(count).random(count).round(digits).astype(np.float32)
            found, _ = runtime.run({'x': x, 'k': np.array([taken])})
            expected = np.argsort(-x if largest else x, kind='stable')[:taken]
            np.testing.assert_array_equal(found['places'], expected)
            np.testing.assert_array_equal(found['values'], x[expected])
