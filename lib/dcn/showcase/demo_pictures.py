"""The pictures of ``dcn demo``, from plain data: detections or segmentations side by side, sampling points, part
offsets."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from dcn.bbox import bbox_overlaps
from dcn.dataset.label_map import IGNORED
from dcn.visualize.boxes import draw_detections
from dcn.visualize.canvas import below, beside, enlarge, labelled, page, text_strip
from dcn.visualize.legend import Entry, legend
from dcn.visualize.parts import class_offsets, draw_coloured_parts, part_boxes
from dcn.visualize.sampling import MARGIN, draw_taps, sample_points, trace_samples
from dcn.visualize.segmentation import colour_of, paint_classes


class Found(NamedTuple):
    """Objects on one image."""

    boxes: np.ndarray  # (N, 4) x1 y1 x2 y2 in its pixels
    scores: Optional[np.ndarray]  # (N,), None for ground truth
    classes: np.ndarray  # (N,)


class Spot(NamedTuple):
    """A place to look at."""

    text: str  # what it is
    image: np.ndarray  # (H, W, 3)
    offsets: List[np.ndarray]  # (18 * groups, H, W) of each deformable layer, first layer first
    point: Tuple[float, float]  # (x, y) in pixels


class Pooled(NamedTuple):
    """A detected box on an image with the part offsets there."""

    text: str
    image: np.ndarray  # (H, W, 3)
    box: np.ndarray  # (4,)
    label: int
    offsets: np.ndarray  # (2C, P, P), a pair for each class, or (2, P, P)


TILE, HIT = 272, 0.5


def above(found: Found, threshold: float) -> Found:
    """The detections of score ``threshold`` and above."""
    keep = found.scores >= threshold
    return Found(found.boxes[keep], found.scores[keep], found.classes[keep])


def verdict(found: Found, truth: Found) -> str:
    """'2 of 3 found, mean IoU 0.84, 1 wrong': each detection, best first, takes the best free ground-truth box of its
    class with IoU > 0.5."""
    ious, free = [], np.ones(len(truth.boxes), bool)
    for i in np.argsort(-found.scores, kind='stable'):
        free_class = free * (truth.classes == found.classes[i])
        overlaps = bbox_overlaps(found.boxes[i : i + 1].astype(float), truth.boxes.astype(float))[0] * free_class
        if len(overlaps) and overlaps.max() > HIT:
            ious.append(overlaps.max())
            free[overlaps.argmax()] = False
    text = f'{len(ious)} of {len(truth.boxes)} found' + (f', mean IoU {np.mean(ious):.2f}' if ious else '')
    wrong = len(found.scores) - len(ious)
    return text + (f', {wrong} wrong' if wrong else '')


def detections_page(
    images: List[np.ndarray],
    truths: List[Found],
    columns: Dict[str, List[Found]],
    names: Sequence[str],
    threshold: float,
    rule: str,
) -> np.ndarray:
    """Ground truth beside the detections of several networks.

    images: list of (H, W, 3); truths: list of Found; columns: {network's title: list of Found}; names: class names;
    rule: how the images were chosen.
    """
    blocks = [_block(i, images, truths, columns, names, threshold) for i in range(len(images))]
    caption = (
        f'{rule} Boxes of score {threshold:g} and above with class and score; dashed lines are the ground '
        f'truth. Found: the right class, and an intersection over union (IoU) above {HIT:g}.'
    )
    return page('Detections', caption, [_in_two_columns(blocks, ('ground truth', *columns))])


def _in_two_columns(blocks, titles):
    """Blocks of tiles, two in a row, under the titles of their tiles."""
    head = beside([text_strip(TILE, title, 16, bold=True) for title in titles])
    rows = [beside([head] * min(2, len(blocks)), 40)]
    return below(rows + [beside(blocks[i : i + 2], 40) for i in range(0, len(blocks), 2)], 14)


def _block(i, images, truths, columns, names, threshold):
    image, truth = images[i], truths[i]
    objects = _objects(len(truth.boxes), 'object', 'objects')
    tiles = [labelled(draw_detections(image, *truth, names, shortest=TILE), objects, 13)]
    for column in columns.values():
        found = above(column[i], threshold)
        drawn = draw_detections(image, *found, names, shortest=TILE, truth=truth.boxes)
        tiles.append(labelled(drawn, verdict(found, truth), 13))
    return beside(tiles)


def segmentations_page(
    images: List[np.ndarray],
    truths: List[np.ndarray],
    columns: Dict[str, List[np.ndarray]],
    names: Sequence[str],
    palette: np.ndarray,
    rule: str,
) -> np.ndarray:
    """Ground truth beside the segmentations of several networks.

    images: list of (H, W, 3); truths: list of (H, W) uint8 classes, 255 where they do not count; columns: {network's
    title: list of (H, W)}; palette (C, 3) uint8 RGB of the classes; rule: how the images were chosen.
    """
    blocks = []
    for i, (image, truth) in enumerate(zip(images, truths)):
        tiles = [labelled(enlarge(image, TILE)[0], 'image', 13)]
        tiles += [
            labelled(paint_classes(image, labels, names, palette, TILE), text, 13)
            for labels, text in (
                (truth, _objects(len(np.setdiff1d(truth, [0, IGNORED])), 'class', 'classes')),
                *((column[i], agreement(column[i], truth)) for column in columns.values()),
            )
        ]
        blocks.append(beside(tiles))
    caption = (
        f'{rule} Lines of the ground truth between classes do not count. IoU: intersection over union of a '
        'class in this image, mean over the classes that are there or were found; right: share of the pixels.'
    )
    width = blocks[0].shape[1]
    colours = legend([Entry(colour_of(label, names, palette), name, '') for label, name in enumerate(names)], width)
    return page('Segmentations', caption, [colours, _in_two_columns(blocks, ('image', 'ground truth', *columns))])


def agreement(found: np.ndarray, truth: np.ndarray) -> str:
    """'mean IoU 0.84, 97.5 % right' of one image's classes (H, W) against the truth; 255 there does not count."""
    found, truth = found[truth != IGNORED], truth[truth != IGNORED]
    ious = [
        np.mean(found[either] == truth[either])
        for label in np.union1d(found, truth)
        for either in [(found == label) | (truth == label)]
    ]
    return f'mean IoU {np.mean(ious):.2f}, {100 * np.mean(found == truth):.1f} % right'


def sampling_page(spots: List[Spot], layers: list, rule: str) -> np.ndarray:
    """Regular and deformed sampling points at each Spot of the deformable ``layers``, dcn.showcase.probe.Layers, first
    to last.

    Of layers of one size: of the last, then traced back through all. Of layers of several sizes: of each by itself.
    """
    sizes = {offsets.shape[1:] for offsets in spots[0].offsets}
    names = [layer.name.partition('_')[0] for layer in layers]
    if len(sizes) == 1:
        grid = 'the regular 3x3 grid' + (f', dilated by {layers[-1].dilate}' if layers[-1].dilate > 1 else '')
        heads = [
            f'{names[-1]}: {grid}',
            f'{names[-1]}: where its 9 taps sample',
            f'{" and ".join(names)}: the regular grids',
            f'{" and ".join(names)}: the points that are read',
        ]
        tiles = _traced_tiles
    else:
        heads = [
            f'{name}: its 9 taps on {" x ".join(map(str, offsets.shape[1:]))} cells'
            for name, offsets in zip(names, spots[0].offsets)
        ]
        tiles = _layer_tiles
    rows = [beside(tiles(spot, layers)) for spot in spots]
    width = (rows[0].shape[1] - 10 * (len(heads) - 1)) // len(heads)
    head = beside([text_strip(width, text, 15) for text in heads])
    of_groups = f' (the first of {layers[-1].groups} deformable groups)' if layers[-1].groups > 1 else ''
    caption = (
        'Green: the cell whose response is computed. Blue: where a regular convolution would sample. Red: where '
        f'the deformable one samples, each tap moved by the offset that the network predicts at that cell'
        f'{of_groups}. The '
        f'grey margin lies outside the image, where samples read zero. {rule}'
    )
    rows = [labelled(row, spot.text, 15, bold=True) for row, spot in zip(rows, spots)]
    return page('Sampling points of deformable convolution', caption, [head, *rows])


def _traced_tiles(spot, layers):
    """The last layer's regular and moved taps, and the points that all layers together read."""
    cell, size = cell_of(spot.point, spot.offsets[-1].shape[1:], spot.image.shape), spot.offsets[-1].shape[1:]
    still = [np.zeros_like(offset) for offset in spot.offsets]
    window = dict(dilate=layers[-1].dilate, pad=layers[-1].pad)
    regular, moved = (sample_points(offsets[-1], np.array([cell]), **window)[0] for offsets in (still, spot.offsets))
    far, far_moved = (trace_samples(offsets[::-1], cell, **window) for offsets in (still, spot.offsets))
    far = np.unique(far, axis=0)
    return [
        draw_taps(spot.image, points, others, cell, size)
        for points, others in ((regular, None), (regular, moved), (far, None), (far, far_moved))
    ]


def _layer_tiles(spot, layers):
    """Each layer's regular taps and where they are moved; the margin has room for a cell of the coarsest."""
    tiles, margin = [], max(MARGIN, *(1.2 / min(offsets.shape[1:]) for offsets in spot.offsets))
    for layer, offsets in zip(layers, spot.offsets):
        cell, size = cell_of(spot.point, offsets.shape[1:], spot.image.shape), offsets.shape[1:]
        regular, moved = (
            sample_points(values, np.array([cell]), dilate=layer.dilate, pad=layer.pad)[0]
            for values in (np.zeros_like(offsets), offsets)
        )
        tiles.append(draw_taps(spot.image, regular, moved, cell, size, margin=margin))
    return tiles


def cell_of(point: Tuple[float, float], size: Tuple[int, int], shape: Tuple[int, ...]) -> Tuple[int, int]:
    """The cell (y, x) of a map ``size`` (h, w) over an image ``shape`` (h, w) that holds the pixel ``point`` (x, y)."""
    return tuple(int(np.clip(at * count / side, 0, count - 1)) for at, count, side in zip(point[::-1], size, shape))


def _objects(count, one, many):
    return f'{count} {one if count == 1 else many}'


def parts_page(pooled: List[Pooled], names: Sequence[str], rule: str) -> np.ndarray:
    """Regular and moved parts of deformable RoI pooling on each of ``pooled``, one column each."""
    columns = []
    for item in pooled:
        regular, moved = part_boxes(item.box, class_offsets(item.offsets, item.label))
        tiles = [draw_coloured_parts(item.image, item.box, boxes) for boxes in (regular, moved)]
        title = text_strip(tiles[0].shape[1], f'{names[item.label]} {item.text}', 16, bold=True)
        columns.append(below([title, *tiles], 8))
    parts, of_class = pooled[0].offsets.shape[-1], len(pooled[0].offsets) > 2
    maps = ', one score map for each' if of_class else ''
    caption = (
        f'Each box is pooled in {parts} x {parts} parts{maps}. Upper row: the regular parts. Lower row: the '
        'parts as the offsets that the network predicts for this box'
        f'{" and this class" if of_class else ""} move them (an offset of 1 is a tenth of the box); each part '
        'keeps its colour. White: the detected box. ' + rule
    )
    return page('Parts of deformable RoI pooling', caption, [beside(columns, 14)])
