"""Annotation files of COCO: JSON in, flat arrays out, kept in a cache by the file's content.

Only what detection needs is taken: no outlines, captions or licences. A generated file of 135 MB, with as many images
and objects as val2014, took 20 seconds and a gigabyte of memory to parse, and half a second to read again.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
from collections import Counter
from typing import Any, Callable, Hashable, Iterable, NamedTuple

import numpy as np

from dcn.dataset import cache
from dcn.dataset.images import MOST_SIDE
from dcn.dataset.paths import decoded
from dcn.dataset.problems import DataError, Problem
from dcn.files import open_regular
from dcn.formats.foreign import kind

LOG = logging.getLogger(__name__)


class Table(NamedTuple):
    """One annotation file.

    Images in ascending order of their ids: image_ids (n,) int64, heights, widths (n,) int64 in pixels, 0 where the file
    gives none, file_names (n,) str ('' where the file gives none). Categories in ascending order of their ids:
    category_ids (c,) int64, category_names (c,) lower-case str. Annotations as they stand: annotation_ids, owners
    (image ids), labels (category ids) (a,) int64, boxes (a, 4) float64 x y width height, areas (a,) float64 (those of
    the boxes where the file gives none), crowd (a,) bool.
    """

    image_ids: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    file_names: np.ndarray
    category_ids: np.ndarray
    category_names: np.ndarray
    annotation_ids: np.ndarray
    owners: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray


class Field(NamedTuple):
    """A value of a row: what is expected, how it is read, what a missing or null one stands for."""

    expected: str
    convert: Callable[[Any], Any]
    default: Any


_REQUIRED = object()
MOST_BYTES = 1 << 33  # of a file; the largest of COCO has half a billion
MOST_LETTERS = 4096  # of a name; no file system takes longer paths


def _whole(value):
    if isinstance(value, str) and value.strip().isdigit() and len(value) < 20:
        value = int(value)  # as older exports of CVAT write ids
    if isinstance(value, bool) or int(value) != value or not -(1 << 63) <= value < 1 << 63:
        raise ValueError
    return int(value)


def _pixels(value):
    if not 0 <= _whole(value) <= MOST_SIDE:
        raise ValueError
    return int(value)


def _flag(value):
    if isinstance(value, str) and value.strip().lower() in ('true', 'false'):
        value = value.strip().lower() == 'true'
    return int(value) if isinstance(value, bool) else _whole(value)


def _own_id(value):
    """Of an annotation; texts that are no number, as other programs make them, are counted anew."""
    if isinstance(value, str) and not value.strip().isdigit():
        return None
    return _whole(value)


def _area(value):
    return math.nan if isinstance(value, float) and math.isnan(value) else _number(value)  # NaN as none at all


def _number(value):
    if isinstance(value, str):
        value = float(value)  # some exports write numbers as texts
    if isinstance(value, bool) or not abs(value) < 1e12:  # so no NaN either; sums and products stay finite
        raise ValueError
    return float(value)


def _text(value):
    if not isinstance(value, str) or len(value) > MOST_LETTERS:
        raise ValueError
    return value


def _name(value):
    if not _text(value).strip():
        raise ValueError
    return value.strip().lower()


def _box(value):
    x, y, width, height = (_number(item) for item in value)
    return x, y, width, height


_ID = Field('a whole number below 2^63', _whole, _REQUIRED)
_SIZE = Field(f'a positive number of pixels up to {MOST_SIDE}', _pixels, 0)
_IMAGE = {'id': _ID, 'height': _SIZE, 'width': _SIZE, 'file_name': Field('text', _text, '')}
_CATEGORY = {'id': _ID, 'name': Field('a name', _name, _REQUIRED)}
_ANNOTATION = {
    'id': Field(_ID.expected, _own_id, None),  # then counted
    'image_id': _ID,
    'category_id': _ID,
    'bbox': Field('four numbers: x, y, width, height', _box, _REQUIRED),
    'area': Field('a number of pixels', _area, math.nan),
    'iscrowd': Field('0 or 1', _flag, 0),
}


def read(path: str, cache_path: str) -> tuple[Table, list[Problem]]:
    """(Table, faults) of the file at ``path``. ``faults``: Problems of rows, which are then not in the table.

    A file without faults is stored at ``cache_path``. Raises DataError for a file that is none.
    """
    key = _key(path)
    stored = cache.load(cache_path, key)
    if stored is not None:
        return Table(**stored), []
    LOG.info('reading %s', path)
    content = _load(path)
    faults = []
    categories = _categories(content, path)
    images = sorted(_rows(content, 'images', _IMAGE, path, faults))
    annotations = _numbered(_rows(content, 'annotations', _ANNOTATION, path, faults))
    if faults:  # a fault of an image is none of its annotations
        listed = {_id(row.get('id')) for row in content['images'] if isinstance(row, dict)}
        known = {row[0] for row in images}
        others = None not in listed  # else one without an id may be the owner
        annotations = [row for row in annotations if row[1] in known or others and row[1] not in listed]
    table = _table(images, categories, annotations)
    faults += _contradictions(table, path)
    if not faults:
        cache.store(cache_path, key, table._asdict())
    return table, faults


def category_names(path: str) -> list[str]:
    """The class names of an annotation file, in the order of their ids."""
    return [name for _, name in _categories(_load(path), path)]


def _key(path):
    key = cache.ContentKey('coco table 4')
    try:
        if os.path.getsize(path) > MOST_BYTES:
            what = f'the annotations have more than {MOST_BYTES} bytes'
            raise DataError(path, None, what, 'leave outlines and masks out, or make several sets of them')
        key.add_file(path)
    except OSError as error:
        raise DataError(
            path,
            None,
            f'the annotations cannot be read ({error.strerror})',
            'check dataset.dataset_path and the image set, or download the data',
        ) from None
    return key.text()


def _load(path):
    """The file's content, a dict with the lists 'images', 'categories' and 'annotations'."""
    try:
        with open_regular(path) as stream:
            text = decoded(stream.read(), path, 'no JSON: the annotation file')
        content = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        word = kind(text[:512].encode())
        why = f'it is {word}' if 'web page' in word or 'LFS' in word else f'{error.msg}, column {error.colno}'
        raise DataError(path, error.lineno, f'no JSON ({why})', 'repair the file or download it again') from None
    except DataError:
        raise
    except (ValueError, RecursionError):  # ValueError: numbers of thousands of digits
        raise DataError(path, None, 'no JSON that can be read', 'repair the file or download it again') from None
    content = content if isinstance(content, dict) else {}
    for name in _again(content, _SINGULAR):
        raise DataError(path, None, f'the key "{name}" stands twice in it', 'join the two lists, or keep one of them')
    for name in ('images', 'categories'):
        if not (isinstance(content.get(name), list) and content[name]):
            raise DataError(
                path,
                None,
                f'there is no list "{name}" with anything in it',
                "write the file in the format of COCO's instances files",
            )
    if not isinstance(content.setdefault('annotations', []), list):
        raise DataError(
            path, None, '"annotations" is not a list', "write the file in the format of COCO's instances files"
        )
    return content


