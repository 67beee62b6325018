"""What the pictures of ``dcn demo`` show: images, boxes and cells chosen by fixed rules, and what the network says
there."""

import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Type

import cv2
import numpy as np

from dcn.config.families import kind_of
from dcn.dataset import get_imdb
from dcn.dataset.label_map import IGNORED
from dcn.dataset.segmentation import get_segmentation, load_label
from dcn.engine import Detector, Segmenter
from dcn.engine.inference.photos import PhotoNetwork
from dcn.loader.image import load_image
from dcn.showcase import demo_pictures
from dcn.showcase.probe import PartNetwork, deformable_layers
from dcn.visualize.canvas import picture_colours, save

SHOWN = 0.5  # smallest score that is drawn
PICTURED = 8  # test images on the first sheet
SMALLEST = 60  # pixels of a region that counts as an object


class Thing(NamedTuple):
    """An object found on an image."""

    number: int  # of the image
    label: int
    box: np.ndarray  # (4,)
    point: Tuple[float, float]  # (x, y) in its middle


def pictures(trials: list, out: str) -> List[str]:
    """Write the pictures of dcn.cli.demo's Trials, the last one deformable, into ``out``; return their paths."""
    sheets = {'detection': _of_detectors, 'segmentation': _of_segmenters}[kind_of(trials[-1].cfg)](trials)
    return [save(os.path.join(out, name + '.png'), sheet) for name, sheet in sheets.items() if sheet is not None]


def _of_detectors(trials):
    imdb = get_imdb(trials[0].cfg, trials[0].cfg.dataset.test_image_set)
    roidb = imdb.gt_roidb()
    images, rule = _chosen(roidb)
    truths = [demo_pictures.Found(roidb[i]['boxes'].astype(float), None, roidb[i]['gt_classes']) for i in images]
    found = {trial.network.title: _detections(trial, images.values()) for trial in trials}
    last = found[trials[-1].network.title]
    things = [thing for number, each in zip(images, last) for thing in detected(number, each)]
    truth_boxes = {number: truth.boxes for number, truth in zip(images, truths)}
    return {
        'detections': demo_pictures.detections_page([*images.values()], truths, found, imdb.classes, SHOWN, rule),
        'sampling_points': sampling_points(Detector, trials[-1], images, things, truth_boxes, imdb.classes),
        'part_offsets': part_offsets(trials[-1], images, last, imdb.classes),
    }


def _detections(trial, images):
    detector = Detector(trial.cfg, trial.params)
    return [demo_pictures.Found(*detector.detect(image)) for image in images]


def _of_segmenters(trials):
    data = get_segmentation(trials[0].cfg, trials[0].cfg.dataset.test_image_set)
    segdb = data.gt_segdb()
    images, rule = _chosen(segdb)
    truths = [load_label(segdb[i]) for i in images]
    found = {trial.network.title: _segmentations(trial, images.values()) for trial in trials}
    things = [
        thing for number, labels in zip(images, found[trials[-1].network.title]) for thing in regions(number, labels)
    ]
    boxes = {number: [thing.box for thing in regions(number, truth)] for number, truth in zip(images, truths)}
    colours = picture_colours(trials[0].cfg.dataset)
    return {
        'segmentations': demo_pictures.segmentations_page(
            [*images.values()], truths, found, data.classes, colours, rule
        ),
        'sampling_points': sampling_points(Segmenter, trials[-1], images, things, boxes, data.classes),
    }


def _segmentations(trial, images):
    segmenter = Segmenter(trial.cfg, trial.params)
    return [segmenter.segment(image) for image in images]


def _chosen(records):
    """{number: image} of the test images that are shown, and the rule by which they were chosen."""
    images = {i: load_image(records[i]) for i in spaced(len(records), PICTURED)}
    numbers = ', '.join(str(i + 1) for i in images)
    return images, f'{len(images)} of the {len(records)} test images at equal distances (numbers {numbers}).'


