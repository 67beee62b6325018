"""``dcn detect``: any checkpoint on any photo."""

import argparse
from typing import Any, Dict, Iterable, Iterator, List, Optional

from easydict import EasyDict

from dcn.cli.arguments import network_arguments, photo_arguments, result_arguments, threshold_argument
from dcn.cli.photos import Job, Network, Sight, Videos, chosen_network, each_photo, jobs, shapes_only
from dcn.cli.records import Records, Table, check_records, records
from dcn.config.overriding import detection_arguments
from dcn.text import Parser

SHIPPED = Network(
    'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml', 'experiments/rfcn/shapes/shapes_rfcn_dcn-0000.params'
)
RELEASED = Network(
    'experiments/rfcn/cfgs/resnet_v1_101_coco_trainval_rfcn_dcn_end2end_ohem.yaml', 'model/rfcn_dcn_coco-0000.params'
)
PICTURES = ('{}.png',)


def main(argv: Optional[list] = None) -> int:
    args = parser().parse_args(argv)
    cfg, params = chosen_network(args, SHIPPED, 'detection')
    read = [args.cfg, params]
    work = jobs(args.photos, args.out, PICTURES, True, read, lambda inputs: check_records(args.json, args.csv, inputs))
    if not (args.cfg or args.params):
        from dcn.dataset.class_names import class_names

        print(shapes_only(class_names(cfg.dataset)[1:], 'the 80 classes of COCO', RELEASED))
    with records(args.json, args.csv, TABLE) as written:
        videos = Videos(args.every, args.frames)
        return detect_photos(cfg, params, work, args.threshold, args.gpus, videos, written)


def parser() -> argparse.ArgumentParser:
    result = Parser(
        prog='dcn detect',
        description='Detect objects on photos and in videos. Prints the boxes and writes each photo with its boxes to '
        '--out.',
        epilog='examples: dcn detect photo.jpg                                  (the small network of the project)\n'
        '          dcn detect holiday/ clip.mp4 --params model/rfcn_dcn_coco-0000.params --json found.json',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    photo_arguments(result, 'output/detect', required=True, videos=True)
    network_arguments(result)
    result_arguments(result)
    detection_arguments(result)
    threshold_argument(result, 0.5)
    return result


def detect_photos(
    cfg: EasyDict,
    params: str,
    work: Iterable[Job],
    threshold: float,
    gpus: Optional[str] = None,
    videos: Videos = Videos(),
    written: Optional[Records] = None,
) -> int:
    """Detect on the photos of ``work``, print what was found, write pictures and records; returns the exit status."""
    from dcn.engine import Detector, contexts
    from dcn.visualize.boxes import draw_detections
    from dcn.visualize.canvas import save

    detector = Detector(cfg, params, contexts(cfg, gpus)[0])
    sight = Sight(
        look=lambda image, _: detector.detect(image),
        save=lambda image, found, pictures: save(pictures[0], found.draw(image, threshold)),
        lines=lambda found: found_lines(found, detector.class_names, threshold),
        record=lambda found: found.to_dict(threshold),
        paint=lambda image, found: draw_detections(image, *found, detector.class_names, threshold, shortest=0),
    )
    return each_photo(work, sight, videos, written)


def rows(record: Dict[str, Any]) -> Iterator[list]:
    """Of a CSV file: one for each object."""
    for found in record['detections']:
        yield [found['class_id'], found['class'], found['score'], *found['box']]


TABLE = Table(('class_id', 'class', 'score', 'x1', 'y1', 'x2', 'y2'), rows)


def found_lines(found: Any, names: List[str], threshold: float) -> List[str]:
    """A line for each detection of score ``threshold`` and above: class, score, x1 y1 x2 y2 in pixels."""
    shown = int((found.scores >= threshold).sum())
    if not shown and len(found.scores):
        return [
            f'  nothing of score {threshold:g} or more; the best is {names[found.classes[0]]} {found.scores[0]:.3f} '
            '(--threshold shows lower scores)'
        ]
    rows = list(zip(*found))[:shown]
    return [
        f'  {names[label]:15s} {score:.3f}  ' + ' '.join(f'{value:7.1f}' for value in box) for box, score, label in rows
    ] or ['  nothing']
