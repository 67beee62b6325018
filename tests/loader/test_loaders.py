"""Batches: contents, purity, several images on a device, several devices."""

import threading

import cv2
import numpy as np
import pytest
from easydict import EasyDict

from dcn.errors import UserError
from dcn.loader import TestLoader, TrainLoader
from dcn.loader.image import to_tensor

MEANS = (103.06, 115.9, 123.15)
# stored height and width; different sizes, landscape and portrait
SIZES = [(40, 64), (40, 64), (64, 48), (48, 48), (40, 56), (72, 40), (40, 64)]


def feature_shapes(height, width):
    return [(-(-height // 8), -(-width // 8))]


def config(**train):
    defaults = dict(
        BATCH_IMAGES=1,
        SHUFFLE=True,
        AUGMENT=False,
        ASPECT_GROUPING=True,
        RPN_BATCH_SIZE=64,
        RPN_FG_FRACTION=0.5,
        RPN_POSITIVE_OVERLAP=0.7,
        RPN_NEGATIVE_OVERLAP=0.3,
        RPN_CLOBBER_POSITIVES=False,
        RPN_BBOX_WEIGHTS=[1, 1, 1, 1],
    )
    network = dict(
        RPN_FEAT_STRIDE=8, ANCHOR_RATIOS=[0.5, 1, 2], ANCHOR_SCALES=[1, 2], IMAGE_STRIDE=0, PIXEL_MEANS=list(MEANS)
    )
    return EasyDict(SCALES=[(40, 80)], network=network, TRAIN=dict(defaults, **train))


@pytest.fixture(scope='module')
def roidb(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    records = []
    for index, (height, width) in enumerate(SIZES):
        path = str(folder / f'{index}.png')
        cv2.imwrite(path, rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        boxes = np.array([[4, 6, 20, 21], [10 + index, 9, 33, 38], [30, 2, 38, 12]][: 1 + index % 3], dtype=np.uint16)
        records.append(
            {
                'id': f'im{index}',
                'image': path,
                'height': height,
                'width': width,
                'boxes': boxes,
                'gt_classes': np.arange(1, len(boxes) + 1, dtype=np.int32),
                'flipped': index % 2 == 1,
            }
        )
    return records


def equal(a, b):
    return all(x.keys() == y.keys() and all(np.array_equal(x[k], y[k]) for k in x) for x, y in zip(a.inputs, b.inputs))


def test_one_image_of_the_original_size(roidb):
    loader = TrainLoader(roidb, config(SHUFFLE=False), feature_shapes)
    assert len(loader) == 7
    batch = loader.batch(0, 0)
    (inputs,), ((record,),) = batch
    assert record is roidb[0]
    assert {k: v.shape for k, v in inputs.items()} == {
        'data': (1, 3, 40, 64),
        'im_info': (1, 3),
        'gt_boxes': (1, 1, 5),
        'label': (1, 6 * 5 * 8),
        'bbox_target': (1, 24, 5, 8),
        'bbox_weight': (1, 24, 5, 8),
    }
    assert {v.dtype for v in inputs.values()} == {np.dtype('float32')}
    np.testing.assert_array_equal(inputs['data'], to_tensor(cv2.imread(record['image']), MEANS))
    np.testing.assert_array_equal(inputs['im_info'], [[40, 64, 1]])
    np.testing.assert_array_equal(inputs['gt_boxes'], [[[4, 6, 20, 21, 1]]])


def test_flipped_record_shows_mirrored_pixels(roidb):
    data = TrainLoader(roidb, config(SHUFFLE=False), feature_shapes).batch(0, 1).inputs[0]['data']
    np.testing.assert_array_equal(data, to_tensor(cv2.imread(roidb[1]['image']), MEANS)[:, :, :, ::-1])


def test_boxes_are_scaled_with_the_image(roidb):
    inputs = TrainLoader(roidb[2:3], config(), feature_shapes).batch(0, 0).inputs[0]
    # 64 x 48, short side to 40: 5 / 6; 20 * 5 / 6 = 16.67 -> 17, 6 * 5 / 6 = 5, 21 * 5 / 6 = 17.5 -> 18 (even)
    assert inputs['data'].shape == (1, 3, 53, 40)
    np.testing.assert_array_equal(inputs['gt_boxes'][0, 0], [3, 5, 17, 18, 1])
    np.testing.assert_allclose(inputs['im_info'], [[53, 40, 40 / 48]], rtol=1e-7)


def test_a_batch_is_a_pure_function(roidb):
    """Neither the order of calls, nor threads, nor a new loader (resuming) change a batch."""
    arguments = roidb, config(BATCH_IMAGES=2), feature_shapes, 1, 5
    loader = TrainLoader(*arguments)
    expected = {(epoch, index): loader.batch(epoch, index) for epoch in (0, 1) for index in range(len(loader))}
    fresh, found = TrainLoader(*arguments), {}

    def load(keys):
        for key in keys:
            found[key] = fresh.batch(*key)

    keys = sorted(expected, reverse=True)
    threads = [threading.Thread(target=load, args=(keys[part::2],)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(expected) == 6
    assert all(equal(found[key], expected[key]) for key in expected)


def test_seed_and_epoch_change_the_draws(roidb):
    cfg, labels = config(RPN_BATCH_SIZE=8), set()
    for seed, epoch in [(0, 0), (1, 0), (0, 1)]:
        loader = TrainLoader(roidb[:1], cfg, feature_shapes, 1, seed)
        labels.add(loader.batch(epoch, 0).inputs[0]['label'].tobytes())
    assert len(labels) == 3


def test_every_record_once_an_epoch(roidb):
    loader = TrainLoader(roidb, config(), feature_shapes, 1, 0)
    seen = [record['id'] for index in range(len(loader)) for record in loader.batch(3, index).records[0]]
    assert sorted(seen) == sorted(record['id'] for record in roidb)


def test_devices_have_shapes_of_their_own(roidb):
    loader = TrainLoader(roidb, config(SHUFFLE=False), feature_shapes, 3)
    assert (len(loader), loader.batch_size) == (2, 3)
    batch = loader.batch(0, 0)
    assert [inputs['data'].shape[2:] for inputs in batch.inputs] == [(40, 64), (40, 64), (53, 40)]
    assert [[record['id'] for record in part] for part in batch.records] == [['im0'], ['im1'], ['im2']]


def test_two_images_on_a_device_equal_two_devices(roidb):
    """Padded to a common size, each image keeps its pixels, its boxes and its labels."""
    pair = TrainLoader(roidb[3:5], config(SHUFFLE=False, BATCH_IMAGES=2), feature_shapes).batch(0, 0).inputs[0]
    singles = list(TrainLoader(roidb[3:5], config(SHUFFLE=False), feature_shapes, 2).batch(0, 0).inputs)
    assert pair['data'].shape == (2, 3, 40, 56)
    assert pair['gt_boxes'].shape == (2, 2, 5)
    for index, single in enumerate(singles):
        height, width = single['data'].shape[2:]
        ((rows, columns),) = feature_shapes(height, width)
        np.testing.assert_array_equal(pair['data'][index, :, :height, :width], single['data'][0])
        np.testing.assert_array_equal(pair['im_info'][index], single['im_info'][0])
        count = single['gt_boxes'].shape[1]
        np.testing.assert_array_equal(pair['gt_boxes'][index, :count], single['gt_boxes'][0])
        for name in ('bbox_target', 'bbox_weight'):
            np.testing.assert_array_equal(pair[name][index, :, :rows, :columns], single[name][0])
        label = pair['label'][index].reshape(6, 5, 7)
        np.testing.assert_array_equal(label[:, :rows, :columns].ravel(), single['label'][0])
        assert (label[:, :, columns:] == -1).all()
    # the first image is 40 x 40: its padding is zero (not minus the mean), its missing second box is -1
    assert not pair['data'][0, :, :, 40:].any()
    np.testing.assert_array_equal(pair['gt_boxes'][0, 1:], -1)


def test_record_without_boxes_has_one_row_of_padding(roidb):
    record = dict(roidb[0], boxes=np.zeros((0, 4), dtype=np.uint16), gt_classes=np.zeros(0, dtype=np.int32))
    inputs = TrainLoader([record], config(), feature_shapes).batch(0, 0).inputs[0]
    np.testing.assert_array_equal(inputs['gt_boxes'], -np.ones((1, 1, 5)))
    assert set(np.unique(inputs['label'])) == {-1, 0}


def test_augment_draws_symmetries(roidb):
    loader = TrainLoader(roidb[:1], config(AUGMENT=True), feature_shapes)
    batches = [loader.batch(epoch, 0).inputs[0] for epoch in range(12)]
    assert {b['data'].shape[2:] for b in batches} == {(40, 64), (64, 40)}
    # pixels under the box are the same ones whatever the symmetry
    sums = []
    for b in batches:
        x1, y1, x2, y2 = b['gt_boxes'][0, 0, :4].astype(int)
        sums.append(float(b['data'][0, :, y1 : y2 + 1, x1 : x2 + 1].astype(np.float64).sum()))
    np.testing.assert_allclose(sums, sums[0])


def test_scales_are_drawn_for_each_image(roidb):
    cfg = config()
    cfg.SCALES = [(40, 80), (20, 80)]
    loader = TrainLoader(roidb[:1], cfg, feature_shapes)
    assert {loader.batch(epoch, 0).inputs[0]['data'].shape[2] for epoch in range(10)} == {20, 40}


def test_feature_shapes_are_asked_once_for_each_size(roidb):
    asked = []
    loader = TrainLoader(roidb, config(), lambda h, w: asked.append((h, w)) or feature_shapes(h, w))
    for index in range(len(loader)):
        loader.batch(0, index)
    assert len(asked) == len(set(asked))


def test_fewer_images_than_a_batch(roidb):
    with pytest.raises(UserError, match='3 images .* at least one batch of 4'):
        TrainLoader(roidb[:3], config(BATCH_IMAGES=2), feature_shapes, 2)


def test_index_beyond_the_epoch(roidb):
    with pytest.raises(IndexError, match='expected 0 to 6'):
        TrainLoader(roidb, config(), feature_shapes).batch(0, 7)


def test_test_images_one_at_a_time(roidb):
    loader = TestLoader(roidb, config())
    inputs, scale, record = loader.item(5)
    assert (len(loader), record, scale) == (7, roidb[5], 1.0)
    np.testing.assert_array_equal(inputs['data'][..., ::-1], to_tensor(cv2.imread(record['image']), MEANS))
    np.testing.assert_array_equal(inputs['im_info'], [[72, 40, 1]])


def test_every_image_at_every_test_scale(roidb):
    cfg = config()
    cfg.TEST_SCALES = [[20, 80], [40, 80], [40, 50]]
    loader = TestLoader(roidb[:2], cfg)
    items = [loader.item(index) for index in range(len(loader))]
    assert [record['id'] for _, _, record in items] == ['im0'] * 3 + ['im1'] * 3
    assert [scale for _, scale, _ in items] == [0.5, 1, 50 / 64] * 2
    assert [inputs['data'].shape[2:] for inputs, _, _ in items[:3]] == [(20, 32), (40, 64), (31, 50)]