class _Twice(dict):
    """An object of the file in which some keys stand more than once: the last value counts, as everywhere in Python."""

    keys_again: frozenset[str]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the file. Called a million times for a large one, so what is rare is looked for last."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    twice = _Twice(found)
    twice.keys_again = frozenset(repeated(name for name, _ in pairs))
    return twice


def _again(row, names):
    """Those of ``names``, the keys that are read, that stand twice in an object of the file."""
    return [name for name in names if name in row.keys_again] if isinstance(row, _Twice) else []


def _categories(content, path):
    """[(id, name)] in ascending order. Without good categories nothing else can be understood."""
    faults: list[Problem] = []
    roots = _roots(content)
    rows = sorted(row for row in _rows(content, 'categories', _CATEGORY, path, faults) if row[0] not in roots)
    for number in roots:
        why = 'without annotations it groups others or is background'
        LOG.info('%s: the category %s is left out: %s', path, number, why)
    for what, values in zip(('id', 'name'), zip(*rows)):
        faults += [_shared(path, 'category ' + what, value) for value in repeated(values)]
    if faults:
        raise DataError(*faults[0])
    return rows


def _roots(content):
    """Ids of categories without annotations that are there only as the "supercategory" of others, as Roboflow puts one
    in front, or as the background (labelme2coco)."""
    rows = [row for row in content['categories'] if isinstance(row, dict)]
    groups = Counter(_lower(row.get('supercategory')) for row in rows)
    roots = set()
    for row in rows:
        name, above = _lower(row.get('name')), _lower(row.get('supercategory'))
        grouped = groups[name] - (name == above)
        if grouped and above in ('none', '', name) or name.strip('_') == 'background':
            roots.add(_id(row.get('id')))
    if roots:
        roots -= {_id(row.get('category_id')) for row in content['annotations'] if isinstance(row, dict)}
    return roots - {None}


