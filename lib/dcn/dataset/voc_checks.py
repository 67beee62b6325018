"""What `dcn validate` asks of a detection set in the layout of PASCAL VOC."""

from __future__ import annotations

import difflib
from typing import Any, Iterator, Sequence

from dcn.dataset.annotation import Annotation, Object, parse_annotation
from dcn.dataset.checks import Checks
from dcn.dataset.problems import DataError, Problem


class VocChecks(Checks):
    """``data``: a dcn.dataset.pascal_voc.PascalVOC."""

    def image_problems(self, image_id: str) -> list[Problem]:
        data, path = self.data, self.data.annotation_path(image_id)
        try:
            annotation = parse_annotation(data.annotation_bytes(image_id), path)
        except DataError as error:
            return [*self.of_image(image_id, None, path, None), error.problem]
        given = (annotation.width, annotation.height) if annotation.width else None
        problems = self.of_image(image_id, given, path, annotation.size_line, '<size>')
        try:
            annotation = data.sized(annotation, image_id)
        except DataError:
            return problems  # neither the annotation nor the image tells the size
        for item in annotation.objects:
            problems += _object_problems(item, annotation, data.classes[1:])
        return problems


def class_fault(name: str, known: Sequence[str]) -> tuple[str, str]:
    """(what, todo) for a class ``name`` that is none of ``known``."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f'did you mean {near[0]!r}?' if near else f'expected one of {", ".join(known)}'
    return f'unknown class {name!r}', f'{hint} (dataset.CLASSES names the classes)'


def box_fault(item: Object, width: int, height: int) -> tuple[str, str] | None:
    """(what, todo) for the box of an annotated object that no image of ``width`` x ``height`` can have, or None.

    One pixel outside passes (0, or size + 1): see dcn.dataset.pascal_voc.zero_based_box.
    """
    x1, y1, x2, y2 = item.box
    if x2 < x1 or y2 < y1:
        fault = 'is inverted'
    elif max(item.box) <= 1 and any(value % 1 for value in item.box):
        fault = 'is smaller than a pixel: write pixels, not fractions of the image'
    elif min(x1, y1) < 0 or int(x2) > width + 1 or int(y2) > height + 1:
        fault = f'leaves the image of {width} x {height} pixels'
    else:
        return None
    numbers = ' '.join(f'{value:g}' for value in item.box)
    return f'the box {numbers} (xmin ymin xmax ymax) of {item.name!r} {fault}', 'correct its corners'


def _object_problems(item: Object, annotation: Annotation, known: Any) -> Iterator[Problem]:
    """Faults of one object: its class, then its box."""
    if item.name not in known:
        yield Problem(annotation.path, item.line, *class_fault(item.name, known))
    fault = box_fault(item, annotation.width, annotation.height)
    x1, y1, x2, y2 = item.box
    if fault:
        yield Problem(annotation.path, item.box_line, *fault)
    elif x1 == x2 or y1 == y2:
        yield Problem(
            annotation.path,
            item.box_line,
            f'the box of {item.name!r} has zero width or height',
            'correct its corners or remove the object',
        )
    elif min(x1, y1) < 1 or int(x2) > annotation.width or int(y2) > annotation.height:
        yield Problem(
            annotation.path,
            item.box_line,
            f'the box of {item.name!r} leaves the image by one pixel',
            'count corners from 1 and include the last pixel (reading clips the box)',
        )
