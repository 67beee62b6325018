"""Custom operator `proposal_target`: plain loops, hand-made cases, batches and refusals."""

from pathlib import Path

import numpy as np
import pytest

import dcn.operators  # noqa: F401  (registers the operator)
from dcn.bbox import bbox_transform
from dcn.errors import UserError
from dcn.operators.proposal_target import ProposalTarget
from tests.boxes import iou

import mxnet as mx

STDS = (0.1, 0.1, 0.2, 0.2)
OUTPUTS = ('rois_output', 'label', 'bbox_target', 'bbox_weight')
REFERENCE = (
    Path(__file__).resolve().parents[1]
    / 'reference'
    / 'train__rfcn__resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem__seed0.npz'
)
GT = np.array([[10, 10, 49, 59, 7], [60, 20, 99, 79, 2]], dtype=np.float32)


def run(rois, gt_boxes, **attributes):
    """The four OUTPUTS through an MXNet executor; the gradients must come back as zeros."""
    attributes = dict(dict(num_classes=2, batch_images=1, batch_rois=-1, fg_fraction=0.25), **attributes)
    variables = mx.sym.Variable('rois'), mx.sym.Variable('gt_boxes')
    symbol = mx.sym.Custom(*variables, op_type='proposal_target', **attributes)
    arrays = {'rois': mx.nd.array(rois), 'gt_boxes': mx.nd.array(gt_boxes)}
    grads = {name: mx.nd.ones(array.shape) for name, array in arrays.items()}
    executor = symbol.bind(mx.cpu(), arrays, args_grad=grads)
    found = [out.asnumpy() for out in executor.forward(is_train=True)]
    executor.backward([mx.nd.ones(out.shape) for out in found])
    assert not any(grad.asnumpy().any() for grad in grads.values())
    assert symbol.list_outputs() == [f'{symbol.name}_{name}' for name in OUTPUTS]
    return found


def random_rois(count, seed=0, index=0, gt=GT):
    """Half around the ground truth, half anywhere."""
    rng = np.random.default_rng(seed)
    near = gt[rng.integers(len(gt), size=count), :4] + rng.normal(0, 4, (count, 4))
    corner = rng.uniform(0, 80, (count, 2))
    far = np.hstack([corner, corner + rng.uniform(5, 40, (count, 2))])
    boxes = np.where(rng.uniform(size=(count, 1)) < 0.5, near, far)
    return np.insert(boxes, 0, index, axis=1).astype(np.float32)


def expected_row(box, gt, classes, fg=0.5):
    """Label, targets and weights of a RoI that is not sampled away: (1,), (4 * classes,), (4 * classes,)."""
    overlaps = [iou(box, g) for g in gt]
    best = int(np.argmax(overlaps))
    target, weight = np.zeros(4 * classes), np.zeros(4 * classes)
    if overlaps[best] < fg:
        return 0, target, weight
    label = int(gt[best, 4])
    column = 4 * (1 if classes == 2 else label)
    target[column : column + 4] = bbox_transform(box[None].astype(np.float64), gt[best : best + 1, :4])[0] / STDS
    weight[column : column + 4] = 1
    return label, target, weight


@pytest.mark.parametrize('classes', [2, 9])
def test_every_roi_against_the_loop(classes):
    rois = random_rois(40)
    found, label, target, weight = run(rois, GT, num_classes=classes)
    every = np.vstack([rois, np.insert(GT[:, :4], 0, 0, axis=1)])
    foreground = np.array([max(iou(box, g) for g in GT) >= 0.5 for box in every[:, 1:]])
    assert 3 < foreground.sum() < 40
    # foreground first, each part in the order of the RoIs; the ground truth is the last of the foreground
    np.testing.assert_array_equal(found, np.vstack([every[foreground], every[~foreground]]))
    for row, *values in zip(found, label, target, weight):
        for value, expected in zip(values, expected_row(row[1:], GT, classes)):
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_sampling_limits():
    rois = random_rois(800)
    found, label, _, weight = run(rois, GT, num_classes=9, batch_rois=64, bg_thresh_lo=0.1)
    assert found.shape == (64, 5)
    # 0.25 * 64 foreground, then background between 0.1 and 0.5
    assert (label[:16] > 0).all() and not label[16:].any()
    overlaps = np.array([max(iou(row[1:], g) for g in GT) for row in found])
    assert (overlaps[:16] >= 0.5).all() and (overlaps[16:] < 0.5).all() and (overlaps[16:] >= 0.1).all()
    np.testing.assert_array_equal(weight.sum(axis=1), np.where(label > 0, 4, 0))
    # a subset without repetition
    assert len(np.unique(found, axis=0)) == 64


def test_largest_foreground_rounds_half_to_even():
    # 0.25 * 10 = 2.5 -> 2
    label = run(random_rois(200), GT, batch_rois=10)[1]
    assert (label > 0).sum() == 2


def test_too_few_rois_are_repeated_as_background():
    """As in the original, RoIs of any overlap fill the gap with label 0, foreground ones too."""
    rois = np.array([[0, 10, 10, 49, 58], [0, 200, 200, 220, 220]], dtype=np.float32)
    found, label, target, _ = run(rois, GT, batch_rois=16)
    # foreground: the first RoI and both ground truths; background: the second RoI; 12 more fill up, in rounds of 4
    np.testing.assert_array_equal(np.sort(label)[::-1], [7, 7, 2] + [0] * 13)
    assert not target[3:].any()
    assert len(np.unique(found[4:8], axis=0)) == 4


