"""What the pictures of ``dcn demo`` show: images, boxes and cells chosen by fixed rules, and what the network says
there."""
import os

import numpy as np

from lib.engine import Detector
from lib.loader.image import load_image
from lib.visualize import pages
from lib.visualize.canvas import save
from lib.visualize.probe import PartNetwork, deformable_layers

SHOWN = 0.5         # smallest score that is drawn
PICTURED = 8        # test images on the sheet of detections


def pictures(trials, imdb, out):
    """Write the three pictures of lib.demo's Trials, the last one deformable; returns their paths."""
    roidb, deformable = imdb.gt_roidb(), trials[-1]
    chosen = spaced(imdb.num_images, PICTURED)
    images = {i: load_image(roidb[i]) for i in chosen}
    truths = {i: pages.Found(roidb[i]['boxes'].astype(float), None, roidb[i]['gt_classes']) for i in chosen}
    columns = {trial.network.title: [found_on(trial.all_boxes, i) for i in chosen] for trial in trials}
    numbers = ', '.join(str(i + 1) for i in chosen)
    rule = f'{len(chosen)} of the {imdb.num_images} test images at equal distances (numbers {numbers}).'
    sheets = {
        'detections': pages.detections_page([*images.values()], [*truths.values()], columns, imdb.classes, SHOWN, rule),
        'sampling_points': sampling_points(deformable, images, truths, imdb.classes),
        'part_offsets': part_offsets(deformable, roidb, imdb.classes)}
    return [save(os.path.join(out, name + '.png'), sheet) for name, sheet in sheets.items() if sheet is not None]


def spaced(count, wanted):
    """``wanted`` numbers below ``count`` at equal distances, the first 0; all where there are no more."""
    wanted = min(wanted, count)
    return [i * count // wanted for i in range(wanted)]


def found_on(all_boxes, image):
    """The detections on image number ``image``, best first."""
    rows = np.concatenate([boxes[image] for boxes in all_boxes])
    classes = np.concatenate([np.full(len(boxes[image]), j) for j, boxes in enumerate(all_boxes)])
    order = np.argsort(-rows[:, 4], kind='stable')
    return pages.Found(rows[order, :4], rows[order, 4], classes[order])


def sampling_points(trial, images, truths, names):
    """Where the deformable convolutions look: at objects of three sizes, at background and at the border."""
    layers = deformable_layers(Detector(trial.cfg, trial.params).symbol)
    detector = Detector(trial.cfg, trial.params, layers=[layer.offset for layer in layers])
    offsets = {}

    def spot(text, number, point=None):
        """``point`` (x, y) in pixels of image ``number``; None: on its background."""
        if number not in offsets:
            outputs = detector.outputs(images[number])[0]
            offsets[number] = [outputs[layer.offset][0] for layer in layers]
        size, shape = offsets[number][-1].shape[1:], images[number].shape[:2]
        cell = empty_cell(size, shape, truths[number].boxes) if point is None else cell_of(point, size, shape)
        return pages.Spot(f'{text}, test image {number + 1}', images[number], offsets[number], cell)

    objects = by_size(trial.all_boxes, images)
    spots = [spot(f'the centre of the {word} {names[label]} found', number, (box[:2] + box[2:]) / 2)
             for word, number, box, label in objects]
    first, box = objects[0][1:3] if objects else (min(images), np.zeros(4))
    spots += [spot('background, far from every object', first),
              spot('the left border, beside the first object', first, (0, (box[1] + box[3]) / 2))]
    rule = ('Objects: the largest, the median and the smallest of those found on the sheet of detections at score '
            f'{SHOWN:g}.')
    return pages.sampling_page(spots, [layer.name.partition('_')[0] for layer in layers], rule)


def by_size(all_boxes, images):
    """The largest, median and smallest detection of score SHOWN and above on the images of these numbers, as
    (word, image number, box, class)."""
    found = [(number, box, label) for number in images
             for box, score, label in zip(*found_on(all_boxes, number)) if score >= SHOWN]
    found.sort(key=lambda item: -float(np.prod(item[1][2:] - item[1][:2] + 1)))
    places = {0: 'largest', len(found) // 2: 'median', len(found) - 1: 'smallest'} if found else {}
    return [(word, *found[place]) for place, word in places.items()]


def cell_of(point, size, shape):
    """The cell (y, x) of a map ``size`` (h, w) over an image ``shape`` (h, w) that holds the pixel ``point`` (x, y)."""
    return tuple(int(np.clip(at * count / side, 0, count - 1)) for at, count, side in zip(point[::-1], size, shape))


def empty_cell(size, shape, boxes, border=2):
    """The cell (y, x), ``border`` cells from the map's edge, that is farthest from all ``boxes`` (N, 4) in pixels."""
    ys, xs = ((np.arange(border, count - border) + 0.5) * side / count for count, side in zip(size, shape))
    away = np.full((len(ys), len(xs)), np.inf)
    for x1, y1, x2, y2 in boxes:
        down, right = np.maximum(0, np.maximum(y1 - ys, ys - y2)), np.maximum(0, np.maximum(x1 - xs, xs - x2))
        away = np.minimum(away, np.hypot(down[:, None], right))
    y, x = np.unravel_index(away.argmax(), away.shape)
    return int(y) + border, int(x) + border


def part_offsets(trial, roidb, names):
    """Where deformable RoI pooling puts its parts: the best detection of each class."""
    network = PartNetwork(trial.cfg, trial.params)
    pooled = []
    for label in range(1, len(names)):
        best = [boxes[:, 4].max() if len(boxes) else -1.0 for boxes in trial.all_boxes[label]]
        number = int(np.argmax(best))
        if best[number] < 0:
            continue
        rows, image = trial.all_boxes[label][number], load_image(roidb[number])
        box = rows[rows[:, 4].argmax(), :4]
        (offsets,), _ = network.offsets(image, [box])
        pooled.append(pages.Pooled(f'{best[number]:.2f}, test image {number + 1}', image, box, label, offsets))
    rule = 'Boxes: the best detection of each class on the whole test set.'
    return pages.parts_page(pooled, names, rule) if pooled else None
