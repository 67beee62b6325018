"""What tells one data set from another: a digest of everything that a score depends on."""

from __future__ import annotations

import os
from typing import Any, Sequence

import numpy as np

from dcn.dataset.cache import ContentKey
from dcn.dataset.roidb import Record

FIELDS = ('boxes', 'gt_classes', 'proposals')


def fingerprint(records: Sequence[Record], classes: Sequence[str]) -> str:
    """SHA-256 over the names of the classes and, of each record in order, id, image file, boxes, classes, proposals
    and label map; in hexadecimal digits. Where files lie does not count."""
    key = ContentKey('data 1', *classes)
    for record in records:
        key.add(record['id'])
        for field in FIELDS:
            if field in record:
                array = np.ascontiguousarray(record[field])
                key.add(f'{field} {array.dtype.str} {array.shape}')
                key.add(array.tobytes())
        for path in (record['image'], record.get('label')):
            if path and os.path.isfile(path):  # an image may lie in an archive
                key.add_file(path)
    return key.text()


def described(name: str, records: Sequence[Record], classes: Sequence[str]) -> dict[str, Any]:
    """The part of a ledger's entry on the data set ``name``."""
    boxes = [len(record['gt_classes']) for record in records if 'gt_classes' in record]
    return {
        'set': name,
        'images': len(records),
        'objects': sum(boxes) if boxes else None,
        'sha256': fingerprint(records, classes),
    }
