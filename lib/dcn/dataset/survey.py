"""A first look at somebody's own data: its layout, its sets, its classes, and the settings that fit its sizes."""

from __future__ import annotations

import glob
import os
from typing import Any, NamedTuple

import numpy as np
from easydict import EasyDict

from dcn.dataset.annotation import parse_annotation
from dcn.dataset.checks import Statistics
from dcn.dataset.coco_file import category_names
from dcn.dataset.registry import open_set
from dcn.dataset.voc_folder import VocFolder
from dcn.errors import UserError

LAYOUTS = ('voc', 'coco', 'segmentation')
LOOKED_AT = 200  # label maps that are decoded, at most


class Survey(NamedTuple):
    """layout: one of LAYOUTS; section: the keys of ``dataset``; statistics: of the training set."""

    layout: str
    section: dict[str, Any]
    statistics: Statistics


def survey(path: str, layout: str | None = None, classes: list[str] | None = None) -> Survey:
    """Look at the data below ``path``. layout, classes: as found there unless given; label maps do not name theirs."""
    layout = layout or _layout(path)
    folder = os.path.abspath(path)
    if layout == 'coco':
        train, test = _sets([_set_of(file) for file in _instances(folder)], os.path.join(folder, 'annotations'))
        names = classes or category_names(os.path.join(folder, 'annotations', f'instances_{train}.json'))
        section = {'dataset': 'coco', 'dataset_path': folder, 'image_set': train, 'test_image_set': test}
    else:
        year_folder = _voc_folder(folder)
        kind = 'Segmentation' if layout == 'segmentation' else 'Main'
        lists = os.path.join(year_folder, 'ImageSets', kind)
        files = glob.glob(os.path.join(glob.escape(lists), '*.txt'))
        train, test = _sets([os.path.splitext(os.path.basename(file))[0] for file in files], lists)
        names = classes or _names_in(year_folder, os.path.join(lists, train + '.txt'), layout)
        year = os.path.basename(year_folder)[len('VOC') :]
        section = {'dataset': 'PascalVOC', 'dataset_path': os.path.dirname(year_folder)}
        section.update(image_set=f'{year}_{train}', test_image_set=f'{year}_{test}')
    if layout == 'segmentation' and names[0] != 'background':
        names = ['background', *names]
    section.update(
        CLASSES=names, NUM_CLASSES=len(names) + (layout != 'segmentation'), root_path=os.path.join(folder, 'cache')
    )
    kind = 'segmentation' if layout == 'segmentation' else 'detection'
    return Survey(layout, section, _statistics(open_set(kind, EasyDict(section), section['image_set']), kind))


def _layout(path):
    if not os.path.isdir(path):
        raise UserError(f'{path}: no such folder; give the folder of the data.')
    if _instances(path):
        return 'coco'
    folder = _voc_folder(path)
    return 'voc' if os.path.isdir(os.path.join(folder, 'Annotations')) else 'segmentation'


def _instances(path):
    return sorted(glob.glob(os.path.join(glob.escape(path), 'annotations', 'instances_*.json')))


def _set_of(path):
    return os.path.basename(path)[len('instances_') : -len('.json')]


def _voc_folder(path):
    """The folder VOC<year> that ``path`` is or holds."""
    path = os.path.abspath(path)
    candidates = [path] if os.path.basename(path).startswith('VOC') else []
    candidates += sorted(glob.glob(os.path.join(glob.escape(path), 'VOC?*')))
    found = [folder for folder in candidates if os.path.isdir(os.path.join(folder, 'JPEGImages'))]
    if not found:
        raise UserError(
            f'{path}: neither annotations/instances_SET.json (COCO) nor VOC<year>/JPEGImages (PASCAL VOC, label maps) '
            'is there; arrange the data in one of these layouts.'
        )
    return found[-1]


def _sets(names, place):
    """(training set, test set) of the sets that are there; one set serves for both."""
    if not names:
        raise UserError(f'{place}: there is no list of images; write train.txt and val.txt with one image id per line.')
    names = sorted(names, key=lambda name: (len(name), name))
    train = next((name for name in names if 'train' in name), names[0])
    rest = [name for name in names if 'train' not in name and name != train]
    test = next((name for word in ('val', 'test') for name in rest if word in name), train)
    return train, test


def _names_in(folder, list_path, layout):
    """The class names of the annotations of a list, sorted."""
    if layout == 'segmentation':
        raise UserError('label maps do not name their classes; give them in the order of their numbers: --classes A,B.')
    names = set()
    voc = VocFolder()
    voc.open_folder(folder, list_path)
    for image_id in voc.image_ids:
        path = voc.file_of('Annotations', image_id, ('.xml',))
        if os.path.isfile(path):
            with open(path, 'rb') as stream:
                names.update(item.name for item in parse_annotation(stream.read(), path).objects)
    if not names:
        raise UserError(f'{list_path}: the annotations of this list hold no object; annotate some, or give --classes.')
    return sorted(names)


def _statistics(data, kind):
    checks = data.checks()
    if kind == 'segmentation':
        for image_id in data.image_ids[:LOOKED_AT]:
            for problem in checks.image_problems(image_id):
                raise UserError(str(problem))
    found = checks.statistics()
    if found is None:
        if kind == 'segmentation':
            raise data.missing_label(data.image_ids[0])
        data.gt_roidb()  # raises what is wrong
    return found


def fitting_scale(sizes: np.ndarray, shapes: np.ndarray, usual: tuple[int, int]) -> tuple[int, int]:
    """(short side, longest side) for images of ``sizes`` (n, 2) with boxes of ``shapes`` (k, 2), both width and height.

    The paper's ``usual`` ones; less where images are small, as enlarging adds no detail, and a third more where a tenth
    of the objects would be under 24 pixels.
    """
    short, longest = usual
    side = float(np.median(sizes.min(axis=1)))
    if side < short / 2:
        longest = round(longest * 2 * side / short / 32) * 32
        short = max(128, round(2 * side / 32) * 32)
    elif len(shapes) and np.quantile(np.sqrt(shapes.prod(axis=1)), 0.1) * short / side < 24:
        short, longest = round(short * 4 / 3), round(longest * 4 / 3)
    return short, max(short, longest)


def fitting_anchors(shapes: np.ndarray, scale: float, stride: int) -> tuple[list[float], list[float]]:
    """(scales in strides, ratios) of anchors around nine tenths of the boxes ``shapes`` (k, 2) once resized."""
    sides = np.sqrt(shapes.prod(axis=1)) * scale / stride
    low, high = (np.log2(np.quantile(sides, q)) for q in (0.05, 0.95))
    powers = np.arange(np.floor(max(low, 0)), np.ceil(min(high, 5)) + 1)[:5]
    ratios = np.log2(shapes[:, 1] / shapes[:, 0])
    far = [q for q in (0.05, 0.95) if abs(np.quantile(ratios, q)) > 1.5]
    wide = ([0.25] if 0.05 in far and np.quantile(ratios, 0.05) < 0 else []) + [0.5, 1, 2]
    wide += [4] if 0.95 in far and np.quantile(ratios, 0.95) > 0 else []
    return [int(2**power) for power in powers] or [1], wide


def fitting_epochs(images: int) -> int:
    """Epochs after which a network has seen about 20,000 images, flipped ones included; 7 (the paper's) to 60."""
    return int(np.clip(-(-10000 // images), 7, 60))
