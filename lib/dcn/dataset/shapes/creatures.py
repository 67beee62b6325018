"""The five creatures of the generated data set.

Each has a surface of its own (bands, stripes, dots, suckers, beads) and a colour family, so that a small piece of it
tells the class, and a geometry that varies: size, rotation, bend, elongation, the position of its parts. Only the
geometry tells the box.

A creature is a list of parts in the order of painting, in units of its own length; it is scaled as a whole so that its
box has the wanted longer side. A part is (paint, strands): ``paint(canvas, field)`` covers the union of the strands,
each given as points (n, 2) and radii (n,).
"""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Tuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from dcn.dataset.shapes.paint import Canvas, Field, Piece, bounds, hsv, mix, ramp, rotate, spine, strand

Part = Tuple[Callable[[Canvas, Field], None], List[Piece]]


class Creature(NamedTuple):
    """A painted creature.

    geometry: rotation (degrees, 0..360), bend (degrees, absolute turn of the body, or the mean over limbs), aspect
    (length / width of the body, or of a limb).
    """

    name: str
    canvas: Canvas
    geometry: dict[str, Any]


THINNEST = 0.75  # radius in pixels: legs and feelers of small animals stay visible
WHITE, BLACK, CREAM = (0.97, 0.97, 0.97), (0.05, 0.04, 0.04), (0.72, 0.88, 0.98)


def draw(name: str, rng: np.random.Generator, side: float) -> Creature:
    """A random creature of class ``name``, about ``side`` pixels on the longer side of its box."""
    parts, geometry = CREATURES[name](rng)
    low, high = bounds([piece for _, pieces in parts for piece in pieces])
    scale = side / (high - low).max()
    parts = [
        (paint, [(points * scale, np.maximum(radii * scale, THINNEST)) for points, radii in pieces])
        for paint, pieces in parts
    ]
    canvas, corner = Canvas.around([piece for _, pieces in parts for piece in pieces])
    for paint, pieces in parts:
        paint(canvas, canvas.field([strand(points - corner, radii) for points, radii in pieces]))
    return Creature(name, canvas, geometry)


def snake(rng: np.random.Generator) -> tuple[list[Part], dict[str, Any]]:
    """A long bent tube with dark bands edged in white; eyes and a forked tongue."""
    angle, aspect = rng.uniform(0, 2 * np.pi), rng.uniform(7, 11)
    body, bend = _bent_spine(rng, 3.0, 1.1, angle)
    t, radius = np.linspace(0, 1, len(body)), 0.5 / aspect
    base = hsv(rng.uniform(85, 160), rng.uniform(0.6, 0.9), rng.uniform(0.6, 0.9))
    bands = aspect / rng.uniform(1.3, 1.7)

    def skin(canvas, field):
        wave = np.cos(2 * np.pi * (field.along * bands - 0.12 * np.abs(field.across)))
        colour = mix(base, np.float32(CREAM), ramp(0.05, 0.3, wave))
        canvas.paint(field, mix(colour, base * 0.22, ramp(0.3, 0.55, wave)))

    head, forward, right = _frame(body, 0)
    forward = -forward
    tongue = [
        np.array([head, head + radius * 1.9 * forward, head + radius * (2.6 * forward + side * 0.5 * right)])
        for side in (-1, 1)
    ]
    parts = [_part(_plain((0.25, 0.2, 0.85), gloss=0, outline=0.2), *((line, radius * 0.17) for line in tongue))]
    parts.append(
        _part(skin, (body, radius * _profile(t, (0, 0.08, 0.16, 0.6, 0.85, 1), (0.8, 0.75, 0.9, 1, 0.7, 0.15))))
    )
    parts.append(
        _part(
            _plain(base * 0.8),
            (np.array([head + forward * radius * 0.9, head - forward * radius * 0.6]), np.array([0.85, 1.2]) * radius),
        )
    )
    parts += _eyes([head + radius * (0.25 * forward + side * 0.72 * right) for side in (-1, 1)], 0.42 * radius, forward)
    return parts, _geometry(angle, bend, aspect)


