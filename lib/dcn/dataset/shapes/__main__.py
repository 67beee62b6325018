"""`python -m dcn.dataset.shapes --out DIR`: generate the data set shapes, and a sheet to look at it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Sequence

import cv2

from dcn.dataset.shapes.detection import DEFAULTS, contact_sheet, generate
from dcn.errors import UserError
from dcn.files import atomic_write


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, then write a sheet of the first training images with their boxes."""
    parser = argparse.ArgumentParser(
        prog='python -m dcn.dataset.shapes', description='Generate the data set shapes in the layout of PASCAL VOC.'
    )
    parser.add_argument('--out', required=True, help='folder for VOC2007 and sheet.png')
    meanings = {'train': 'training images', 'test': 'test images', 'seed': 'seed', 'size': 'side in pixels'}
    for name, meaning in meanings.items():
        parser.add_argument('--' + name, type=int, default=DEFAULTS[name], help=f'{meaning} (default {DEFAULTS[name]})')
    given = parser.parse_args(arguments)
    folder = generate(given.out, given.train, given.test, given.seed, given.size)
    sheet = os.path.join(given.out, 'sheet.png')
    with atomic_write(sheet) as stream:
        stream.write(cv2.imencode('.png', contact_sheet(folder, 'train'))[1].tobytes())
    print(f'{given.train} training and {given.test} test images in {folder}; a look at them: {sheet}')


if __name__ == '__main__':
    try:
        main()
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
