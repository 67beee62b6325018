"""``dcn segment``: semantic segmentation of any photo by any checkpoint."""

import argparse
from typing import Iterable, Optional

from easydict import EasyDict

from dcn.cli.arguments import network_arguments, photo_arguments
from dcn.cli.photos import Job, Network, chosen_network, each_photo, jobs, shapes_only

SHIPPED = Network(
    'experiments/deeplab/cfgs/shapes_deeplab_dcn.yaml', 'experiments/deeplab/shapes/shapes_deeplab_dcn-0000.params'
)
RELEASED = Network(
    'experiments/deeplab/cfgs/deeplab_resnet_v1_101_cityscapes_segmentation_dcn.yaml',
    'model/deeplab_dcn_cityscapes-0000.params',
)
PICTURES = ('seg_{}.png', 'overlay_{}.png')


def main(argv: Optional[list] = None) -> int:
    args = parser().parse_args(argv)
    work = jobs(args.photos, args.out, PICTURES)
    cfg, params = chosen_network(args, SHIPPED, RELEASED)
    if not args.cfg:
        from dcn.dataset.class_names import class_names

        print(shapes_only(class_names(cfg.dataset, 'segmentation')[1:], 'the 19 classes of Cityscapes', RELEASED))
    return segment_photos(cfg, params, work, args.gpus)


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog='dcn segment',
        description='Semantic segmentation of photos. Writes two pictures of each to --out: seg_NAME.png, whose '
        'pixel values are class numbers, shown in the colours of the classes; and overlay_NAME.png, the photo under '
        'these colours with a legend and the share of each class.',
    )
    photo_arguments(result, 'output/segment', required=True)
    network_arguments(result)
    return result


def segment_photos(cfg: EasyDict, params: str, work: Iterable[Job], gpus: Optional[str] = None) -> int:
    """Segment the photos of ``work``, print the classes and their shares, write pictures; returns the exit status."""
    from dcn.dataset.label_map import write_palette_png
    from dcn.engine import Segmenter, contexts
    from dcn.visualize.canvas import picture_colours, save
    from dcn.visualize.segmentation import draw_segmentation, share_text, shares

    segmenter = Segmenter(cfg, params, contexts(cfg, gpus)[0])
    names, colours = segmenter.class_names, picture_colours(cfg.dataset)

    def draw(image, labels, pictures):
        write_palette_png(pictures[0], labels, segmenter.palette)
        save(pictures[1], draw_segmentation(image, labels, names, colours))
        return [f'  {names[label]:15s} {share_text(share):>8s}' for label, share in shares(labels, len(names))]

    return each_photo(work, lambda image, _: segmenter.segment(image), draw)