def _lower(value):
    return value.strip().lower() if isinstance(value, str) else ''


def _id(value):
    """An id as it is read, or None where it is none."""
    try:
        return _whole(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _numbered(rows):
    """Annotations with numbers that are free where they have no id; evaluation counts all of them anew anyway."""
    taken = {row[0] for row in rows}
    free = (number for number in itertools.count(1) if number not in taken)
    return [row if row[0] is not None else (next(free), *row[1:]) for row in rows]


def _rows(content, section, fields, path, faults):
    """Tuples of the values of ``fields``, one for each good row of ``content[section]``; the others go to ``faults``"""
    rows = []
    for index, row in enumerate(content[section]):
        row = row if isinstance(row, dict) else {}
        try:
            for name in _again(row, (*fields, 'supercategory')):
                raise _Fault(f'"{name}" stands twice', 'keep the right one')
            values = tuple(_value(row, *field) for field in fields.items())
            if section == 'images':
                _both_sides(row)
            rows.append(values)
        except _Fault as fault:
            who = f'{_SINGULAR[section]} {_short(row["id"])}' if 'id' in row else f'{section}[{index}]'
            faults.append(Problem(path, None, f'{who}: {fault.args[0]}', fault.args[1]))
    return rows


_SINGULAR = {'images': 'image', 'categories': 'category', 'annotations': 'annotation'}


class _Fault(Exception):
    """(what, todo) for one value."""


def _both_sides(row):
    """A size may be absent or 0 x 0: the image itself then tells. One side of 0 is a fault."""
    zero = [name for name in ('height', 'width') if row.get(name) == 0]
    if len(zero) == 1:
        raise _Fault(f'"{zero[0]}" is 0', f'write {_SIZE.expected}, or neither side')


def _value(row, name, field):
    if row.get(name) is None:
        if field.default is _REQUIRED:
            raise _Fault(f'"{name}" is {"null" if name in row else "missing"}', f'write {field.expected}')
        return field.default
    try:
        return field.convert(row[name])
    except (TypeError, ValueError, OverflowError):
        raise _Fault(f'"{name}" is {_short(row[name])}', f'write {field.expected}') from None


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + '...'


def _table(images, categories, annotations):
    """Table of tuples in the order of the fields of each section."""
    image_ids, heights, widths, file_names = _columns(images, 4)
    category_ids, category_names = _columns(categories, 2)
    ids, owners, labels, boxes, areas, crowd = _columns(annotations, 6)
    boxes, areas = np.array(boxes, dtype=np.float64).reshape(-1, 4), np.array(areas, dtype=np.float64)
    whole = [
        np.array(column, dtype=np.int64) for column in (image_ids, heights, widths, category_ids, ids, owners, labels)
    ]
    return Table(
        *whole[:3],
        np.array(file_names, dtype=str),
        whole[3],
        np.array(category_names, dtype=str),
        *whole[4:],
        boxes,
        np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas),
        np.array(crowd, dtype=bool),
    )


def _columns(rows, count):
    return list(zip(*rows)) or [()] * count


def _contradictions(table, path):
    """Rows that are good by themselves and cannot be read together."""
    for value in repeated(table.image_ids.tolist()):
        yield _shared(path, 'image id', value)
    for index in np.flatnonzero(~np.isin(table.labels, table.category_ids)):
        yield Problem(
            path,
            None,
            f'annotation {table.annotation_ids[index]} (image {table.owners[index]}): '
            f'"category_id" is {table.labels[index]}, which is not in "categories"',
            'add the category or correct the annotation',
        )


def repeated_ids(table: Table, path: str) -> list[Problem]:
    """Problems of annotation ids that are given twice. Reading and testing do not depend on them."""
    return [_shared(path, 'annotation id', value) for value in repeated(table.annotation_ids.tolist())]


def repeated(values: Iterable[Hashable]) -> list[Any]:
    """The values that occur more than once, in order of their first occurrence."""
    return [value for value, count in Counter(values).items() if count > 1]


def _shared(path, what, value):
    return Problem(path, None, f'the {what} {value} is given more than once', 'give each its own')
