"""Images with their objects: of a test set with its ground truth, or photos with what the network finds on them."""

from __future__ import annotations

import sys
from typing import Callable, NamedTuple, Sequence

import numpy as np
from easydict import EasyDict

from dcn.config.families import kind_of
from dcn.dataset import get_imdb
from dcn.dataset.class_names import CITYSCAPES_CLASSES, CITYSCAPES_THINGS
from dcn.dataset.label_map import IGNORED
from dcn.dataset.segmentation import get_segmentation, load_label
from dcn.engine import Detector, Segmenter
from dcn.errors import UserError
from dcn.loader.image import load_image
from dcn.loader.photos import bgr_image, find_photos, stems
from dcn.showcase.demo import components, spaced
from dcn.showcase.offsets.measures import DOES_NOT_COUNT, NO_OBJECT, Objects


class Scene(NamedTuple):
    """An image and its objects; both are loaded when they are asked for."""

    name: str
    image: Callable[[], np.ndarray]  # (H, W, 3) uint8 BGR
    objects: Callable[[], Objects]


class Scenes(NamedTuple):
    """What is looked at."""

    title: str  # where the images come from
    rule: str  # how they were chosen, and what tells of their objects
    names: Sequence[str]  # of the classes
    scenes: Sequence[Scene]


def of_test_set(cfg: EasyDict, count: int = 0) -> Scenes:
    """``count`` images, at equal distances, of the test set of ``cfg``; all where it is 0."""
    kind = kind_of(cfg)
    data = (get_imdb if kind == 'detection' else get_segmentation)(cfg, cfg.dataset.test_image_set)
    if not data.num_images:
        raise UserError(f'{data.name}: expected images, found none; give another dataset.test_image_set, or photos')
    if kind == 'segmentation' and not data.has_labels:
        raise UserError(
            f'{data.name} has no ground truth, so nothing says where objects are; give another '
            'dataset.test_image_set, or its images as photos'
        )
    records = data.gt_roidb() if kind == 'detection' else data.gt_segdb()
    if kind == 'detection' and not sum(len(record['boxes']) for record in records):
        raise UserError(
            f'{data.name} has no ground truth, so nothing says where objects are; give another '
            'dataset.test_image_set, or its images as photos'
        )
    chosen = [records[i] for i in spaced(len(records), count or len(records))]
    scenes = [_of_record(record, kind, data.classes) for record in chosen]
    some = f'{len(chosen)} of {len(records)} images, at equal distances' if count else f'all {len(records)} images'
    what = (
        'ground-truth boxes'
        if kind == 'detection'
        else 'connected regions of one class in the ground truth, with the size of the box around each'
    )
    return Scenes(data.name, f'{some[0].upper()}{some[1:]} of the test set. Objects: {what}.', data.classes, scenes)


def of_photos(network: Detector | Segmenter, names: Sequence[str], threshold: float) -> Scenes:
    """The photos that ``names`` stand for, looked at now; their objects are what ``network`` finds, of detections those
    of score ``threshold`` and above. A photo that cannot be read is named and left out."""
    photos = find_photos(names)
    scenes, faults = [], []
    for path, stem in zip(photos, stems(photos)):
        try:
            scenes.append(_of_photo(network, path, stem, threshold))
        except (UserError, OSError) as error:
            faults.append(error)
    if not scenes:
        raise faults[0]
    for fault in faults:
        print(f'error: {fault}; the other photos are looked at', file=sys.stderr, flush=True)
    what = (
        f'detections of score {threshold:g} and above'
        if isinstance(network, Detector)
        else 'connected regions of one class in what the network finds'
    )
    count = f'{len(scenes)} photo{"s" * (len(scenes) > 1)}'
    return Scenes(count, f'Objects: {what}.', network.class_names, scenes)


def _of_record(record, kind, classes):
    def objects():
        if kind == 'segmentation':
            return regions_of(load_label(record), classes)
        return Objects(record['boxes'].astype(float), record['gt_classes'])

    return Scene(record['id'], lambda: load_image(record), objects)


def _of_photo(network, path, stem, threshold):
    image = bgr_image(path)
    if isinstance(network, Detector):
        found = network.detect(image)
        keep = found.scores >= threshold
        objects = Objects(found.boxes[keep].astype(float), found.classes[keep])
    else:
        objects = regions_of(network.segment(image), network.class_names)
    return Scene(stem, lambda: bgr_image(path), lambda: objects)


def regions_of(labels: np.ndarray, classes: Sequence[str]) -> Objects:
    """The connected regions of the classes ``labels`` (H, W) as Objects.

    The background is class 0, or for the classes of Cityscapes all that it does not count one by one: road to sky.
    """
    background = [0]
    if tuple(classes) == CITYSCAPES_CLASSES:
        background = list(range(len(CITYSCAPES_CLASSES) - len(CITYSCAPES_THINGS)))
    owners = np.where(labels == IGNORED, DOES_NOT_COUNT, NO_OBJECT)
    boxes, found = [], []
    for label, part, (x, y, width, height, _) in components(labels, [*background, IGNORED]):
        owners[part] = len(boxes)
        boxes.append([x, y, x + width - 1, y + height - 1])
        found.append(label)
    return Objects(np.array(boxes, float).reshape(-1, 4), np.array(found, int), owners)
