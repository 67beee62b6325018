#!/usr/bin/env python
"""Measures the small networks that come with the project as ``dcn offsets`` does, and writes the tables of
docs/offsets.md and the pictures that it shows: python tools/offsets_docs.py

About two minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Sequence

import cv2
import numpy as np

from dcn.cli import guarded
from dcn.cli.demo import NETWORKS, configuration, without_training_images
from dcn.cli.photos import shipped
from dcn.files import atomic_write, sha256
from dcn.paths import in_project
from dcn.showcase.offsets import page, report
from dcn.showcase.offsets.measures import CATEGORIES
from dcn.showcase.offsets.study import Beside, Options, Study, study
from dcn.text import markdown_table
from dcn.visualize.canvas import below, beside, labelled, shrink

DOC, IMAGES = 'docs/offsets.md', 'docs/images'
OPTIONS = Options(count=0, trees=1, fields=24)
# family -> its pictures that the page shows
PICTURES = {'rfcn': ('trees', 'fields'), 'fpn': ('trees',)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='output/offsets_docs', help='folder for the generated test images')
    args = parser.parse_args(argv)
    tables = []
    for family, networks in NETWORKS.items():
        given = argparse.Namespace(train=False, out=args.out, overrides=[])
        plain, deformable = (configuration(network, given) for network in networks)
        without_training_images([plain, deformable], args.out)
        files = [shipped(network.prefix + '-0000.params') for network in networks]
        found = study(deformable, files[1], (), OPTIONS, Beside(plain, files[0]))
        tables += section(networks[1].title, files[1], found)
        for kind in PICTURES.get(family, ()):
            write(in_project(f'{IMAGES}/offsets_{family}_{kind}.jpg'), sheet(found, kind))
    with open(in_project(DOC), encoding='utf-8') as stream:
        text = stream.read()
    begin, end = '<!-- tables -->', '<!-- end of tables -->'
    text = text[: text.index(begin) + len(begin)] + '\n'.join(['', *tables, '']) + text[text.index(end) :]
    with atomic_write(in_project(DOC), 'w') as stream:
        stream.write(text)


def section(title: str, path: str, found: Study) -> list[str]:
    """Lines of Markdown on one network, of the checkpoint at ``path``."""
    lines = [f'\n### {title}\n', f'`{os.path.relpath(path, in_project("."))}`, SHA-256 {sha256(path)[:16]}...\n']
    lines += [f'Sizes {report.sizes_text(found)}.\n']
    lines += markdown_table(('effective dilation', *report.HEAD[1:]), report.dilation_rows(found))
    lines += ['', *markdown_table(('offsets, in cells', *CATEGORIES), report.border_rows(found))]
    gradient = f'gradient of {found.field_layer}', *report.FIELD_HEAD[1:]
    lines += ['', *markdown_table(gradient, report.field_rows(found))]
    if found.parts:
        lines += ['', *markdown_table(report.PART_HEAD, report.part_rows(found))]
    return lines


def sheet(found: Study, kind: str) -> np.ndarray:
    """(h, w, 3) uint8 BGR: the pictures of one kind below each other, two in a row, with their captions."""
    make = {'trees': page.tree_picture, 'fields': page.field_picture}[kind]
    texts = [f'{tree.spot.category}: {tree.spot.text}' for tree in found.trees]
    pictures = [labelled(make(found, k), text, 13) for k, text in enumerate(texts)]
    rows = [beside(pictures[k : k + 2], 16) for k in range(0, len(pictures), 2)]
    return shrink(below(rows, 12), 860)


def write(path: str, image: np.ndarray) -> None:
    """``image`` (h, w, 3) uint8 BGR as a JPEG that is small enough for a repository."""
    _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    with atomic_write(path) as stream:
        stream.write(data.tobytes())


if __name__ == '__main__':
    sys.exit(guarded(main))
