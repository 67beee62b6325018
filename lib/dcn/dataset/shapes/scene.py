"""Scenes of the generated data set: a blurred piece of a photograph, clutter, one to four creatures, perhaps a leaf."""

from __future__ import annotations

import functools
import os
from typing import Any, NamedTuple

import cv2
import numpy as np
import skimage
from PIL import Image

from dcn.dataset.shapes.creatures import CREATURES, draw
from dcn.dataset.shapes.paint import Canvas, hsv, lay, rotate, shared, spine, strand
from dcn.errors import UserError


class SceneObject(NamedTuple):
    """A creature in a scene.

    box: x1 y1 x2 y2, 0-based inclusive, tight around the object's own mask before anything covers it.
    geometry: scale (longer side in pixels), rotation, bend (degrees), aspect, visible (0..1, the part that nothing
    covers).
    """

    name: str
    box: tuple[int, ...]
    geometry: dict[str, Any]


class Scene(NamedTuple):
    """An image, what is on it, and whose each pixel is."""

    image: np.ndarray  # (size, size, 3) uint8 BGR
    objects: list[SceneObject]
    owner: np.ndarray  # (size, size) int: index of the object that is seen there, or -1


PHOTOS = ('chelsea.png', 'coffee.png', 'rocket.jpg')  # in colour
TEXTURES = ('brick.png', 'grass.png', 'gravel.png', 'moon.png')  # grey, to be tinted
# hues in degrees
TINTS = {'brick.png': (5, 40), 'grass.png': (45, 140), 'gravel.png': (25, 230), 'moon.png': (25, 50)}

PAINTER = 1  # to be raised with every change of what is painted: sets of another number are made anew
SMALLEST, LARGEST = 0.19, 0.76  # longer side of an object as a part of the image's side: a factor of four
MOST_OVERLAP = 0.15  # of the smaller of two boxes
MOST_COVERED = 0.3  # of an object's mask


def make_scene(rng: np.random.Generator, size: int) -> Scene:
    """A random Scene of ``size`` x ``size`` pixels."""
    image = background(rng, size)
    for _ in range(rng.integers(0, 6)):
        _clutter(rng, image)
    placed = _place(rng, size)
    owner = np.full((size, size), -1)
    for index, (creature, x, y) in enumerate(placed):
        lay(image, creature.canvas, x, y, shadow=0.45)
        _claim(owner, creature.canvas, x, y, index)
    if rng.random() < 0.4:
        _cover(rng, image, owner, placed)
    image += rng.uniform(0.0, 0.015) * rng.standard_normal(image.shape, np.float32)
    objects = [_described(owner, index, *item) for index, item in enumerate(placed)]
    return Scene(np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8), objects, owner)


