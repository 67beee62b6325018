"""Builds the graph of a YAML file with MXNet and writes it as a file; started by :mod:`dcn.inspection.sources` alone.

    python -m dcn.inspection.build YAML FOLDER --mode test --part rpn --set KEY=VALUE

writes FOLDER/symbol.json and FOLDER/inputs.json, the shapes of the inputs at the YAML's image size.
"""

import argparse
import json
import os
import sys

from dcn.cli import guarded
from dcn.files import atomic_write


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument('yaml')
    parser.add_argument('folder')
    parser.add_argument('--mode', default='test')
    parser.add_argument('--part', default='')
    parser.add_argument('--set', nargs='*', default=[], dest='overrides')
    args = parser.parse_args(argv)
    import dcn.operators  # noqa: F401  registers the custom operators before a graph is built
    from dcn.config import load_config, symbol_class

    cfg = load_config(args.yaml, args.overrides)
    network = symbol_class(cfg)()
    symbol = getattr(network, '_'.join(filter(None, ('get_symbol', args.part))))(cfg, args.mode == 'train')
    with atomic_write(os.path.join(args.folder, 'symbol.json'), 'w') as stream:
        stream.write(symbol.tojson())
    with atomic_write(os.path.join(args.folder, 'inputs.json'), 'w') as stream:
        json.dump(input_shapes(cfg, set(symbol.list_arguments()), args.mode), stream)


def input_shapes(cfg, names, mode):
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
    sys.exit(guarded(main))
