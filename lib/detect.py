"""``dcn detect``: any checkpoint on any photo."""
import argparse
import os
import time

from lib.errors import UserError
from lib.visualize.boxes import draw_detections
from lib.visualize.canvas import save

SHAPES_CFG = 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml'
SHAPES_PARAMS = 'experiments/rfcn/shapes/rfcn_dcn_shapes-0000.params'
COCO_CFG = 'experiments/rfcn/cfgs/resnet_v1_101_coco_trainval_rfcn_dcn_end2end_ohem.yaml'
COCO_PARAMS = 'model/rfcn_dcn_coco-0000.params'
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def in_project(path):
    """A path of the project's own files, wherever the command runs."""
    return os.path.join(ROOT, path)


def detect_photos(cfg, params, photos, out, threshold, gpus=None):
    """Detect on each photo (paths), print what was found, write <out>/<stem>.png; returns the pictures' paths."""
    from lib.engine import Detector, contexts
    from lib.engine.detector import bgr_image
    images = [bgr_image(photo) for photo in photos]  # a wrong path is told before the checkpoint is loaded
    detector = Detector(cfg, params, contexts(cfg, gpus)[0])
    written = []
    for photo, image in zip(photos, images):
        start = time.time()
        found = detector.detect(image)
        shown = found.scores >= threshold
        print(f'testing {os.path.basename(photo)} {time.time() - start:.4f}s: {shown.sum()} of {len(found.scores)} detections score {threshold:g} or more')
        for box, score, label in zip(found.boxes[shown], found.scores[shown], found.classes[shown]):
            corners = ' '.join(f'{value:7.1f}' for value in box)
            print(f'  {detector.class_names[label]:15s} {score:.3f}  {corners}')
        picture = draw_detections(image, found.boxes, found.scores, found.classes, detector.class_names, threshold)
        written.append(save(os.path.join(out, unique_stem(photo, photos) + '.png'), picture))
    print('pictures: ' + ' '.join(written))
    return written


def photo_arguments(parser, out, required=False):
    """PHOTO..., --out and --gpus; photos that are not ``required`` default to :func:`sample_photos`."""
    parser.add_argument('photos', nargs='+' if required else '*', metavar='PHOTO',
                        help='image files' if required else 'image files (default: four photos that scikit-image ships)')
    parser.add_argument('--out', default=out, metavar='DIR', help='folder for the pictures (default %(default)s)')
    parser.add_argument('--gpus', metavar='LIST', help="GPU numbers, or 'cpu' (default: as the experiment file says)")


def sample_photos():
    """Photos that every installation has: a cat, a cup of coffee, motorcycles, a person."""
    import skimage
    folder = os.path.join(os.path.dirname(skimage.__file__), 'data')
    return [os.path.join(folder, name) for name in ('chelsea.png', 'coffee.png', 'motorcycle_left.png', 'astronaut.png')]


def unique_stem(photo, photos):
    """The file's stem, with its position where another photo has the same."""
    stem = os.path.splitext(os.path.basename(photo))[0]
    same = [other for other in photos if os.path.splitext(os.path.basename(other))[0] == stem]
    return stem if len(same) == 1 else f'{stem}_{photos.index(photo) + 1}'


def main(argv=None):
    parser = argparse.ArgumentParser(prog='dcn detect', description='Detect objects on photos; pictures go to --out.')
    photo_arguments(parser, 'output/detect', required=True)
    parser.add_argument('--cfg', metavar='YAML', help='the network\'s experiment file (default: the small shapes network)')
    parser.add_argument('--params', metavar='FILE', help='its checkpoint, PREFIX-NNNN.params (default: the shapes checkpoint that comes with the project)')
    parser.add_argument('--threshold', type=float, default=0.5, metavar='S', help='show detections of this score and above (default %(default)s)')
    parser.add_argument('--set', action='append', nargs='+', default=[], metavar='KEY=VALUE', dest='overrides', help='change keys of the experiment file')
    args = parser.parse_args(argv)
    if args.params and not args.cfg:
        raise UserError('--params needs --cfg: the experiment file of the network that the checkpoint belongs to')
    from lib.config import load_config
    from lib.dataset.class_names import class_names
    cfg = load_config(args.cfg or in_project(SHAPES_CFG), [text for group in args.overrides for text in group])
    if not args.params:
        names = ', '.join(class_names(cfg.dataset)[1:])
        print(f'This network knows only generated shapes ({names}). For the 80 classes of COCO get the authors\' {os.path.basename(COCO_PARAMS)}, put it '
              f'into model/ and add: --cfg {COCO_CFG} --params {COCO_PARAMS}')
    detect_photos(cfg, args.params or in_project(SHAPES_PARAMS), args.photos, args.out, args.threshold, args.gpus)
