"""What is found on a photo: unpacked as before, drawn, and written for programs."""

import json

import cv2
import numpy as np
import pytest

from dcn.engine.inference.results import ClassMap, Detections
from dcn.errors import UserError
from dcn.visualize.boxes import draw_detections
from dcn.visualize.canvas import palette
from dcn.visualize.segmentation import draw_segmentation

NAMES = ('__background__', 'bolt', 'nut')
ROWS = (
    np.float32([[1, 2, 30, 40], [5.12345, 6, 20, 21]]),
    np.float32([0.9, 0.25]),
    np.int32([2, 1]),
)


@pytest.fixture
def photo(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), image)
    return str(tmp_path / 'photo.png'), image


@pytest.mark.parametrize('as_path', [True, False])
def test_detections(as_path, photo):
    path, image = photo
    found = Detections.of(ROWS, NAMES, path if as_path else image, (60, 80))
    boxes, scores, classes = found
    assert boxes is ROWS[0] and scores is ROWS[1] and classes is ROWS[2]
    assert np.array_equal(found.draw(), draw_detections(image, *ROWS, NAMES, 0.5))
    assert np.array_equal(found.draw(threshold=0.1), draw_detections(image, *ROWS, NAMES, 0.1))
    assert (
        json.loads(found.to_json())
        == found.to_dict()
        == {
            'file': path if as_path else None,
            'width': 80,
            'height': 60,
            'detections': [
                {'class': 'nut', 'class_id': 2, 'score': 0.9, 'box': [1, 2, 30, 40]},
                {'class': 'bolt', 'class_id': 1, 'score': 0.25, 'box': [5.123, 6, 20, 21]},
            ],
        }
    )
    assert [row['class'] for row in found.to_dict(threshold=0.5)['detections']] == ['nut']


def test_detections_that_somebody_made(photo):
    """Without a network: classes have numbers, and the photo is given."""
    found = Detections(*ROWS)
    assert [row['class'] for row in found.to_dict()['detections']] == ['2', '1']
    assert found.draw(photo[0]).shape[2] == 3
    with pytest.raises(UserError, match=r'draw\(\): expected the photo .*, found none'):
        found.draw()
    assert Detections(*(rows[:0] for rows in ROWS)).to_dict()['detections'] == []


def test_a_map_of_classes(photo):
    path, image = photo
    labels = np.zeros((60, 80), np.uint8)
    labels[:15] = 2
    colours = np.array([palette(label)[::-1] for label in range(3)], np.uint8)
    found = ClassMap.of(labels, NAMES, colours, path)
    assert isinstance(found, np.ndarray) and np.array_equal(found, labels) and found.max() == 2
    assert np.array_equal(found.draw(), draw_segmentation(image, labels, NAMES, colours))
    assert json.loads(found.to_json()) == {
        'file': path,
        'width': 80,
        'height': 60,
        'classes': [
            {'class': '__background__', 'class_id': 0, 'pixels': 3600, 'share': 0.75},
            {'class': 'nut', 'class_id': 2, 'pixels': 1200, 'share': 0.25},
        ],
    }
    assert found[:30].class_names is NAMES
    with pytest.raises(UserError, match='photo: expected 80 x 30 pixels as the map of classes has, found 80 x 60'):
        found[:30].draw()
