"""Detections of the authors' COCO networks on photos: Deformable R-FCN, or plain R-FCN with --rfcn_only."""
import argparse
import sys

from lib.cli import guarded
from lib.detect import demo_config, detect_photos, in_model, photo_arguments, read_photos, threshold_argument

CFG = 'experiments/rfcn/cfgs/rfcn_coco_demo.yaml'
PLAIN, DEFORMABLE = ('resnet_v1_101_rfcn', 'rfcn_coco'), ('resnet_v1_101_rfcn_dcn', 'rfcn_dcn_coco')


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    photo_arguments(parser, 'output/rfcn_demo')
    parser.add_argument('--rfcn_only', action='store_true', help='the plain network instead of the deformable one')
    threshold_argument(parser, 0.7)
    args = parser.parse_args(argv)
    symbol, name = PLAIN if args.rfcn_only else DEFORMABLE
    params, cfg = in_model(name), demo_config(CFG, args, [f'symbol={symbol}'])
    photos, images = read_photos(args.photos)
    detect_photos(cfg, params, photos, images, args.out, args.threshold, args.gpus)


if __name__ == '__main__':
    sys.exit(guarded(main))
