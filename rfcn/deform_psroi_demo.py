"""Where deformable RoI pooling puts its three by three parts: RoI in blue, parts in red.

Give --roi X1 Y1 X2 Y2 CLASS (pixels; index of the VOC class, 1 is aeroplane) for each photo, in order; without one a photo's RoI is its middle half, and its class
the one that the network scores best there.
"""
import argparse
import os
import sys

import mxnet as mx
import numpy as np

from lib.cli import guarded
from lib.config import load_config
from lib.detect import in_project, photo_arguments, sample_photos, unique_stem
from lib.errors import UserError
from lib.visualize.canvas import save
from lib.visualize.offsets import draw_parts
from rfcn.demo import checkpoint

CFG = 'experiments/rfcn/cfgs/deform_psroi_demo.yaml'


def on_given_rois(symbol):
    """The test graph with its proposals replaced by an input ``rois`` (R, 5): the demo shows chosen boxes."""
    internals = symbol.get_internals()
    wanted = mx.sym.Group([internals['rfcn_cls_offset_output'], internals['cls_prob_output']])
    return wanted, internals['rois_output']


def class_offsets(offsets, label):
    """The offsets (2, P, P), x then y, of one class from (2C, P, P)."""
    return offsets[2 * label:2 * label + 2]


def middle_half(image):
    height, width = image.shape[:2]
    return [width // 4, height // 4, width * 3 // 4 - 1, height * 3 // 4 - 1]


def check_roi(roi, image, classes, photo):
    x1, y1, x2, y2, label = roi
    if not (0 <= x1 <= x2 < image.shape[1] and 0 <= y1 <= y2 < image.shape[0]):
        raise UserError(f'--roi {x1} {y1} {x2} {y2}: expected x1 <= x2 < {image.shape[1]} and y1 <= y2 < {image.shape[0]} on {photo}')
    if not 1 <= label < len(classes):
        raise UserError(f'--roi class {label}: expected 1 ({classes[1]}) to {len(classes) - 1} ({classes[-1]})')
