"""From a configuration to data sets: dataset.dataset names the kind, dataset.image_set the sets."""

from __future__ import annotations

import importlib
from typing import Any

from dcn.config.families import kind_of
from dcn.errors import UserError

# kind of network -> dataset.dataset -> (module, class); imported when asked for: readers do without the painter
KINDS = {
    'detection': {
        'PascalVOC': ('dcn.dataset.pascal_voc', 'PascalVOC'),
        'coco': ('dcn.dataset.coco', 'COCO'),
        'shapes': ('dcn.dataset.shapes.detection', 'Shapes'),
        'shapes_coco': ('dcn.dataset.shapes.coco', 'ShapesCOCO'),
    },
    'segmentation': {
        'PascalVOC': ('dcn.dataset.voc_segmentation', 'VocSegmentation'),
        'CityScape': ('dcn.dataset.cityscapes', 'Cityscapes'),
        'shapes': ('dcn.dataset.shapes.segmentation', 'ShapesSegmentation'),
        'shapes_cityscape': ('dcn.dataset.shapes.segmentation', 'ShapesCityscapes'),
    },
}


def get_data_set(cfg: Any, image_set: str) -> Any:
    """The data set of one ``image_set`` in the form that the network of cfg.symbol learns from: boxes, or labels."""
    return open_set(kind_of(cfg), cfg.dataset, image_set)


def open_set(kind: str, dataset: Any, image_set: str) -> Any:
    """One ``image_set`` of the section ``dataset`` for networks of ``kind``; generates shapes on first use."""
    kinds = KINDS[kind]
    if dataset.dataset not in kinds:
        raise UserError(f'dataset.dataset is {dataset.dataset!r}, expected one of {", ".join(kinds)}')
    module, name = kinds[dataset.dataset]
    data = getattr(importlib.import_module(module), name).from_config(dataset, image_set)
    if data.num_classes != dataset.NUM_CLASSES:
        background = ' with background' if 'background' in data.classes[0] else ''
        raise UserError(
            f'dataset.NUM_CLASSES is {dataset.NUM_CLASSES}, but {data.name} has {data.num_classes} classes'
            f'{background}; set NUM_CLASSES or dataset.CLASSES'
        )
    return data


def split_image_sets(image_set: str) -> list[str]:
    """'2007_trainval+2012_trainval' -> both names."""
    return [name for name in image_set.split('+') if name]


def class_difference(data: Any, first: Any) -> tuple[str, str] | None:
    """(what, todo) where the sets ``data`` and ``first`` number their classes differently, else None."""
    for number, pair in enumerate(zip(data.classes, first.classes)):
        if pair[0] != pair[1]:
            return (
                f'class {number} is {pair[0]!r} in {data.name} and {pair[1]!r} in {first.name}',
                'name the classes in dataset.CLASSES, in one order for all sets',
            )
    return None
