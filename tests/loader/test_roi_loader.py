"""Batches for detection on given RoIs: contents against plain loops, purity, flipped copies, normalisation."""

import cv2
import numpy as np
import pytest
from easydict import EasyDict

from dcn.bbox import bbox_transform
from dcn.dataset.proposals import with_proposals
from dcn.dataset.roidb import append_flipped, make_record
from dcn.loader.roi_loader import ROWS, RoiTestLoader, RoiTrainLoader, box_normalisation, measured_normalisation
from tests.boxes import iou

MEANS, STDS = [0.0, 0.0, 0.1, 0.0], [0.1, 0.1, 0.2, 0.4]
GT = {'wide': ([[4, 6, 40, 25], [30, 2, 58, 38]], [1, 2]), 'tall': ([[10, 9, 33, 58]], [3])}
SIZES = {'wide': (40, 64), 'tall': (72, 40)}


def config(agnostic=True, **train):
    defaults = dict(
        BATCH_IMAGES=1,
        SHUFFLE=False,
        AUGMENT=False,
        ASPECT_GROUPING=False,
        BATCH_ROIS=16,
        FG_FRACTION=0.25,
        FG_THRESH=0.5,
        BG_THRESH_HI=0.5,
        BG_THRESH_LO=0.0,
        BBOX_REGRESSION_THRESH=0.5,
        BBOX_WEIGHTS=np.array([1.0, 1.0, 2.0, 2.0]),
        BBOX_MEANS=MEANS,
        BBOX_STDS=STDS,
        BBOX_NORMALIZATION_PRECOMPUTED=True,
    )
    return EasyDict(
        SCALES=[(60, 120)],
        CLASS_AGNOSTIC=agnostic,
        network=dict(IMAGE_STRIDE=0, PIXEL_MEANS=[1, 2, 3]),
        dataset=dict(NUM_CLASSES=4),
        TRAIN=dict(defaults, **train),
    )


def proposals(name):
    """12 boxes around each ground truth, 20 anywhere."""
    rng = np.random.default_rng(len(name) + 11)
    height, width = SIZES[name]
    near = np.repeat(np.array(GT[name][0], float), 12, axis=0)
    near += rng.normal(0, 2, near.shape)
    corner = rng.uniform(0, 20, (20, 2))
    boxes = np.concatenate([near, np.hstack([corner, corner + rng.uniform(3, 15, (20, 2))])])
    return np.clip(boxes, 0, [width - 1, height - 1] * 2)


@pytest.fixture(scope='module')
def roidb(tmp_path_factory):
    """A landscape and a portrait image, then their flipped copies."""
    records = []
    for name, (boxes, classes) in GT.items():
        path = str(tmp_path_factory.mktemp('images') / f'{name}.png')
        pixels = np.random.default_rng(0).integers(0, 256, SIZES[name] + (3,), dtype=np.uint8)
        cv2.imwrite(path, pixels)
        record = make_record(name, path, *SIZES[name], boxes, classes, 4)
        records.append(with_proposals(record, proposals(name), 'nowhere'))
    return append_flipped(records)


def loader(roidb, devices=1, seed=0, **options):
    cfg = config(**options)
    return RoiTrainLoader(roidb, cfg, box_normalisation(roidb, cfg), devices, seed)


def check_rows(record, rois, labels, targets, weights, scale, agnostic):
    """Every row against the ground truth that it overlaps most, at whole pixels of the resized image."""
    gts = np.round(record['boxes'] * scale)
    classes, slots = record['gt_classes'], targets.shape[1] // 4
    for roi, label, target, weight in zip(rois, labels, targets, weights):
        overlaps = [iou(roi[1:], gt) for gt in gts]
        best = int(np.argmax(overlaps))
        expected, expected_weight = np.zeros((2, slots, 4))
        if label > 0:
            assert overlaps[best] >= 0.5 and label == classes[best]
            slot = 1 if agnostic else int(label)
            expected[slot] = (bbox_transform(roi[None, 1:], gts[best : best + 1])[0] - MEANS) / STDS
            expected_weight[slot] = [1, 1, 2, 2]
        np.testing.assert_allclose(target, expected.ravel(), atol=1e-5)
        np.testing.assert_array_equal(weight, expected_weight.ravel())


@pytest.mark.parametrize('agnostic', [True, False])
def test_a_sample_of_rois(roidb, agnostic):
    """16 rows, a quarter of them foreground; 40 x 64 pixels become 60 x 96."""
    (inputs,), ((record,),) = loader(roidb, agnostic=agnostic).batch(0, 0)
    columns = 8 if agnostic else 16
    assert {name: array.shape for name, array in inputs.items()} == {
        'data': (1, 3, 60, 96),
        'rois': (1, 16, 5),
        'label': (1, 16),
        'bbox_target': (1, 16, columns),
        'bbox_weight': (1, 16, columns),
    }
    assert all(array.dtype == np.float32 for array in inputs.values())
    rois, labels = inputs['rois'][0], inputs['label'][0]
    assert (labels > 0).tolist() == [True] * 4 + [False] * 12
    check_rows(record, rois, labels, inputs['bbox_target'][0], inputs['bbox_weight'][0], 1.5, agnostic)
    # whole pixels, as the original rounds them, of boxes that were proposed or are objects
    known = np.round(1.5 * np.concatenate([record['proposals'], record['boxes']]))
    assert all((np.abs(known - roi[1:]).max(axis=1) < 1e-3).any() for roi in rois)