def fish(rng: np.random.Generator) -> tuple[list[Part], dict[str, Any]]:
    """A bent spindle with two white stripes, a forked tail that swings, fins and one eye."""
    angle, aspect = rng.uniform(0, 2 * np.pi), rng.uniform(1.9, 3.6)
    body, bend = _bent_spine(rng, 1.3, 0.15, angle)
    t, radius = np.linspace(0, 1, len(body)), 0.5 / aspect
    up = rng.choice([-1.0, 1.0])  # which side of the body is its back
    base = hsv(rng.uniform(196, 232), rng.uniform(0.7, 0.95), rng.uniform(0.65, 0.95))
    fin = hsv(rng.uniform(36, 56), rng.uniform(0.75, 0.95), rng.uniform(0.85, 1.0))
    stripes = rng.uniform(0.26, 0.34), rng.uniform(0.6, 0.68)
    width = _profile(t, (0, 0.1, 0.35, 0.6, 0.85, 1), (0.35, 0.72, 1, 0.84, 0.36, 0.22)) * radius

    def skin(canvas, field):
        scales = np.sin(field.along * 70 / aspect * 2.4) * np.sin(field.across * 9)
        colour = mix(base, np.minimum(base * 0.5 + 0.45, 1), ramp(-0.1, 0.9, -up * field.across))
        colour = colour + 0.05 * scales[..., None]
        away = np.minimum(*(np.abs(field.along - at) for at in stripes))
        colour = mix(colour, base * 0.15, 1 - ramp(0.055, 0.08, away))
        canvas.paint(field, mix(colour, np.float32(WHITE), 1 - ramp(0.03, 0.05, away)))

    def rays(canvas, field):
        canvas.paint(field, fin * (0.86 + 0.14 * np.cos(field.across * 8))[..., None], gloss=0.1)

    parts = [_part(rays, *_tail(rng, body, radius))]
    for side, low, high in ((up, 12, 44), (-up, 28, 46)):
        offset = np.stack([side * 0.85 * width[i] * _frame(body, i)[2] for i in range(low, high)])
        parts.append(_part(rays, (body[low:high] + offset, 0.36 * radius * _bump(high - low))))
    parts.append(_part(skin, (body, width)))
    root, backward, right = _frame(body, 23)
    parts.append(
        _part(
            rays,
            (
                root + np.outer(np.linspace(0, 0.55, 6) * radius, backward - up * 0.7 * right),
                radius * np.linspace(0.1, 0.26, 6),
            ),
        )
    )
    centre, backward, right = _frame(body, 7)
    parts += _eyes([centre + up * 0.3 * width[7] * right], 0.2 * radius + 0.01, -backward)
    return parts, _geometry(angle, bend, aspect)


def _tail(rng, body, radius):
    """Two lobes at the end of the body, swung to one side."""
    end, backward, _ = _frame(body, len(body) - 1)
    spread, swing = rng.uniform(0.4, 0.75), rng.uniform(-0.6, 0.6)
    length = rng.uniform(0.26, 0.36)
    for side in (-1, 1):
        heading = np.arctan2(backward[1], backward[0]) + swing + side * spread
        lobe = rotate(spine(side * 0.5, 0, 0, 12) * length, heading)
        yield end + lobe, radius * (0.12 + 0.26 * _bump(12))


def starfish(rng: np.random.Generator) -> tuple[list[Part], dict[str, Any]]:
    """Five tapered arms, each bent for itself, with rows of pale dots."""
    angle, aspect = rng.uniform(0, 2 * np.pi), rng.uniform(1.7, 2.9)
    twist, wild = rng.uniform(-0.7, 0.7), 0.8
    base = hsv(rng.uniform(-22, 16), rng.uniform(0.7, 0.92), rng.uniform(0.75, 0.98))
    dots = rng.uniform(4.2, 5.4)
    arms, bends = [], []
    for arm in range(5):
        bend, length = twist + rng.uniform(-wild, wild), rng.uniform(0.8, 1.15)
        line = spine(bend, 0, 0, 20) * length
        heading = angle + 2 * np.pi * arm / 5 + rng.uniform(-0.16, 0.16) + 0.5 * bend
        radius = 0.5 / aspect * _profile(np.linspace(0, 1, 20), (0, 0.3, 0.7, 1), (1.1, 0.85, 0.55, 0.25))
        arms.append((rotate(line, heading), radius))
        bends.append(abs(np.degrees(bend)))

    def skin(canvas, field):
        # dots sit at the middles of equal pieces of the arm; both coordinates in units of the arm's local radius
        piece = (field.along * dots) % 1 - 0.5
        middle = np.hypot(piece * 2.2 * aspect / dots, field.across * 0.9)
        border = np.hypot(((field.along * dots + 0.5) % 1 - 0.5) * 2.2 * aspect / dots, np.abs(field.across) - 0.62)
        colour = mix(base, base * 0.72, ramp(0.45, 0.95, np.abs(field.across)))
        weight = np.maximum(1 - ramp(0.24, 0.38, middle), 0.8 * (1 - ramp(0.14, 0.26, border)))
        canvas.paint(field, mix(colour, np.float32(CREAM), weight), gloss=0.2)

    return [_part(skin, *arms)], _geometry(angle, np.mean(bends), aspect)