@functools.lru_cache(maxsize=None)
def _photo(name):
    """One of scikit-image's pictures, float32 0..1 BGR; these are part of its wheel."""
    path = os.path.join(os.path.dirname(skimage.__file__), 'data', name)
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert('RGB'))
    except OSError:
        raise UserError(f'{path}: the picture cannot be read; it belongs to scikit-image, install that again') from None
    return np.ascontiguousarray(pixels[..., ::-1], np.float32) / 255


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random piece of a photograph, turned, blurred and low in contrast, so that objects stand out -> 0..1."""
    name = (PHOTOS + TEXTURES)[rng.integers(len(PHOTOS) + len(TEXTURES))]
    photo = _photo(name)
    height, width = photo.shape[:2]
    turn = rng.uniform(-np.pi, np.pi) if name in TEXTURES else rng.uniform(-0.3, 0.3)
    span = rng.uniform(0.35, 0.85) * min(height, width) / size  # source pixels per target pixel
    centre = rng.uniform(0.5 * span * size, [width - 0.5 * span * size, height - 0.5 * span * size])
    c, s = span * np.cos(turn), span * np.sin(turn)
    flip = rng.choice([-1.0, 1.0])
    matrix = np.array([[flip * c, -s, 0], [flip * s, c, 0]])
    matrix[:, 2] = centre - matrix[:, :2] @ np.full(2, size / 2)
    piece = cv2.warpAffine(
        photo, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
    )
    piece = cv2.GaussianBlur(piece, (0, 0), rng.uniform(0.8, 2.2))
    grey = piece.mean(axis=2, keepdims=True)
    if name in TEXTURES:
        piece = grey * (0.35 + hsv(rng.uniform(*TINTS[name]), rng.uniform(0.3, 0.7), 1.0) * 0.8)
    piece = grey + (piece - grey) * rng.uniform(0.5, 0.9)
    piece = rng.uniform(0.4, 0.72) + (piece - piece.mean()) * rng.uniform(0.4, 0.8)
    slope = rng.uniform(-0.12, 0.12, 2)
    ramp_x, ramp_y = np.linspace(-1, 1, size), np.linspace(-1, 1, size)[:, None]
    return np.clip(piece + (slope[0] * ramp_x + slope[1] * ramp_y)[..., None], 0, 1).astype(np.float32)


def _clutter(rng, image):
    """A line, ring, pebble or ribbon in any colour: things with a colour of a creature, but not its surface."""
    size = len(image)
    colour = hsv(rng.uniform(0, 360), rng.uniform(0.1, 0.7), rng.uniform(0.3, 0.9))
    start = rng.uniform(0, size, 2)
    kind = rng.integers(4)
    if kind == 0:
        points, radii = start + _line(rng, 2.0) * rng.uniform(0.2, 0.7) * size, rng.uniform(0.5, 1.2)
    elif kind == 1:
        turn = np.linspace(0, 2 * np.pi, 40)[:, None]
        points = start + rng.uniform(4, 0.1 * size) * np.hstack([np.cos(turn), np.sin(turn)])
        radii = rng.uniform(0.7, 2)
    elif kind == 2:
        points, radii = start + _line(rng, 0.5, 6) * rng.uniform(0, 8), rng.uniform(3, 0.05 * size)
    else:
        points, radii = start + _line(rng, 2.0) * rng.uniform(0.15, 0.4) * size, rng.uniform(2, 4)
    radii = np.full(len(points), radii)
    canvas, corner = Canvas.around([(points, radii)])
    canvas.paint(canvas.field([strand(points - corner, radii)]), colour, gloss=0.1, outline=rng.uniform(0, 0.4))
    lay(image, canvas, *corner, shadow=0.25)


def _line(rng, bend, samples=30):
    """A random bent line of length 1, from the origin."""
    return rotate(spine(rng.uniform(-bend, bend), 0, 0, samples), rng.uniform(0, 2 * np.pi))


def _place(rng, size):
    """One to four creatures, the largest first: list of (Creature, x, y), the corner of its canvas in the image."""
    count = rng.choice([1, 2, 3, 4], p=[0.2, 0.35, 0.3, 0.15])
    sides = np.sort(np.exp(rng.uniform(np.log(SMALLEST * size), np.log(LARGEST * size), count)))[::-1]
    names = sorted(CREATURES)
    placed, boxes = [], []
    for side in sides:
        creature = draw(names[rng.integers(len(names))], rng, side)
        tight = mask_box(creature.canvas.mask())
        for _ in range(30):
            x, y = (rng.integers(1 - tight[axis], size - 1 - tight[axis + 2]) for axis in (0, 1))
            box = tight + np.array([x, y, x, y])
            if all(_overlap(box, other) <= MOST_OVERLAP for other in boxes):
                placed.append((creature, x, y))
                boxes.append(box)
                break
    return placed


def mask_box(mask: np.ndarray) -> np.ndarray:
    """x1 y1 x2 y2 (inclusive) around the True pixels of ``mask`` (h, w)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


def _overlap(first, second):
    """Shared area as a part of the smaller box."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]) + 1
    areas = [np.prod(box[2:] - box[:2] + 1) for box in (first, second)]
    return np.maximum(sides, 0).prod() / min(areas)


def _claim(owner, canvas, x, y, index):
    """Write ``index`` into ``owner`` (h, w) where the canvas covers it."""
    region, cut = shared(owner, canvas.alpha, x, y)
    owner[region][canvas.mask()[cut]] = index


def _cover(rng, image, owner, placed):
    """A leaf over a random creature, unless it would hide more than MOST_COVERED of any."""
    size = len(image)
    creature, x, y = placed[rng.integers(len(placed))]
    height, width = creature.canvas.alpha.shape
    line = _line(rng, 0.8)
    points = line * rng.uniform(0.25, 0.5) * size
    points += np.array([x, y]) + rng.uniform(0.2, 0.8, 2) * (width, height) - points[len(points) // 2]
    radii = rng.uniform(0.015, 0.035) * size * np.sin(np.linspace(0.15, np.pi - 0.05, len(points)))
    base = hsv(rng.uniform(25, 100), rng.uniform(0.3, 0.55), rng.uniform(0.3, 0.6))
    canvas, corner = Canvas.around([(points, radii)])
    field = canvas.field([strand(points - corner, radii)])
    vein = 1 + 0.5 * np.exp(-((field.across * 6) ** 2))
    canvas.paint(field, base * vein[..., None], gloss=0.1)
    left = owner.copy()
    _claim(left, canvas, *corner, -1)
    total = [item.canvas.mask().sum() for item, _, _ in placed]
    if all((left == index).sum() >= (1 - MOST_COVERED) * count for index, count in enumerate(total)):
        owner[:] = left
        lay(image, canvas, *corner, shadow=0.35)


def _described(owner, index, creature, x, y):
    mask = creature.canvas.mask()
    box = mask_box(mask) + np.array([x, y, x, y])
    scale = int((box[2:] - box[:2] + 1).max())
    visible = round(float((owner == index).sum() / mask.sum()), 3)
    return SceneObject(creature.name, tuple(int(v) for v in box), dict(creature.geometry, scale=scale, visible=visible))
