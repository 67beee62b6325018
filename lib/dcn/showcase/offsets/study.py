"""All that ``dcn offsets`` finds out about a network, one after the other."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, NamedTuple, Sequence

import cv2
import numpy as np
from easydict import EasyDict

from dcn.config.families import kind_of
from dcn.engine import Detector, Segmenter
from dcn.engine.inference.graphs import TestGraph, detection_graph, segmentation_graph
from dcn.engine.inference.photos import PhotoNetwork
from dcn.engine.runtime.devices import is_torch
from dcn.engine.runtime.progress import bar
from dcn.errors import UserError
from dcn.showcase.demo import empty_cell
from dcn.showcase.offsets import scenes as found_scenes
from dcn.showcase.offsets.field import Extent, ResponseField, around, extent
from dcn.showcase.offsets.measures import BACKGROUND, CATEGORIES, NO_OBJECT, SIZES, Limits, Objects, limits_of
from dcn.showcase.offsets.parts import ClassParts, survey_parts
from dcn.showcase.offsets.scenes import Scene, Scenes
from dcn.showcase.offsets.survey import LayerSurvey, Look, look, survey
from dcn.showcase.probe import Layer, PartNetwork, deformable_layers
from dcn.visualize.sampling import Trace, trace

import mxnet as mx

THROUGH = 3  # layers that a tree goes through, at most
PART_IMAGES = 100  # that part offsets are asked for


class Options(NamedTuple):
    """What is looked at, and how much of it."""

    count: int = 200  # images of the test set; 0: all
    sizes: str = 'auto'  # rule for small, medium, large: dcn.showcase.offsets.measures.limits_of
    threshold: float = 0.5  # score of detections that count as objects, on photos
    trees: int = 2  # pictures of sampling trees for each size and the background
    fields: int = 8  # places for each size and the background whose effective receptive fields are averaged
    group: int = 0  # the deformable group whose taps trees follow


class Beside(NamedTuple):
    """A plain network to compare effective receptive fields with."""

    cfg: EasyDict
    params: str


class Spot(NamedTuple):
    """A place to look at closely."""

    category: str
    scene: int
    text: str
    point: tuple[float, float]  # (x, y) in pixels
    box: np.ndarray | None  # (4,) of the object there


class Tree(NamedTuple):
    """A sampling tree, and the same of undeformed filters."""

    spot: Spot
    cell: tuple[int, int]  # of the last layer's map
    size: tuple[float, float]  # cells that the image covers on the map which the first layer reads
    root: tuple[float, float]  # the cell on that map
    regular: Trace
    moved: Trace


class Fields(NamedTuple):
    """Effective receptive fields of one column: a network, with its offsets or without."""

    title: str
    shown: list[np.ndarray]  # (h, w) at each spot of the trees
    reach: list[Extent]  # there
    means: dict[str, np.ndarray]  # category -> (2 * radius + 1, 2 * radius + 1), mean over places, centred on them
    extents: dict[str, list[Extent]]  # category -> of each place


class Study(NamedTuple):
    """What was found."""

    cfg: EasyDict
    params: str
    scenes: Scenes
    limits: Limits
    counts: dict[str, int]  # objects of each size
    layers: list[LayerSurvey]
    trees: list[Tree]
    chain: list[Layer]  # that trees go through, last first
    group: int
    fields: list[Fields]
    field_layer: str
    parts: list[ClassParts] | None
    images: dict[int, np.ndarray]  # scene -> image, of the spots and of the parts' examples
    beside: Beside | None


def study(
    cfg: EasyDict,
    params: str,
    photos: Sequence[str] = (),
    options: Options = Options(),
    beside: Beside | None = None,
    ctx: Any = None,
) -> Study:
    """Look at the network of ``cfg`` with the checkpoint ``params`` on ``photos``, or else on its test set."""
    graph = graph_of(cfg)
    check(cfg, deformable_layers(graph.symbol), options)
    scenes = None if photos else found_scenes.of_test_set(cfg, options.count)
    arrays = graph.read_parameters(params)
    network = opened(cfg, arrays, ctx)
    layers = deformable_layers(network.symbol)
    scenes = scenes or found_scenes.of_photos(network, photos, options.threshold)
    sides = [scene.objects().sides for scene in scenes.scenes]
    limits = limits_of(np.concatenate(sides), options.sizes)
    surveys = survey(network, layers, _shown(scenes.scenes, 'offsets'), limits)
    spots = chosen_spots(scenes, limits, options.trees)
    chain = layers[: -THROUGH - 1 : -1]
    images = {spot.scene: scenes.scenes[spot.scene].image() for spot in spots}
    looks = {number: look(network, layers, image) for number, image in images.items()}
    trees = [tree(spot, looks[spot.scene], chain, options.group) for spot in spots]
    fields = []
    if options.fields:
        places = chosen_spots(scenes, limits, options.fields)
        columns = field_columns(network, arrays, layers[-1], beside, ctx)
        fields = [measured_fields(*column, scenes, spots, places) for column in columns]
    parts = surveyed_parts(cfg, arrays, scenes)
    for each in parts or ():
        images.setdefault(each.example.scene, scenes.scenes[each.example.scene].image())
    counts = np.bincount(limits.category(np.concatenate(sides)), minlength=len(SIZES))
    return Study(
        cfg,
        params,
        scenes,
        limits,
        dict(zip(SIZES, counts.tolist())),
        surveys,
        trees,
        chain,
        options.group,
        fields,
        layers[-1].name,
        parts,
        images,
        beside,
    )


def check(cfg: EasyDict, layers: Sequence[Layer], options: Options) -> None:
    """Raise UserError where a network with the deformable ``layers`` cannot be looked at so; told before the work."""
    if not layers:
        raise UserError(
            f'{cfg.name}: {cfg.symbol} has no deformable convolution, so there are no offsets to look at; give the '
            'experiment file and the checkpoint of a deformable network'
        )
    for layer in layers:
        if not 0 <= options.group < layer.groups:
            raise UserError(
                f'--group {options.group}: expected a number from 0 to {layer.groups - 1}, as {layer.name} has '
                f'{layer.groups} deformable group{"s" * (layer.groups > 1)}'
            )
    limits_of(np.zeros(0), options.sizes)


def graph_of(cfg: EasyDict) -> TestGraph:
    """What is bound to test the network of ``cfg``."""
    return (detection_graph if kind_of(cfg) == 'detection' else segmentation_graph)(cfg)


def opened(cfg: EasyDict, params: tuple[dict, dict], ctx: Any = None) -> PhotoNetwork:
    """The network of ``cfg``, which gives the offsets and masks of all its deformable layers beside its results."""
    kind = Detector if kind_of(cfg) == 'detection' else Segmenter
    return kind(
        cfg, params, ctx, layers=lambda symbol: [name for layer in deformable_layers(symbol) for name in layer.outputs]
    )


def chosen_spots(scenes: Scenes, limits: Limits, count: int) -> list[Spot]:
    """At most ``count`` Spots in each category: of the objects of one size, in order of size, those at equal distances;
    of the images at equal distances the place farthest from all objects."""
    every = [
        (side, number, k) for number, scene in enumerate(scenes.scenes) for k, side in enumerate(scene.objects().sides)
    ]
    found = []
    for place, category in enumerate(SIZES):
        these = sorted(item for item in every if limits.category(np.array([item[0]]))[0] == place)
        for _, number, k in _spread(these, count):
            objects = scenes.scenes[number].objects()
            text = f'{scenes.names[int(objects.labels[k])]}, {scenes.scenes[number].name}'
            found.append(Spot(category, number, text, point_of(objects, k), objects.boxes[k]))
    for number in _spread(range(len(scenes.scenes)), count):
        scene = scenes.scenes[number]
        image = scene.image()
        objects, shape = scene.objects(), image.shape[:2]
        size = tuple(max(8, side // 8) for side in shape)
        y, x = empty_cell(size, shape, objects.boxes, min(size) // 4)  # not at the border, where there is less to see
        point = (x + 0.5) * shape[1] / size[1], (y + 0.5) * shape[0] / size[0]
        if objects.at(np.array([point]), shape)[0] == NO_OBJECT:
            found.append(Spot(BACKGROUND, number, scene.name, point, None))
    return found


def point_of(objects: Objects, number: int) -> tuple[float, float]:
    """(x, y): the middle of an object's box; of a region, its pixel that is farthest from the region's border."""
    x1, y1, x2, y2 = objects.boxes[number]
    if objects.owners is None:
        return (x1 + x2 + 1) / 2, (y1 + y2 + 1) / 2
    depth = cv2.distanceTransform(np.pad((objects.owners == number).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return x + 0.5, y + 0.5


def tree(spot: Spot, seen: Look, chain: Sequence[Layer], group: int = 0) -> Tree:
    """The Tree of the last layer's filter at ``spot``, through the layers of ``chain``, last first."""
    offsets = [seen.offsets[layer.name] for layer in chain]
    masks = [seen.masks.get(layer.name) for layer in chain]
    windows = [layer.window for layer in chain]
    cell = seen.frame.cell(spot.point, offsets[0].shape[1:])
    still = trace([np.zeros_like(values) for values in offsets], windows, cell, group)
    read = windows[-1].input_size(offsets[-1].shape[1:])
    factors = [a / b for a, b in zip(read, offsets[0].shape[1:])]
    root = tuple(at * max(1, round(factor)) for at, factor in zip(cell, factors))
    return Tree(spot, cell, seen.frame.covered(read), root, still, trace(offsets, windows, cell, group, masks))


