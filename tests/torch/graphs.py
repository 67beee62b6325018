"""The graphs of graphs.json.gz: those that machines without MXNet run in tools/torch_check.py.

    python -m tests.torch.graphs        # writes the file anew, with MXNet

Deformable networks of the four families, training and testing, as their YAML files say ('real') and in small; beside
each the shapes of its inputs and parameters.
"""

import gzip
import json
from pathlib import Path

FILE = Path(__file__).with_name('graphs.json.gz')
SIZES = {'real': (608, 1024), 'small': (96, 128)}


def stored():
    """{'<family> <size> <train or test>': {'symbol': text, 'shapes': {name: shape}, 'inputs': [names]}}"""
    with gzip.open(FILE, 'rt', encoding='utf-8') as stream:
        return json.load(stream)


def made():
    """What the file should hold, built now."""
    from dcn.config import load_config, symbol_class
    from tests.graphs.conftest import DEEPLAB_DCN, FASTER_DCN, FPN_DCN, VOC_DCN
    from tests.graphs.steps import small
    from tests.torch.both import TRAINED

    found = {}
    for stem in (VOC_DCN, FASTER_DCN, FPN_DCN, DEEPLAB_DCN):
        (path,) = Path(__file__).resolve().parents[2].glob(f'experiments/*/cfgs/{stem}.yaml')
        for size, (height, width) in SIZES.items():
            segments = stem == DEEPLAB_DCN
            overrides = [*small(stem), *(() if segments else TRAINED[:-1])] if size == 'small' else []
            cfg = load_config(str(path), overrides)
            for is_train in (True, False):
                network = symbol_class(cfg)()
                network.get_symbol(cfg, is_train)
                shapes = {'data': (1, 3, height, width)}
                if segments and is_train:
                    shapes['label'] = (1, 1, height, width)
                elif not segments:
                    shapes['im_info'] = (1, 3)
                    shapes.update({'gt_boxes': (1, 3, 5)} if is_train else {})
                network.infer_shape(shapes)
                names = ('data', 'im_info', 'gt_boxes', 'label', 'bbox_target', 'bbox_weight', 'softmax_label')
                found[f'{path.parents[1].name} {size} {"train" if is_train else "test"}'] = {
                    'symbol': network.sym.tojson(),
                    'shapes': {n: list(s) for n, s in {**network.arg_shape_dict, **network.aux_shape_dict}.items()},
                    'inputs': [name for name in names if name in network.arg_shape_dict],
                }
    return found


def main():
    with gzip.GzipFile(FILE, 'wb', mtime=0) as stream:
        stream.write(json.dumps(made(), sort_keys=True).encode())


if __name__ == '__main__':
    main()