def test_normalisation_and_weights():
    rois = np.array([[0, 14, 10, 53, 59]], dtype=np.float32)
    attributes = dict(
        bbox_means='(0.5, 0.0, 0.0, 0.0)', bbox_stds='(0.2, 0.1, 0.1, 0.1)', bbox_weights='(1.0, 2.0, 3.0, 4.0)'
    )
    # the first ground truth is 40 wide and 4 pixels to the left: dx = -0.1
    _, _, target, weight = run(rois, GT, **attributes)
    np.testing.assert_allclose(target[0, 4:], [(-0.1 - 0.5) / 0.2, 0, 0, 0], atol=1e-5)
    np.testing.assert_array_equal(weight[0], [0, 0, 0, 0, 1, 2, 3, 4])
    target = run(rois, GT, bbox_normalization_precomputed='False', **attributes)[2]
    np.testing.assert_allclose(target[0, 4:], [-0.1, 0, 0, 0], atol=1e-6)


def test_defaults_are_those_of_the_experiments():
    rois = random_rois(20)
    explicit = run(
        rois,
        GT,
        fg_thresh='0.5',
        bg_thresh_hi='0.5',
        bg_thresh_lo='0.0',
        bbox_means='(0.0, 0.0, 0.0, 0.0)',
        bbox_stds=str(STDS),
        bbox_weights='(1.0, 1.0, 1.0, 1.0)',
        bbox_normalization_precomputed='True',
    )
    for a, b in zip(run(rois, GT), explicit):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('batch_rois', [-1, 32])
def test_two_images_equal_two_calls(batch_rois):
    first, second = random_rois(30, 0), random_rois(30, 1, index=1)
    gt_second = np.array([[5, 5, 60, 60, 3]], dtype=np.float32)
    padded = np.vstack([gt_second, np.full((1, 5), -1)])
    both = run(np.vstack([first, second]), np.vstack([GT, padded]), batch_images=2, batch_rois=batch_rois)
    rows = len(both[1]) // 2
    assert rows == (32 if batch_rois == -1 else 16)
    single_rois = -1 if batch_rois == -1 else 16
    for index, (rois, gt) in enumerate([(first, GT), (second, gt_second)]):
        single = run(np.insert(rois[:, 1:], 0, 0, axis=1), gt, batch_rois=single_rois)
        count = len(single[1])
        part = [array[rows * index : rows * index + count] for array in both]
        assert (part[0][:, 0] == index).all()
        np.testing.assert_array_equal(part[0][:, 1:], single[0][:, 1:])
        for a, b in zip(part[1:], single[1:]):
            np.testing.assert_array_equal(a, b)
    if batch_rois == -1:
        # the slot of the second image's padding row
        assert both[1][-1] == -1 and both[0][-1, 0] == 1
        assert not both[2][-1].any() and not both[3][-1].any()


def test_no_ground_truth_is_all_background():
    rois = random_rois(6)
    found, label, target, weight = run(rois, np.full((2, 5), -1))
    np.testing.assert_array_equal(found[:6], rois)
    np.testing.assert_array_equal(label, [0] * 6 + [-1] * 2)
    assert not target.any() and not weight.any()


def test_draws_follow_the_inputs():
    rois = random_rois(200)
    first, again = run(rois, GT, batch_rois=32), run(rois, GT, batch_rois=32)
    np.testing.assert_array_equal(first[0], again[0])
    rois[0, 1] += 1e-3
    assert not np.array_equal(run(rois, GT, batch_rois=32)[0], first[0])


def test_pickled_config_can_be_read_but_not_run():
    symbol = mx.sym.Custom(
        mx.sym.Variable('rois'),
        mx.sym.Variable('gt'),
        name='target',
        op_type='proposal_target',
        num_classes=2,
        batch_images=1,
        batch_rois=-1,
        fg_fraction=0.25,
        cfg='(dp0\n.',
    )
    loaded = mx.sym.load_json(symbol.tojson())
    assert loaded.attr_dict()['target']['cfg'] == '(dp0\n.'
    with pytest.raises(mx.base.MXNetError):
        loaded.infer_shape(rois=(300, 5), gt=(5, 5))


def test_plain_attributes_are_not_refused():
    symbol = mx.sym.Custom(mx.sym.Variable('rois'), mx.sym.Variable('gt'), op_type='proposal_target', num_classes=2)
    assert symbol.infer_shape(rois=(300, 5), gt=(5, 5))[1] == [(305, 5), (305,), (305, 8), (305, 8)]


@pytest.mark.parametrize(
    'name, text',
    [
        ('bbox_stds', '(0.1, 0.2)'),
        ('bbox_means', '__import__("os")'),
        ('fg_thresh', 'half'),
        ('bbox_normalization_precomputed', 'perhaps'),
        ('batch_rois', '1.5'),
    ],
)
def test_bad_attribute_is_named(name, text):
    with pytest.raises(UserError, match=f'{name}: expected'):
        ProposalTarget(num_classes='2', **{name: text})


def test_equals_the_original():
    """BATCH_ROIS -1 draws nothing, so the rows agree one by one."""
    data = np.load(REFERENCE)
    found = run(data['cust_rois_output'], data['in_gt_boxes'][0])
    for array, name in zip(found, OUTPUTS):
        np.testing.assert_allclose(array, data['cust_custom0_' + name], rtol=1e-5, atol=1e-5)