def field_columns(
    network: PhotoNetwork, params: tuple[dict, dict], layer: Layer, beside: Beside | None, ctx: Any
) -> Iterator[tuple[str, PhotoNetwork, ResponseField]]:
    """(title, network, its responses at ``layer``) of what is compared: the network, the plain one ``beside``, and the
    network with its offsets at zero. Gradients are MXNet's, whatever engine the networks run by.

    One after the other, as each takes gigabytes at the size of a photo.
    """
    ctx = mx.cpu() if ctx is None or is_torch(ctx) else ctx
    yield 'with its offsets', network, ResponseField(network.symbol, layer.name, params, ctx)
    if beside:
        other = graph_of(beside.cfg).read_parameters(beside.params)
        plain = opened(beside.cfg, other)
        yield 'plain network', plain, ResponseField(plain.symbol, layer.name, other, ctx)
    yield 'with offsets at zero', network, ResponseField(network.symbol, layer.name, params, ctx, still=True)


def measured_fields(
    title: str,
    network: PhotoNetwork,
    response: ResponseField,
    scenes: Scenes,
    shown: Sequence[Spot],
    places: Sequence[Spot],
) -> Fields:
    """Effective receptive fields of a layer at the spots that are ``shown`` and, averaged, at ``places``."""
    radius, means, extents = None, {}, {category: [] for category in CATEGORIES}

    def at(spot):
        image = scenes.scenes[spot.scene].image()
        inputs, scale = network.inputs(image)
        data = inputs['data']
        h, w = (min(side, round(n * scale)) for side, n in zip(data.shape[2:], image.shape[:2]))
        size = response.map_size(data.shape)
        place = [at * scale for at in spot.point[::-1]]
        cell = tuple(int(np.clip(at * n / side, 0, n - 1)) for at, n, side in zip(place, size, data.shape[2:]))
        field = response.of(data, cell)
        inside = None
        if spot.box is not None:
            x1, y1, x2, y2 = (int(round(v * scale)) for v in (*spot.box[:2], *(spot.box[2:] + 1)))
            inside = np.zeros(field.shape, bool)
            inside[y1:y2, x1:x2] = True
        centre = [(n + 0.5) * side / count for n, side, count in zip(cell, data.shape[2:], size)]
        return field[:h, :w], extent(field, scale, inside), around(field, centre, radius or max(h, w) // 2)

    pictures = [at(spot) for spot in shown]
    for spot in _bar(places, f'receptive fields, {title}'):
        _, reach, centred = at(spot)
        radius = len(centred) // 2
        extents[spot.category].append(reach)
        means[spot.category] = means.get(spot.category, 0) + centred
    for category, each in extents.items():
        if each:
            means[category] = means[category] / len(each)
    return Fields(title, [field for field, _, _ in pictures], [reach for _, reach, _ in pictures], means, extents)


def surveyed_parts(cfg: EasyDict, params: tuple[dict, dict], scenes: Scenes) -> list[ClassParts] | None:
    """Part offsets on the objects of the first images; None where the network has no deformable RoI pooling."""
    if kind_of(cfg) != 'detection':
        return None
    try:
        network = PartNetwork(cfg, params)
    except UserError:
        return None
    return survey_parts(network, _shown(scenes.scenes[:PART_IMAGES], 'parts'), scenes.names)


def _spread(items, count):
    """At most ``count`` of ``items`` at equal distances, the middle one where it is one."""
    count = min(count, len(items))
    return [items[(2 * k + 1) * len(items) // (2 * count)] for k in range(count)]


def _shown(scenes: Iterable[Scene], label: str) -> Iterable[Scene]:
    return _bar(list(scenes), label)


def _bar(items, label):
    with bar(len(items), 0, label) as progress:
        for item in items:
            yield item
            progress.update()