def octopus(rng: np.random.Generator) -> tuple[list[Part], dict[str, Any]]:
    """A round head with two eyes and six or seven bent arms with suckers."""
    angle, aspect = rng.uniform(0, 2 * np.pi), rng.uniform(3.4, 5.2)
    base = hsv(rng.uniform(258, 304), rng.uniform(0.45, 0.72), rng.uniform(0.6, 0.88))
    suckers, count, reach = rng.uniform(6, 8), rng.integers(6, 8), rng.uniform(1.7, 2.1)
    head_radius, curl = rng.uniform(0.25, 0.32), rng.uniform(-1.0, 1.0)
    forward = np.array([np.cos(angle), np.sin(angle)])
    right = np.array([-forward[1], forward[0]])
    arms, bends = [], []
    for heading in rng.permutation(np.linspace(-reach, reach, count)):
        bend, length = curl + rng.uniform(-1.5, 1.5), rng.uniform(0.6, 0.95)
        line = rotate(spine(bend, rng.uniform(-0.5, 0.5), 0, 24) * length, angle + heading + 0.35 * bend)
        root = head_radius * 0.55 * np.array([np.cos(angle + heading), np.sin(angle + heading)])
        arms.append((root + line, 0.5 / aspect * length * _profile(np.linspace(0, 1, 24), (0, 0.5, 1), (1, 0.62, 0.2))))
        bends.append(abs(np.degrees(bend)))

    def arm_skin(canvas, field):
        piece = (field.along * suckers) % 1 - 0.5
        spot = np.hypot(piece * 2.1 * aspect / suckers, (field.across - 0.42) * 1.1)
        canvas.paint(field, mix(base * 0.92, np.float32((0.95, 0.85, 0.98)), 1 - ramp(0.3, 0.48, spot)), gloss=0.25)

    def head_skin(canvas, field):
        freckles = np.cos(np.pi * 3 * field.normal[..., 0]) * np.cos(np.pi * 3 * (field.normal[..., 1] + field.along))
        canvas.paint(field, mix(base, base * 0.55, ramp(0.3, 0.6, freckles)))

    parts = [_part(arm_skin, arm) for arm in arms]
    tilt = rotate(forward[None] * rng.uniform(0.2, 0.42), rng.uniform(-0.5, 0.5))[0]
    parts.append(_part(head_skin, (np.linspace(0, 1, 6)[:, None] * -tilt, head_radius * np.linspace(0.85, 1.1, 6))))
    centres = [head_radius * (0.25 * forward + side * 0.5 * right) for side in (-1, 1)]
    parts += _eyes(centres, 0.27 * head_radius, forward)
    return parts, _geometry(angle, np.mean(bends), aspect)