def test_all_rois_and_rows_that_do_not_count(roidb):
    """2 x 12 + 20 proposals and 2 objects are 46 RoIs in 64 rows."""
    (inputs,), ((record,),) = loader(roidb, BATCH_ROIS=-1).batch(0, 0)
    labels = inputs['label'][0]
    assert inputs['rois'].shape == (1, ROWS, 5) and (labels[46:] == -1).all() and (labels[:46] >= 0).all()
    assert not inputs['bbox_weight'][0, 46:].any() and not inputs['rois'][0, 46:].any()
    check_rows(record, *(inputs[name][0, :46] for name in ('rois', 'label', 'bbox_target', 'bbox_weight')), 1.5, True)
    found = sorted(map(tuple, inputs['rois'][0, :46, 1:]))
    expected = np.round(1.5 * np.concatenate([record['proposals'], record['boxes']]))
    np.testing.assert_allclose(found, sorted(map(tuple, np.clip(expected, 0, [95, 59] * 2))), atol=1e-3)


def test_flipped_copies(roidb):
    """All RoIs of the copy are the flipped ones, up to the rounding to whole pixels."""
    plain, flipped = (loader([record], BATCH_ROIS=-1).batch(0, 0).inputs[0] for record in (roidb[0], roidb[2]))
    np.testing.assert_array_equal(flipped['data'], plain['data'][..., ::-1])
    boxes = plain['rois'][0, :46, 1:]
    expected = np.stack([95 - boxes[:, 2], boxes[:, 1], 95 - boxes[:, 0], boxes[:, 3]], axis=1)
    np.testing.assert_allclose(flipped['rois'][0, :46, 1:], expected, atol=1.01)
    np.testing.assert_array_equal(flipped['label'], plain['label'])
    check_rows(roidb[2], *(flipped[name][0] for name in ('rois', 'label', 'bbox_target', 'bbox_weight')), 1.5, True)


def test_batches_are_pure_and_epochs_differ(roidb):
    one, other = loader(roidb), loader(roidb)
    first = one.batch(0, 1).inputs[0]['rois']
    one.batch(2, 0)
    np.testing.assert_array_equal(first, other.batch(0, 1).inputs[0]['rois'])
    assert not np.array_equal(first, one.batch(1, 1).inputs[0]['rois'])
    assert not np.array_equal(first, loader(roidb, seed=1).batch(0, 1).inputs[0]['rois'])


def test_two_images_on_a_device_equal_two_devices(roidb):
    pair = loader(roidb[:2], BATCH_IMAGES=2, BATCH_ROIS=32).batch(0, 0).inputs[0]
    singles = loader(roidb[:2], devices=2).batch(0, 0).inputs
    assert pair['data'].shape == (2, 3, 108, 96) and pair['rois'][:, :, 0].tolist() == [[0] * 16, [1] * 16]
    for index, single in enumerate(singles):
        height, width = single['data'].shape[2:]
        np.testing.assert_array_equal(pair['data'][index, :, :height, :width], single['data'][0])
        np.testing.assert_array_equal(pair['rois'][index, :, 1:], single['rois'][0, :, 1:])
        for name in ('label', 'bbox_target', 'bbox_weight'):
            np.testing.assert_array_equal(pair[name][index], single[name][0])


@pytest.mark.parametrize('agnostic', [True, False])
def test_measured_normalisation(roidb, agnostic):
    """Against plain lists; class 0, and here every class that no record holds, keeps mean 0 and deviation 1."""
    records, classes = roidb[:1] + roidb[2:3], 2 if agnostic else 4
    targets = {k: [] for k in range(classes)}
    for record in records:
        boxes = record['proposals'].astype(float)
        if record['flipped']:
            boxes = np.stack([63 - boxes[:, 2], boxes[:, 1], 63 - boxes[:, 0], boxes[:, 3]], axis=1)
        for roi in np.concatenate([boxes, record['boxes']]):
            overlaps = [iou(roi, gt) for gt in record['boxes'].astype(float)]
            best = int(np.argmax(overlaps))
            if overlaps[best] >= 0.6:
                slot = 1 if agnostic else record['gt_classes'][best]
                targets[slot].append(bbox_transform(roi[None], record['boxes'][best : best + 1])[0])
    means, stds = measured_normalisation(records, classes, 0.6)
    for k, rows in targets.items():
        np.testing.assert_allclose(means[k], np.mean(rows, axis=0) if rows else np.zeros(4), atol=1e-9)
        np.testing.assert_allclose(stds[k], np.std(rows, axis=0) if rows else np.ones(4), rtol=1e-6)
    assert [bool(rows) for rows in targets.values()] == ([False, True] if agnostic else [False, True, True, False])


def test_the_configuration_chooses_the_normalisation(roidb):
    fixed = box_normalisation(roidb, config(agnostic=False))
    np.testing.assert_array_equal(fixed.stds, [STDS] * 4)
    measured = box_normalisation(roidb, config(agnostic=False, BBOX_NORMALIZATION_PRECOMPUTED=False))
    np.testing.assert_array_equal(measured, measured_normalisation(roidb, 4, 0.5))
    # targets that are divided by their own deviations have deviation 1
    (inputs,), _ = loader(roidb[:1], BATCH_ROIS=-1, BBOX_NORMALIZATION_PRECOMPUTED=False).batch(0, 0)
    rows = inputs['bbox_target'][0][inputs['label'][0] > 0, 4:]
    np.testing.assert_allclose(rows.std(axis=0), 1, atol=0.1)


def test_images_for_testing(roidb):
    inputs, scale, record = RoiTestLoader(roidb, config()).item(1)
    assert (scale, record) == (1.5, roidb[1]) and inputs['data'].shape == (1, 3, 108, 60)
    np.testing.assert_array_equal(inputs['rois'][0, :, 0], 0)
    expected = np.clip(np.round(1.5 * roidb[1]['proposals']), 0, [59, 107] * 2)
    np.testing.assert_allclose(inputs['rois'][0, :, 1:], expected, atol=1e-3)
