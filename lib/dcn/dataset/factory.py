"""From a configuration to data: cfg.dataset.dataset names the kind, 'YEAR_SET' the images."""

import importlib

from dcn.config.families import kind_of
from dcn.dataset.roidb import filter_roidb
from dcn.errors import UserError

# imported when asked for: reading VOC needs nothing of what painting needs
KINDS = {
    'PascalVOC': ('dcn.dataset.pascal_voc', 'PascalVOC'),
    'coco': ('dcn.dataset.coco', 'COCO'),
    'shapes': ('dcn.dataset.shapes.detection', 'Shapes'),
    'shapes_coco': ('dcn.dataset.shapes.coco', 'ShapesCOCO'),
}


def get_imdb(cfg, image_set):
    """The data set of ``cfg.dataset`` for one ``image_set`` ('2007_test'); generates 'shapes' on first use."""
    return open_set(KINDS, cfg.dataset, image_set)


def open_set(kinds, dataset, image_set):
    """One ``image_set`` of the section ``dataset``. ``kinds``: dataset.dataset -> (module, name of a class)."""
    data = named_class(kinds, dataset).from_config(dataset, image_set)
    if data.num_classes != dataset.NUM_CLASSES:
        background = ' with background' if 'background' in data.classes[0] else ''
        raise UserError(
            f'dataset.NUM_CLASSES is {dataset.NUM_CLASSES}, but {data.name} has {data.num_classes} classes'
            f'{background}; set NUM_CLASSES or dataset.CLASSES'
        )
    return data


def named_class(kinds, dataset):
    """The class that ``kinds`` holds for the section ``dataset``."""
    if dataset.dataset not in kinds:
        raise UserError(f'dataset.dataset is {dataset.dataset!r}, expected one of {", ".join(kinds)}')
    module, name = kinds[dataset.dataset]
    return getattr(importlib.import_module(module), name)


def get_data_set(cfg, image_set):
    """The data set of one ``image_set`` in the form that the network of cfg.symbol learns from: boxes, or labels."""
    if kind_of(cfg) == 'segmentation':
        return importlib.import_module('dcn.dataset.segmentation').get_segmentation(cfg, image_set)
    return get_imdb(cfg, image_set)


def split_image_sets(image_set):
    """'2007_trainval+2012_trainval' -> both names."""
    return [name for name in image_set.split('+') if name]


def class_difference(data, first):
    """(what, todo) where the sets ``data`` and ``first`` number their classes differently, else None."""
    for number, pair in enumerate(zip(data.classes, first.classes)):
        if pair[0] != pair[1]:
            return (
                f'class {number} is {pair[0]!r} in {data.name} and {pair[1]!r} in {first.name}',
                'name the classes in dataset.CLASSES, in one order for all sets',
            )
    return None


def training_roidb(cfg, records_of=None):
    """Records of all sets in cfg.dataset.image_set, mirrored copies after each set if TRAIN.FLIP, then filtered.

    records_of(imdb): the records of one set, by default its ground truth.
    """
    roidb = []
    imdbs = [get_imdb(cfg, image_set) for image_set in split_image_sets(cfg.dataset.image_set)]
    for imdb in imdbs:
        fault = class_difference(imdb, imdbs[0])
        if fault:
            raise UserError('; '.join(fault))
        records = records_of(imdb) if records_of else imdb.gt_roidb()
        roidb += imdb.append_flipped(records) if cfg.TRAIN.FLIP else records
    roidb = filter_roidb(roidb, cfg.TRAIN)
    if not roidb:
        raise UserError(
            f'dataset.image_set {cfg.dataset.image_set!r} holds no image with an object to learn; '
            'run `dcn validate` to see why'
        )
    return roidb
