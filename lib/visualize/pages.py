"""The three pictures of ``dcn demo``, from plain data: detections side by side, sampling points, part offsets."""
import collections

import numpy as np

from lib.bbox import bbox_overlaps
from lib.visualize.boxes import draw_detections
from lib.visualize.canvas import below, beside, labelled, page, text_strip
from lib.visualize.parts import class_offsets, draw_coloured_parts, part_boxes
from lib.visualize.sampling import draw_taps, sample_points, trace_samples

Found = collections.namedtuple('Found', 'boxes scores classes')
Found.__doc__ = """Objects on one image: boxes (N, 4) x1 y1 x2 y2 in its pixels, scores (N,) or None for ground truth,
classes (N,)."""

Spot = collections.namedtuple('Spot', 'text image offsets cell')
Spot.__doc__ = """A place to look at: what it is, the image, the offsets (18 * groups, H, W) of each deformable
layer, first layer first, and the cell (y, x)."""

Pooled = collections.namedtuple('Pooled', 'text image box label offsets')
Pooled.__doc__ = """A detected box (4,) of class ``label`` on an image with the class-specific part offsets (2C, P, P)
there."""

TILE, HIT = 272, 0.5


def above(found, threshold):
    """The detections of score ``threshold`` and above."""
    keep = found.scores >= threshold
    return Found(found.boxes[keep], found.scores[keep], found.classes[keep])


def verdict(found, truth):
    """'2 of 3 found, mean IoU 0.84, 1 wrong': each detection, best first, takes the best free ground-truth box of its
    class with IoU > 0.5."""
    ious, free = [], np.ones(len(truth.boxes), bool)
    for i in np.argsort(-found.scores, kind='stable'):
        free_class = free * (truth.classes == found.classes[i])
        overlaps = bbox_overlaps(found.boxes[i:i + 1].astype(float), truth.boxes.astype(float))[0] * free_class
        if len(overlaps) and overlaps.max() > HIT:
            ious.append(overlaps.max())
            free[overlaps.argmax()] = False
    text = f'{len(ious)} of {len(truth.boxes)} found' + (f', mean IoU {np.mean(ious):.2f}' if ious else '')
    wrong = len(found.scores) - len(ious)
    return text + (f', {wrong} wrong' if wrong else '')


def detections_page(images, truths, columns, names, threshold, rule):
    """Ground truth beside the detections of several networks.

    images: list of (H, W, 3); truths: list of Found; columns: {network's title: list of Found}; names: class names;
    rule: how the images were chosen.
    """
    blocks = [_block(i, images, truths, columns, names, threshold) for i in range(len(images))]
    head = beside([text_strip(TILE, title, 16, bold=True) for title in ('ground truth', *columns)])
    rows = [beside([head] * min(2, len(blocks)), 40)]
    rows += [beside(blocks[i:i + 2], 40) for i in range(0, len(blocks), 2)]
    caption = (f'{rule} Boxes of score {threshold:g} and above with class and score; dashed lines are the ground '
               f'truth. Found: the right class, and an intersection over union (IoU) above {HIT:g}.')
    return page('Detections', caption, [below(rows, 14)])


def _block(i, images, truths, columns, names, threshold):
    image, truth = images[i], truths[i]
    objects = f'{len(truth.boxes)} object{"s" * (len(truth.boxes) != 1)}'
    tiles = [labelled(draw_detections(image, *truth, names, shortest=TILE), objects, 13)]
    for column in columns.values():
        found = above(column[i], threshold)
        drawn = draw_detections(image, *found, names, shortest=TILE, truth=truth.boxes)
        tiles.append(labelled(drawn, verdict(found, truth), 13))
    return beside(tiles)


def sampling_page(spots, layers, rule):
    """Regular and deformed sampling points at each Spot: of the last layer, then traced back through all; layers: their
    names, first to last."""
    last = layers[-1]
    rows = [beside(_sampling_tiles(spot)) for spot in spots]
    both, width = ' and '.join(layers), (rows[0].shape[1] - 30) // 4
    head = beside([text_strip(width, text, 15) for text in (
        f'{last}: the regular 3x3 grid, dilated by 2', f'{last}: where its 9 taps sample', f'{both}: the regular grids',
        f'{both}: the points that are read')])
    groups = len(spots[0].offsets[-1]) // 18
    of_groups = f' (the first of {groups} deformable groups)' if groups > 1 else ''
    caption = ('Green: the cell whose response is computed. Blue: where a regular convolution would sample. Red: where '
               f'the deformable one samples, each tap moved by the offset that the network predicts at that cell'
               f'{of_groups}. The '
               f'grey margin lies outside the image, where samples read zero. {rule}')
    rows = [labelled(row, spot.text, 15, bold=True) for row, spot in zip(rows, spots)]
    return page('Sampling points of deformable convolution', caption, [head, *rows])


def _sampling_tiles(spot):
    size = spot.offsets[-1].shape[1:]
    still = [np.zeros_like(offset) for offset in spot.offsets]
    cells = np.array([spot.cell])
    regular, moved = (sample_points(offsets[-1], cells)[0] for offsets in (still, spot.offsets))
    far, far_moved = (trace_samples(offsets[::-1], spot.cell) for offsets in (still, spot.offsets))
    far = np.unique(far, axis=0)
    return [draw_taps(spot.image, points, others, spot.cell, size) for points, others in
            ((regular, None), (regular, moved), (far, None), (far, far_moved))]


def parts_page(pooled, names, rule):
    """Regular and moved parts of deformable RoI pooling on each of ``pooled``, one column each."""
    columns = []
    for item in pooled:
        regular, moved = part_boxes(item.box, class_offsets(item.offsets, item.label))
        tiles = [draw_coloured_parts(item.image, item.box, boxes) for boxes in (regular, moved)]
        title = text_strip(tiles[0].shape[1], f'{names[item.label]} {item.text}', 16, bold=True)
        columns.append(below([title, *tiles], 8))
    parts = int(round(np.sqrt(pooled[0].offsets[0].size)))
    caption = (f'Each box is pooled in {parts} x {parts} parts, one score map for each. Upper row: the regular parts. '
               'Lower row: the parts as the offsets that the network predicts for this box and this class move them '
               '(an offset of 1 is a tenth of the box); each part keeps its colour. White: the detected box. ' + rule)
    return page('Parts of deformable RoI pooling', caption, [beside(columns, 14)])
