"""Asks a network for the offsets of all its deformable layers on many images and sorts them by the objects there."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Sequence

import numpy as np

from dcn.engine.inference.photos import PhotoNetwork
from dcn.errors import UserError
from dcn.loader.image import resized_shape
from dcn.showcase.offsets.measures import (
    BACKGROUND,
    CATEGORIES,
    DOES_NOT_COUNT,
    Distribution,
    Frame,
    Limits,
    Objects,
    effective_dilation,
    rank_correlation,
)
from dcn.showcase.offsets.scenes import Scene
from dcn.showcase.probe import Layer
from dcn.visualize.sampling import inside, sample_points


class Look(NamedTuple):
    """What the deformable layers do on one image."""

    frame: Frame
    offsets: dict[str, np.ndarray]  # layer's name -> (2*G*K*K, H, W)
    masks: dict[str, np.ndarray]  # of modulated ones -> (G*K*K, H, W)


class Places:
    """What was measured where the filters of a layer are centred on one category."""

    def __init__(self) -> None:
        self.dilation, self.moved, self.mask = Distribution(), Distribution(), Distribution(0.01, 2.0)
        self.outside, self.regular_outside, self.taps = 0, 0, 0

    @property
    def outside_share(self) -> float | None:
        """Share of the samples that lie outside the map, where the layer's sampling rule reads zero."""
        return self.outside / self.taps if self.taps else None

    @property
    def regular_share(self) -> float | None:
        """The same of the undeformed filters there."""
        return self.regular_outside / self.taps if self.taps else None


class LayerSurvey:
    """One deformable layer on all images."""

    def __init__(self, layer: Layer) -> None:
        self.layer, self.strides = layer, set()
        self.places = {category: Places() for category in CATEGORIES}
        self.sides, self.means = [], []  # of each object with a filter on it: side in pixels, mean effective dilation

    @property
    def correlation(self) -> float | None:
        """Spearman's rank correlation of objects' sizes and mean effective dilations."""
        return rank_correlation(self.sides, self.means)

    def add(self, look: Look, objects: Objects, limits: Limits) -> None:
        layer, offset = self.layer, look.offsets[self.layer.name]
        size = offset.shape[1:]
        self.strides.add(round(look.frame.input[0] / size[0], 3))
        owner = objects.at(look.frame.centres(size), look.frame.image)
        cells = np.stack(np.meshgrid(*map(np.arange, size), indexing='ij'), -1).reshape(-1, 2)
        counted = owner != DOES_NOT_COUNT
        owner, cells = owner[counted], cells[counted]
        category = np.full(len(owner), CATEGORIES.index(BACKGROUND))
        category[owner >= 0] = limits.category(objects.sides)[owner[owner >= 0]]
        taps, dilations = layer.kernel**2, []
        still = sample_points(np.zeros_like(offset[: 2 * taps]), cells, *layer.window[:3], 0, layer.stride)
        regular = ~inside(still, layer.window.input_size(size), layer.rule)
        for group in range(layer.groups):
            points = sample_points(offset, cells, *layer.window[:3], group, layer.stride)
            dilations.append(effective_dilation(points))
            moved = np.linalg.norm(points - still, axis=-1)
            outside = ~inside(points, layer.window.input_size(size), layer.rule)
            for number, name in enumerate(CATEGORIES):
                here, places = category == number, self.places[name]
                places.dilation.add(dilations[-1][here])
                places.moved.add(moved[here])
                places.outside += int(outside[here].sum())
                places.regular_outside += int(regular[here].sum())
                places.taps += int(here.sum()) * taps
                if layer.mask:
                    mask = look.masks[layer.name][group * taps : (group + 1) * taps]
                    places.mask.add(mask[:, cells[here, 0], cells[here, 1]])
        mean = np.mean(dilations, 0)
        for number in np.unique(owner[owner >= 0]):
            self.sides.append(float(objects.sides[number]))
            self.means.append(float(mean[owner == number].mean()))


def look(network: PhotoNetwork, layers: Sequence[Layer], image: np.ndarray) -> Look:
    """The offsets of ``layers``, which ``network`` gives as further outputs, on an image (H, W, 3)."""
    outputs, scale, size = network.outputs(image)
    frame = Frame(image.shape[:2], tuple(size), _exact(scale, image.shape[:2]))
    offsets = {layer.name: outputs[layer.offset][0] for layer in layers}
    for name, values in offsets.items():
        if not np.isfinite(values).all():
            raise UserError(
                f'{name}: its offsets are not finite on this image, so it samples nowhere; the training that wrote '
                'the checkpoint diverged, use an earlier one'
            )
    return Look(frame, offsets, {layer.name: outputs[layer.mask][0] for layer in layers if layer.mask})


def _exact(scale, shape):
    """The scale after rounding to whole pixels, along the longer side."""
    longest = int(np.argmax(shape))
    return resized_shape(*shape, scale)[longest] / shape[longest]


def survey(
    network: PhotoNetwork, layers: Sequence[Layer], scenes: Iterable[Scene], limits: Limits
) -> list[LayerSurvey]:
    """A LayerSurvey of each of ``layers`` over all ``scenes``."""
    found = [LayerSurvey(layer) for layer in layers]
    for scene in scenes:
        image, objects = scene.image(), scene.objects()
        seen = look(network, layers, image)
        for each in found:
            each.add(seen, objects, limits)
    return found


def orderings(found: Sequence[LayerSurvey]) -> dict[str, list[bool]]:
    """Which of the paper's two findings on table 2 hold, for each layer that has filters in all four categories: larger
    objects have larger effective dilations, and the background lies between medium and large."""
    grows, between = [], []
    for each in found:
        means = [each.places[name].dilation.mean for name in CATEGORIES]
        if None not in means:
            small, medium, large, background = means
            grows.append(small < medium < large)
            between.append(medium < background < large)
    return {'grows with size': grows, 'background between medium and large': between}