def caterpillar(rng: np.random.Generator) -> tuple[list[Part], dict[str, Any]]:
    """A bent chain of round beads in two colours, with legs, antennae and a dark head."""
    angle, count = rng.uniform(0, 2 * np.pi), rng.integers(6, 10)
    line, bend = _bent_spine(rng, 2.6, 0.7, angle, samples=6 * count + 1)
    beads, radius = line[3::6], 0.74 / count
    light = hsv(rng.uniform(38, 60), rng.uniform(0.8, 0.97), rng.uniform(0.88, 1.0))
    dark = hsv(rng.uniform(14, 28), rng.uniform(0.75, 0.95), rng.uniform(0.5, 0.72))
    swell = rng.uniform(0, 2 * np.pi)
    legs = []
    for i in range(1, count):
        foot, forward, right = _frame(line, 3 + 6 * i)
        lean = rng.uniform(-0.5, 0.5) * forward
        legs += [(np.array([foot, foot + radius * 1.32 * (side * right + lean)]), 0.16 * radius) for side in (-1, 1)]
    parts = [_part(_plain(dark * 0.4, gloss=0), *legs)]
    for i in range(count - 1, 0, -1):
        size = radius * (1 + 0.1 * np.sin(swell + 1.3 * i)) * (0.78 if i == count - 1 else 1)
        parts.append(_part(_plain(light if i % 2 else dark), (beads[i], size)))
    head, backward, right = _frame(line, 3)
    feelers = [
        (
            head - radius * np.outer([0.6, 1.2, 1.6], backward) + side * radius * np.outer([0.3, 0.5, 0.9], right),
            radius * np.array([0.13, 0.13, 0.24]),
        )
        for side in (-1, 1)
    ]
    parts.append(_part(_plain(dark * 0.4, gloss=0), *feelers))
    parts.append(_part(_plain(dark * 0.85), (head, 1.12 * radius)))
    centres = [head + radius * (-0.4 * backward + side * 0.48 * right) for side in (-1, 1)]
    parts += _eyes(centres, 0.36 * radius, -backward)
    return parts, _geometry(angle, bend, count / 1.48)


CREATURES = {'caterpillar': caterpillar, 'fish': fish, 'octopus': octopus, 'snake': snake, 'starfish': starfish}


def _part(paint, *pieces):
    """(paint, strands) from ``pieces`` of points ((n, 2) or (2,)) and radii ((n,) or a number)."""
    return paint, [_dense(np.atleast_2d(points), radii) for points, radii in pieces]


def _dense(points, radii, samples=12):
    """Short polylines get more samples, so that the circles along them run together."""
    radii = np.broadcast_to(np.asarray(radii, float), len(points))
    if not 1 < len(points) < samples:
        return points, radii
    at, known = np.linspace(0, len(points) - 1, samples), np.arange(len(points))
    return np.stack([np.interp(at, known, column) for column in points.T], axis=1), np.interp(at, known, radii)


def _plain(colour, **options):
    """Paint in one colour."""
    colour = np.asarray(colour, np.float32)
    return lambda canvas, field: canvas.paint(field, colour, **options)


def _eyes(centres, radius, gaze):
    """White balls with dark pupils that look along ``gaze``."""
    pupils = [centre + 0.3 * radius * gaze for centre in centres]
    return [
        _part(_plain(WHITE, gloss=0, outline=0.3), *((centre, radius) for centre in centres)),
        _part(_plain(BLACK, gloss=0.8, outline=0), *((pupil, 0.6 * radius) for pupil in pupils)),
    ]


def _profile(t, knots, values):
    """Smooth curve through (knots, values) without overshoot."""
    return PchipInterpolator(knots, values)(t)


def _bump(count):
    """0 at both ends, 1 in the middle."""
    return np.sin(np.linspace(0, np.pi, count))


def _frame(points, index):
    """Position, unit tangent and the unit normal to its right, at one sample of a line."""
    low, high = max(index - 1, 0), min(index + 1, len(points) - 1)
    tangent = (points[high] - points[low]) / np.linalg.norm(points[high] - points[low])
    return points[index], tangent, np.array([-tangent[1], tangent[0]])


def _bent_spine(rng, largest_bend, largest_swing, angle, samples=56):
    """A random bent line, turned by ``angle``, and its absolute turn in degrees."""
    bend, swing = rng.uniform(-largest_bend, largest_bend), rng.uniform(-largest_swing, largest_swing)
    points = spine(bend, swing, rng.uniform(0, 2 * np.pi), samples)
    headings = np.unwrap(np.arctan2(*np.diff(points, axis=0).T[::-1]))
    return rotate(points, angle), np.degrees(np.abs(np.diff(headings)).sum())


def _geometry(angle, bend, aspect):
    return {
        'rotation': round(float(np.degrees(angle)) % 360, 1),
        'bend': round(float(bend), 1),
        'aspect': round(float(aspect), 2),
    }
