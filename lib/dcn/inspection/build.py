"""Builds the graph of a YAML file with MXNet and writes it as a file; started by :mod:`dcn.inspection.sources` alone.

    python -m dcn.inspection.build YAML FOLDER MODE PART '["KEY=VALUE", ...]'

writes FOLDER/symbol.json and FOLDER/inputs.json, the shapes of the inputs at the YAML's image size; or
FOLDER/error.txt, a sentence for the user. MODE is test or
train, PART one of those in sources.py.
"""

import json
import os
import sys
from typing import Collection, Dict, Tuple

from easydict import EasyDict

from dcn.config import load_config, symbol_class
from dcn.errors import UserError
from dcn.files import atomic_write


def main(path: str, folder: str, mode: str, part: str, overrides: str) -> int:
    try:
        cfg = load_config(path, json.loads(overrides))
        network = symbol_class(cfg)()  # its package activates the project's operators
        symbol = getattr(network, '_'.join(filter(None, ('get_symbol', part))))(cfg, mode == 'train')
    except UserError as error:
        with atomic_write(os.path.join(folder, 'error.txt'), 'w') as stream:
            stream.write(str(error))
        return 2
    with atomic_write(os.path.join(folder, 'symbol.json'), 'w') as stream:
        stream.write(symbol.tojson())
    with atomic_write(os.path.join(folder, 'inputs.json'), 'w') as stream:
        json.dump(input_shapes(cfg, set(symbol.list_arguments()), mode), stream)
    return 0


def input_shapes(cfg: EasyDict, names: Collection[str], mode: str) -> Dict[str, Tuple[int, ...]]:
    """{input: shape} for those of the graph's argument ``names`` from which all others follow."""
    phase = cfg.TRAIN if mode == 'train' else cfg.TEST
    images, (height, width) = phase.BATCH_IMAGES, cfg.SCALES[0]
    if mode == 'train' and phase.get('ENABLE_CROP'):
        height, width = phase.CROP_HEIGHT, phase.CROP_WIDTH
    stride = max(cfg.network.IMAGE_STRIDE, 1)
    height, width = (-(-size // stride) * stride for size in (height, width))
    shapes = {'data': (images, 3, height, width), 'im_info': (images, 3), 'gt_boxes': (images, 5, 5)}
    if 'rois' in names:
        rois = 128 if mode == 'train' else phase.get('RPN_POST_NMS_TOP_N', 300)
        columns = 4 * (2 if cfg.CLASS_AGNOSTIC else cfg.dataset.NUM_CLASSES)
        shapes.update(
            rois=(images, rois, 5),
            label=(images, rois),
            bbox_target=(images, rois, columns),
            bbox_weight=(images, rois, columns),
        )
    elif 'gt_boxes' not in names:
        shapes['label'] = (images, 1, height, width)  # a class for each pixel
    return {name: shape for name, shape in shapes.items() if name in names}


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
