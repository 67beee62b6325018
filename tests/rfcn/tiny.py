"""Randomly filled small versions of the networks, and photos of noise: enough for every entry point to run really."""

import os

import cv2
import numpy as np
from easydict import EasyDict

from dcn.config import load_config, symbol_class
from dcn.formats import params as params_file
from dcn.rng import generator

# res5a to res5c exist, as the demos want; 16 channels everywhere, images of about 64 x 80
SMALL = [
    'network.units=[1,1,1,3]',
    'network.filters=[16,16,16,16]',
    'network.rpn_filters=16',
    'network.head_filters=16',
    'SCALES=[64,80]',
    'gpus=',
    'TEST.RPN_PRE_NMS_TOP_N=100',
    'TEST.RPN_POST_NMS_TOP_N=20',
    'TEST.RPN_MIN_SIZE=0',
]


def write_checkpoint(path, cfg_path, changes=(), small=SMALL, task=None):
    """A checkpoint of random weights that fits the test graph of the experiment; task: a class, by default EndToEnd."""
    from dcn.engine.tasks.detection import EndToEnd

    cfg = load_config(str(cfg_path), [*small, *changes])
    # of the whole network, though demos test a part of it
    whole = EasyDict(cfg, TEST=EasyDict(cfg.TEST, HAS_RPN=True))
    network, inputs = symbol_class(cfg)(), (task or EndToEnd)(whole).test_graph().inputs
    network.get_symbol(cfg, is_train=False)
    network.infer_shape(inputs)
    arrays = {
        f'arg:{name}': _filled(name, shape) for name, shape in network.arg_shape_dict.items() if name not in inputs
    }
    arrays.update({f'aux:{name}': _filled(name, shape) for name, shape in network.aux_shape_dict.items()})
    os.makedirs(os.path.dirname(path), exist_ok=True)
    params_file.write(str(path), arrays)
    return str(path)


def _filled(name, shape):
    if name.endswith(('gamma', 'var')):
        return np.ones(shape, np.float32)
    return generator(11, name).normal(0, 0.1, shape).astype(np.float32)


def write_photo(path, size=(64, 80)):
    """Noise of ``size`` (height, width) that is the same for the same file name."""
    image = generator(5, os.path.basename(path)).integers(0, 255, size + (3,)).astype(np.uint8)
    cv2.imwrite(str(path), image)
    return str(path)