def spaced(count: int, wanted: int) -> List[int]:
    """``wanted`` numbers below ``count`` at equal distances, the first 0; all where there are no more."""
    wanted = min(wanted, count)
    return [i * count // wanted for i in range(wanted)]


def detected(number: int, found: demo_pictures.Found) -> List[Thing]:
    """Things: the detections of score SHOWN and above on image ``number``."""
    return [
        Thing(number, int(label), box, (box[:2] + box[2:]) / 2) for box, score, label in zip(*found) if score >= SHOWN
    ]


def regions(number: int, labels: np.ndarray) -> List[Thing]:
    """Things: the connected regions of the classes ``labels`` (H, W) on image ``number``, but background (0) and 255.

    Their points are those farthest from the region's border, as the middle of a bent one may lie outside it.
    """
    things = []
    for label, part, (x, y, width, height, area) in components(labels, [0, IGNORED]):
        if area >= SMALLEST:
            depth = cv2.distanceTransform(np.pad(part.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            box = np.array([x, y, x + width - 1, y + height - 1], float)
            things.append(Thing(number, label, box, (column, row)))
    return things


def components(labels: np.ndarray, without: Sequence[int]) -> Iterator[Tuple[int, np.ndarray, np.ndarray]]:
    """Connected regions of the classes ``labels`` (H, W) but those of ``without``: (class, pixels (H, W) bool, [x, y,
    width, height, area]) of each."""
    for label in np.setdiff1d(labels, without):
        count, parts, statistics, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
        for part in range(1, count):
            yield int(label), parts == part, statistics[part]


def by_size(things: List[Thing]) -> List[Tuple[str, Thing]]:
    """The Things with the largest, the median and the smallest box, as (word, Thing)."""
    things = sorted(things, key=lambda thing: -float(np.prod(thing.box[2:] - thing.box[:2] + 1)))
    places = {0: 'largest', len(things) // 2: 'median', len(things) - 1: 'smallest'} if things else {}
    return [(word, things[place]) for place, word in places.items()]


def sampling_points(
    kind: Type[PhotoNetwork],
    trial: Any,
    images: Dict[int, np.ndarray],
    things: List[Thing],
    boxes: Dict[int, np.ndarray],
    names: Sequence[str],
) -> np.ndarray:
    """Where the deformable convolutions look: at objects of three sizes, at background and at the border.

    kind: Detector or Segmenter; things: what was found on the images; boxes: {number: boxes of its objects}.
    """
    layers = deformable_layers(kind(trial.cfg, trial.params).symbol)
    network = kind(trial.cfg, trial.params, layers=[layer.offset for layer in layers])
    outputs = {}

    def spot(text, number, point=None):
        """``point`` (x, y) in pixels of image ``number``; None: on its background."""
        if number not in outputs:
            outputs[number] = network.outputs(images[number])[0]
        offsets, shape = [outputs[number][layer.offset][0] for layer in layers], images[number].shape[:2]
        if point is None:
            size = max((offset.shape[1:] for offset in offsets), key=np.prod)
            y, x = empty_cell(size, shape, boxes[number])
            point = (x + 0.5) * shape[1] / size[1], (y + 0.5) * shape[0] / size[0]
        return demo_pictures.Spot(f'{text}, test image {number + 1}', images[number], offsets, point)

    spots = [
        spot(f'the centre of the {word} {names[thing.label]} found', thing.number, thing.point)
        for word, thing in by_size(things)
    ]
    first = by_size(things)[0][1] if things else Thing(min(images), 0, np.zeros(4), (0, 0))
    spots += [
        spot('background, far from every object', first.number),
        spot('the left border, beside the first object', first.number, (0, (first.box[1] + first.box[3]) / 2)),
    ]
    rule = 'Objects: the largest, the median and the smallest of those found on the first sheet' + (
        f' at score {SHOWN:g}.' if kind is Detector else '.'
    )
    return demo_pictures.sampling_page(spots, layers, rule)


def empty_cell(size: Tuple[int, int], shape: Tuple[int, int], boxes: Sequence, border: int = 2) -> Tuple[int, int]:
    """The cell (y, x), ``border`` cells from the map's edge, that is farthest from all ``boxes`` (N, 4) in pixels."""
    ys, xs = ((np.arange(border, count - border) + 0.5) * side / count for count, side in zip(size, shape))
    away = np.full((len(ys), len(xs)), np.inf)
    for x1, y1, x2, y2 in boxes:
        down, right = np.maximum(0, np.maximum(y1 - ys, ys - y2)), np.maximum(0, np.maximum(x1 - xs, xs - x2))
        away = np.minimum(away, np.hypot(down[:, None], right))
    y, x = np.unravel_index(away.argmax(), away.shape)
    return int(y) + border, int(x) + border


def part_offsets(
    trial: Any, images: Dict[int, np.ndarray], found: List[demo_pictures.Found], names: Sequence[str]
) -> Optional[np.ndarray]:
    """Where deformable RoI pooling puts its parts: the best detection of each class."""
    network, pooled = PartNetwork(trial.cfg, trial.params), []
    for label in range(1, len(names)):
        best = max(
            (
                (score, number, box)
                for number, each in zip(images, found)
                for box, score, other in zip(*each)
                if other == label
            ),
            key=lambda item: item[0],
            default=None,
        )
        if best is not None:
            score, number, box = best
            (offsets,), _ = network.offsets(images[number], [box])
            pooled.append(
                demo_pictures.Pooled(f'{score:.2f}, test image {number + 1}', images[number], box, label, offsets)
            )
    rule = 'Boxes: the best detection of each class on the first sheet.'
    return demo_pictures.parts_page(pooled, names, rule) if pooled else None
