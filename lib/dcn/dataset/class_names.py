"""Names and colours of the classes of a configuration, without the data set's files and what reads or paints them.

A detector needs the names to say what it finds on a photo, where neither the data set nor its libraries may be there.
"""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple

import numpy as np

from dcn.errors import UserError

VOC_CLASSES = (
    'aeroplane',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'bus',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
    'motorbike',
    'person',
    'pottedplant',
    'sheep',
    'sofa',
    'train',
    'tvmonitor',
)

# the 80 categories of COCO's instances files, in the order of their ids
COCO_CLASSES = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,
stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,
handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,
surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,
broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,
laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,
scissors,teddy bear,hair drier,toothbrush""".replace('\n', '').split(',')
)

# those of dcn.dataset.shapes.creatures, sorted
SHAPES_CLASSES = ('caterpillar', 'fish', 'octopus', 'snake', 'starfish')


class Label(NamedTuple):
    """One label of Cityscapes; without a train id its pixels do not count. Colour: red, green, blue."""

    name: str
    id: int
    train_id: int | None
    colour: tuple[int, int, int]


# as the data set publishes them
LABELS = tuple(
    Label(*row)
    for row in (
        ('unlabeled', 0, None, (0, 0, 0)),
        ('ego vehicle', 1, None, (0, 0, 0)),
        ('rectification border', 2, None, (0, 0, 0)),
        ('out of roi', 3, None, (0, 0, 0)),
        ('static', 4, None, (0, 0, 0)),
        ('dynamic', 5, None, (111, 74, 0)),
        ('ground', 6, None, (81, 0, 81)),
        ('road', 7, 0, (128, 64, 128)),
        ('sidewalk', 8, 1, (244, 35, 232)),
        ('parking', 9, None, (250, 170, 160)),
        ('rail track', 10, None, (230, 150, 140)),
        ('building', 11, 2, (70, 70, 70)),
        ('wall', 12, 3, (102, 102, 156)),
        ('fence', 13, 4, (190, 153, 153)),
        ('guard rail', 14, None, (180, 165, 180)),
        ('bridge', 15, None, (150, 100, 100)),
        ('tunnel', 16, None, (150, 120, 90)),
        ('pole', 17, 5, (153, 153, 153)),
        ('polegroup', 18, None, (153, 153, 153)),
        ('traffic light', 19, 6, (250, 170, 30)),
        ('traffic sign', 20, 7, (220, 220, 0)),
        ('vegetation', 21, 8, (107, 142, 35)),
        ('terrain', 22, 9, (152, 251, 152)),
        ('sky', 23, 10, (70, 130, 180)),
        ('person', 24, 11, (220, 20, 60)),
        ('rider', 25, 12, (255, 0, 0)),
        ('car', 26, 13, (0, 0, 142)),
        ('truck', 27, 14, (0, 0, 70)),
        ('bus', 28, 15, (0, 60, 100)),
        ('caravan', 29, None, (0, 0, 90)),
        ('trailer', 30, None, (0, 0, 110)),
        ('train', 31, 16, (0, 80, 100)),
        ('motorcycle', 32, 17, (0, 0, 230)),
        ('bicycle', 33, 18, (119, 11, 32)),
    )
)
LEARNED = tuple(sorted((label for label in LABELS if label.train_id is not None), key=lambda label: label.train_id))
CITYSCAPES_CLASSES = tuple(label.name for label in LEARNED)
# its classes of countable things, which the data set marks one by one; all before them are surroundings
CITYSCAPES_THINGS = CITYSCAPES_CLASSES[CITYSCAPES_CLASSES.index('person') :]

# kind of network -> dataset.dataset -> names of the data set's own; detection adds its background itself
KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    'detection': {
        'PascalVOC': VOC_CLASSES,
        'coco': COCO_CLASSES,
        'shapes': SHAPES_CLASSES,
        'shapes_coco': SHAPES_CLASSES,
    },
    'segmentation': {
        'PascalVOC': ('background', *VOC_CLASSES),
        'CityScape': CITYSCAPES_CLASSES,
        'shapes': ('background', *SHAPES_CLASSES),
        'shapes_cityscape': CITYSCAPES_CLASSES,
    },
}


def class_names(dataset: Any, kind: str = 'detection') -> tuple[str, ...]:
    """NUM_CLASSES names for the section ``dataset`` of a configuration: its CLASSES, or the data set's own.

    kind: of the network; in 'detection' the first name is '__background__'.
    """
    names = ('__background__', *detection_names(dataset)) if kind == 'detection' else segmentation_names(dataset)
    if len(names) != dataset.NUM_CLASSES:
        included = ' (background included)' if kind == 'detection' else ''
        raise UserError(
            f'dataset.NUM_CLASSES is {dataset.NUM_CLASSES}{included}, but {len(names) - bool(included)} class '
            f'names are known for {dataset.dataset}; set dataset.CLASSES to the names'
        )
    return names


def detection_names(dataset: Any) -> tuple[str, ...]:
    """Names without background for the section ``dataset`` of a detector; none are known of an unknown data set."""
    given = dataset.get('CLASSES')
    return listed_names(given) if given else KNOWN['detection'].get(dataset.dataset, ())


def segmentation_names(dataset: Any) -> tuple[str, ...]:
    """Names in the order of their values in the label maps for the section ``dataset`` of a segmentation network."""
    known = KNOWN['segmentation'].get(dataset.dataset)
    if known is None:
        raise UserError(f'dataset.dataset is {dataset.dataset!r}, expected one of {", ".join(KNOWN["segmentation"])}')
    given = dataset.get('CLASSES')
    if given and known is CITYSCAPES_CLASSES:
        raise UserError(
            f'dataset.dataset {dataset.dataset} has its own 19 classes; remove dataset.CLASSES, or '
            'bring own classes in the layout of PascalVOC'
        )
    if not given:
        return known
    names = tuple(str(name) for name in given)
    # detectors' lists have no background, so one that lacks just this name means the same here
    without = len(names) + 1 == dataset.NUM_CLASSES and 'background' not in names
    return ('background', *names) if without else names


def palette(dataset: Any) -> np.ndarray:
    """Colours of the classes of a segmentation network: (NUM_CLASSES, 3) uint8 red green blue."""
    of_cityscapes = KNOWN['segmentation'].get(dataset.dataset) is CITYSCAPES_CLASSES
    return (cityscapes_colours if of_cityscapes else voc_colours)(dataset.NUM_CLASSES)


def cityscapes_colours(count: int) -> np.ndarray:
    """The colours of the train ids 0 to count - 1: (count, 3) uint8 red green blue."""
    return np.array([label.colour for label in LEARNED[:count]], dtype=np.uint8)


def voc_colours(count: int) -> np.ndarray:
    """The colours of the development kit for the values 0 to count - 1: (count, 3) uint8 red green blue.

    The bits of the value are dealt out to red, green and blue in turn, each colour filled from its highest bit down.
    """
    values = np.arange(count)
    colours = np.zeros((count, 3), dtype=np.uint8)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= ((values >> (3 * place + channel) & 1) << (7 - place)).astype(np.uint8)
    return colours


def listed_names(names: Iterable[object] | None) -> tuple[str, ...]:
    """Class names without background from a configuration's list (with or without it); None gives the 20 of VOC."""
    listed = tuple(str(name).strip().lower() for name in names or ()) or VOC_CLASSES
    listed = listed[1:] if listed[0] == '__background__' else listed
    repeated = sorted({name for name in listed if listed.count(name) > 1 or name == '__background__'})
    if repeated:
        raise UserError(f'dataset.CLASSES must name every class once, but repeats {", ".join(repeated)}; correct it')
    outside = [name for name in listed if '..' in name.replace('\\', '/').split('/') or '\0' in name]
    if outside:
        raise UserError(
            f'dataset.CLASSES: {outside[0]!r} leads outside of the folder of results, whose files are named after the '
            'classes; rename it in the annotations and here'
        )
    return listed
