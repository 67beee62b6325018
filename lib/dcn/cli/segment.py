"""``dcn segment``: a class for each pixel of any photo, by any checkpoint; and what DeepLab's demo has in common."""

import argparse
import os
import time

from dcn.cli.detect import Network, network_arguments, photo_arguments, prepare, print_written, shapes_only, stems
from dcn.dataset.label_map import write_palette_png
from dcn.visualize.canvas import save
from dcn.visualize.segmentation import draw_segmentation, share_text, shares

SHIPPED = Network(
    'experiments/deeplab/cfgs/shapes_deeplab_dcn.yaml', 'experiments/deeplab/shapes/shapes_deeplab_dcn-0000.params'
)
RELEASED = Network(
    'experiments/deeplab/cfgs/deeplab_resnet_v1_101_cityscapes_segmentation_dcn.yaml',
    'model/deeplab_dcn_cityscapes-0000.params',
)


def main(argv=None):
    args = parser().parse_args(argv)
    cfg, params, photos, images = prepare(args, SHIPPED, RELEASED)
    if not args.cfg:
        from dcn.dataset.class_names import class_names

        print(shapes_only(class_names(cfg.dataset, 'segmentation')[1:], 'the 19 classes of Cityscapes', RELEASED))
    segment_photos(cfg, params, photos, images, args.out, args.gpus)


def parser():
    result = argparse.ArgumentParser(
        prog='dcn segment',
        description='Find the class of each pixel of photos. Writes two pictures of each to --out: seg_NAME.png, whose '
        'pixel values are class numbers, shown in the colours of the classes; and overlay_NAME.png, the photo under '
        'these colours with a legend and the share of each class.',
    )
    photo_arguments(result, 'output/segment', required=True)
    network_arguments(result)
    return result


def segment_photos(cfg, params, photos, images, out, gpus=None):
    """Segment each of ``images``, print the classes and their shares, write <out>/seg_<name>.png and
    <out>/overlay_<name>.png; returns the paths."""
    from dcn.engine import Segmenter, contexts

    segmenter, written = Segmenter(cfg, params, contexts(cfg, gpus)[0]), []
    for photo, stem, image in zip(photos, stems(photos), images):
        start = time.time()
        labels = segmenter.segment(image)
        print(f'testing {os.path.basename(photo)} {time.time() - start:.4f}s')
        for label, share in shares(labels, len(segmenter.class_names)):
            print(f'  {segmenter.class_names[label]:15s} {share_text(share):>8s}')
        paths = [os.path.join(out, f'{kind}_{stem}.png') for kind in ('seg', 'overlay')]
        write_palette_png(paths[0], labels, segmenter.palette)
        save(paths[1], draw_segmentation(image, labels, segmenter.class_names, segmenter.palette))
        written += paths
    print_written(written)
    return written
