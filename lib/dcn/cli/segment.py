"""``dcn segment``: semantic segmentation of any photo by any checkpoint."""

import argparse
from typing import Any, Dict, Iterable, Iterator, Optional

import numpy as np
from easydict import EasyDict

from dcn.cli.arguments import network_arguments, photo_arguments, result_arguments
from dcn.cli.photos import Job, Network, Sight, Videos, chosen_network, each_photo, jobs, shapes_only
from dcn.cli.records import Records, Table, check_records, records
from dcn.text import Parser

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
    cfg, params = chosen_network(args, SHIPPED, 'segmentation')
    read = [args.cfg, params]
    work = jobs(args.photos, args.out, PICTURES, True, read, lambda inputs: check_records(args.json, args.csv, inputs))
    if not (args.cfg or args.params):
        from dcn.dataset.class_names import class_names

        print(shapes_only(class_names(cfg.dataset, 'segmentation')[1:], 'the 19 classes of Cityscapes', RELEASED))
    with records(args.json, args.csv, TABLE) as written:
        return segment_photos(cfg, params, work, args.gpus, Videos(args.every, args.frames), written)


def parser() -> argparse.ArgumentParser:
    result = Parser(
        prog='dcn segment',
        description='Semantic segmentation of photos and videos. Writes two pictures of each photo to --out: '
        'seg_NAME.png, whose pixel values are class numbers, shown in the colours of the classes; and '
        'overlay_NAME.png, the photo under these colours with a legend and the share of each class. Of a video it '
        'writes the frames under these colours, without a legend.',
    )
    photo_arguments(result, 'output/segment', required=True, videos=True)
    network_arguments(result)
    result_arguments(result)
    return result


def segment_photos(
    cfg: EasyDict,
    params: str,
    work: Iterable[Job],
    gpus: Optional[str] = None,
    videos: Videos = Videos(),
    written: Optional[Records] = None,
) -> int:
    """Segment the photos of ``work``, print the classes and their shares, write pictures and records; returns the exit
    status."""
    from dcn.dataset.label_map import write_palette_png
    from dcn.engine import Segmenter, contexts
    from dcn.visualize.canvas import save
    from dcn.visualize.segmentation import paint_classes, share_text, shares

    segmenter = Segmenter(cfg, params, contexts(cfg, gpus)[0])
    names = segmenter.class_names

    def save_both(image, labels, pictures):
        write_palette_png(pictures[0], np.asarray(labels), segmenter.palette)
        save(pictures[1], labels.draw(image))

    sight = Sight(
        look=lambda image, _: segmenter.segment(image),
        save=save_both,
        lines=lambda labels: [
            f'  {names[label]:15s} {share_text(share):>8s}' for label, share in shares(labels, len(names))
        ],
        record=lambda labels: labels.to_dict(),
        paint=lambda image, labels: paint_classes(image, np.asarray(labels), names, segmenter.colours, shortest=0),
    )
    return each_photo(work, sight, videos, written)


def rows(record: Dict[str, Any]) -> Iterator[list]:
    """Of a CSV file: one for each class."""
    for found in record['classes']:
        yield [found['class_id'], found['class'], found['pixels'], found['share']]


TABLE = Table(('class_id', 'class', 'pixels', 'share'), rows)
