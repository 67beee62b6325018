"""Detections of the authors' COCO networks on photos: Deformable R-FCN, or plain R-FCN with --rfcn_only."""
import argparse
import os
import sys

from lib.cli import guarded
from lib.config import load_config
from lib.detect import detect_photos, in_project, photo_arguments, sample_photos
from lib.errors import UserError

CFG = 'experiments/rfcn/cfgs/rfcn_coco_demo.yaml'


def checkpoint(name):
    """Path of one of the authors' checkpoints in model/."""
    path = os.path.join('model', f'{name}-0000.params')
    if not os.path.isfile(path):
        raise UserError(f'{path} is missing: it is the authors\' released checkpoint; put the file there and run this again')
    return path


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    photo_arguments(parser, 'output/rfcn_demo')
    parser.add_argument('--rfcn_only', action='store_true', help='the plain network instead of the deformable one')
    parser.add_argument('--threshold', type=float, default=0.7, metavar='S', help='show detections of this score and above (default %(default)s)')
    args = parser.parse_args(argv)
    symbol, name = ('resnet_v1_101_rfcn', 'rfcn_coco') if args.rfcn_only else ('resnet_v1_101_rfcn_dcn', 'rfcn_dcn_coco')
    params = checkpoint(name)
    cfg = load_config(in_project(CFG), [f'symbol={symbol}'])
    detect_photos(cfg, params, args.photos or sample_photos(), args.out, args.threshold, args.gpus)


if __name__ == '__main__':
    sys.exit(guarded(main))
