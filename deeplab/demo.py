"""Segmentations of photos by the authors' Cityscapes networks: Deformable DeepLab, or DeepLab with --deeplab_only."""
import argparse
import sys

from lib.cli import guarded
from lib.detect import demo_config, in_model, photo_arguments, read_photos
from lib.segment import segment_photos

CFG = 'experiments/deeplab/cfgs/deeplab_cityscapes_demo.yaml'
PLAIN = ('resnet_v1_101_deeplab', 'deeplab_cityscapes')
DEFORMABLE = ('resnet_v1_101_deeplab_dcn', 'deeplab_dcn_cityscapes')


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    photo_arguments(parser, 'output/deeplab_demo')
    parser.add_argument('--deeplab_only', action='store_true', help='the plain network instead of the deformable one')
    args = parser.parse_args(argv)
    symbol, name = PLAIN if args.deeplab_only else DEFORMABLE
    params, cfg = in_model(name), demo_config(CFG, args, [f'symbol={symbol}'])
    photos, images = read_photos(args.photos)
    segment_photos(cfg, params, photos, images, args.out, args.gpus)


if __name__ == '__main__':
    sys.exit(guarded(main))
