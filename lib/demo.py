"""``dcn demo``: the two small networks that come with the project, plain beside deformable: scores on the shapes test images, and pictures."""
import argparse
import collections
import os
import time

import numpy as np

from lib.detect import in_project, overrides, print_written, shipped
from lib.errors import UserError
from lib.visualize.canvas import save

Network = collections.namedtuple('Network', 'title cfg prefix')
Network.__doc__ = """A column of the table: its title, its YAML file and the prefix of its shipped checkpoint."""

NETWORKS = {'rfcn': (
    Network('R-FCN', 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml', 'experiments/rfcn/shapes/shapes_rfcn'),
    Network('Deformable R-FCN', 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml', 'experiments/rfcn/shapes/shapes_rfcn_dcn'))}

Trial = collections.namedtuple('Trial', 'network cfg params all_boxes scores seconds')
Trial.__doc__ = """A tested network: params (arg_params, aux_params), all_boxes[class][image] (k, 5), the evaluator's scores, seconds for all images."""

SHORT_TRAINING = 3000       # iterations: under 15 minutes on two cores for the slower network
SCORED, SHOWN = 1e-3, 0.5   # smallest score that counts in the evaluation, as in testing; and that is drawn
PICTURED = 8                # test images on the sheet of detections


def main(argv=None):
    parser = argparse.ArgumentParser(prog='dcn demo', description='Test the two small networks that come with the project on generated images, plain beside '
                                     'deformable, and write pictures of what they find and where they look.')
    parser.add_argument('--family', choices=sorted(NETWORKS), default='rfcn', help='which networks (default %(default)s)')
    parser.add_argument('--train', action='store_true', help=f'first train both for {SHORT_TRAINING} iterations (at most 15 minutes each on two cores; an '
                        'interrupted training goes on where it stopped), then show those')
    parser.add_argument('--out', default='output/demo', metavar='DIR', help='folder for pictures and results (default %(default)s)')
    parser.add_argument('--gpus', metavar='LIST', help="GPU numbers, or 'cpu' (default: as the experiment files say)")
    parser.add_argument('--set', action='append', nargs='+', default=[], metavar='KEY=VALUE', dest='overrides', help='change keys of both experiment files')
    args = parser.parse_args(argv)
    networks = NETWORKS[args.family]
    cfgs = [configuration(network, args) for network in networks]
    files = [trained(cfg, args.gpus) if args.train else shipped(network.prefix + '-0000.params') for network, cfg in zip(networks, cfgs)]
    imdb, trials = tested(networks, cfgs, files, args)
    print('\n' + table(trials, imdb))
    print_written(pictures(trials, imdb, args.out))


def configuration(network, args):
    from lib.config import load_config
    training = [f'TRAIN.iterations={SHORT_TRAINING}'] if args.train else []
    return load_config(in_project(network.cfg), [f'output_path={args.out}', *training, *overrides(args)])


def trained(cfg, gpus):
    """Train, or go on with an interrupted training; the path of the last checkpoint."""
    from lib.checkpoint import latest_state, params_path
    from lib.engine import train_detector
    from lib.engine.training import checkpoint_prefix
    prefix = checkpoint_prefix(cfg)
    started = latest_state(prefix) is not None
    print(f'{"going on with" if started else "training"} {cfg.name} for {cfg.TRAIN.iterations} iterations; checkpoints: {prefix}-*.params')
    if not train_detector(cfg, gpus, resume=started):
        raise UserError('training was interrupted; the same command goes on from its last checkpoint')
    return params_path(prefix, latest_state(prefix))


def tested(networks, cfgs, files, args):
    """The test images' data set, and a Trial for each network."""
    from lib.dataset import get_imdb
    if not args.train:
        without_training_images(cfgs[0].dataset, args.out)
    imdb = get_imdb(cfgs[0], cfgs[0].dataset.test_image_set)
    return imdb, [trial(*each, imdb, args) for each in zip(networks, cfgs, files)]


def without_training_images(dataset, out):
    """Where the data set is not generated yet, generate its test images alone, the same ones, below ``out``: a few seconds instead of a minute."""
    from lib.dataset.shapes import generate
    if not os.path.isdir(dataset.dataset_path):
        print('generating the test images', flush=True)
        dataset.root_path = dataset.dataset_path = os.path.join(out, 'data')
        generate(dataset.dataset_path, train=1)


def trial(network, cfg, path, imdb, args):
    """Test one network with the project's tester; the scores come from the result files that it writes below ``args.out``."""
    from lib.checkpoint import read_params
    from lib.config import output_folder
    from lib.engine import Predictor, contexts
    from lib.engine.tester import checked_symbol, detect_all
    from lib.loader import TestLoader
    print(f'testing {network.title} on {imdb.num_images} images ({os.path.relpath(path)})', flush=True)
    params = read_params(path, process=True)
    symbol = checked_symbol(cfg, *params)
    predictors = [Predictor(symbol, context, *params) for context in contexts(cfg, args.gpus)]
    start = time.time()
    all_boxes = detect_all(predictors, TestLoader(imdb.gt_roidb(), cfg), imdb.num_classes, cfg, SCORED)
    seconds = time.time() - start
    scores = imdb.evaluate_detections(all_boxes, os.path.abspath(output_folder(cfg, cfg.dataset.test_image_set)))
    return Trial(network, cfg, params, all_boxes, scores, seconds)


def table(trials, imdb):
    """Scores in points, network by network in columns."""
    rows = [('', [trial.network.title for trial in trials] + ['difference'])]
    for metric in ('0.5', '0.7'):
        rows.append((f'mAP@{metric}', _points(trial.scores[f'mAP@{metric}'] for trial in trials)))
        for name in imdb.classes[1:]:
            rows.append((f'  AP@{metric} {name}', _points(trial.scores[f'AP@{metric}'][name] for trial in trials)))
    rows.append((f'seconds for {imdb.num_images} images', [f'{trial.seconds:.1f}' for trial in trials]))
    rows.append(('parameters in thousands', [f'{_size(trial.params) / 1e3:.0f}' for trial in trials]))
    return '\n'.join(f'{name:26s}' + ''.join(f'{value:>18s}' for value in values) for name, values in rows) + '\n'


def _points(values):
    """Fractions as points, and how much the last is above the first."""
    points = [100 * value for value in values]
    return [f'{value:.1f}' for value in points] + [f'{points[-1] - points[0]:+.1f}']


def _size(params):
    return sum(array.size for group in params for name, array in group.items() if not name.endswith('_test'))


def pictures(trials, imdb, out):
    """Write the three pictures; returns their paths."""
    from lib.visualize import pages
    roidb, deformable = imdb.gt_roidb(), trials[-1]
    chosen = [i * imdb.num_images // PICTURED for i in range(min(PICTURED, imdb.num_images))]
    images = {i: _pixels(roidb[i]) for i in chosen}
    truths = [pages.Found(roidb[i]['boxes'].astype(float), None, roidb[i]['gt_classes']) for i in chosen]
    columns = {trial.network.title: [found_on(trial.all_boxes, i) for i in chosen] for trial in trials}
    rule = f'{len(chosen)} of the {imdb.num_images} test images at equal distances (numbers {", ".join(str(i + 1) for i in chosen)}).'
    sheets = {'detections': pages.detections_page(list(images.values()), truths, columns, imdb.classes, SHOWN, rule)}
    sheets['sampling_points'] = sampling_points(deformable, images, dict(zip(chosen, truths)), imdb.classes)
    sheets['part_offsets'] = part_offsets(deformable, roidb, imdb.classes)
    return [save(os.path.join(out, name + '.png'), sheet) for name, sheet in sheets.items() if sheet is not None]


def _pixels(record):
    from lib.loader.image import load_image
    return load_image(record)


def found_on(all_boxes, image):
    """The detections on image number ``image``, best first."""
    from lib.visualize.pages import Found
    rows = np.concatenate([boxes[image] for boxes in all_boxes])
    classes = np.concatenate([np.full(len(boxes[image]), j) for j, boxes in enumerate(all_boxes)])
    order = np.argsort(-rows[:, 4], kind='stable')
    return Found(rows[order, :4], rows[order, 4], classes[order])


def sampling_points(trial, images, truths, names):
    """Where the deformable convolutions look: at objects of three sizes, at background and at a corner."""
    from lib.engine import Detector
    from lib.visualize import pages
    from lib.visualize.probe import deformable_layers
    layers = deformable_layers(Detector(trial.cfg, trial.params).symbol)
    detector = Detector(trial.cfg, trial.params, layers=[layer.offset for layer in layers])
    offsets = {}

    def spot(text, number, point=None):
        if number not in offsets:
            outputs = detector.outputs(images[number])[0]
            offsets[number] = [outputs[layer.offset][0] for layer in layers]
        size, shape = offsets[number][-1].shape[1:], images[number].shape[:2]
        cell = empty_cell(size, shape, truths[number].boxes) if point is None else tuple(
            int(np.clip(at * count / side, 0, count - 1)) for at, count, side in zip(point[::-1], size, shape))
        return pages.Spot(f'{text}, test image {number + 1}', images[number], offsets[number], cell)

    objects = by_size(trial.all_boxes, images)
    spots = [spot(f'the centre of the {word} {names[label]} found', number, (box[:2] + box[2:]) / 2) for word, number, box, label in objects]
    first, box = objects[0][1:3] if objects else (min(images), np.zeros(4))
    spots += [spot('background, far from every object', first),
              spot('the left border, beside the first object', first, (0, (box[1] + box[3]) / 2))]
    return pages.sampling_page(spots, [layer.name.partition('_')[0] for layer in layers],
                               f'Objects: the largest, the median and the smallest of those found on the sheet of detections at score {SHOWN:g}.')


def by_size(all_boxes, images):
    """The largest, median and smallest detection of score SHOWN and above on ``images``: (word, image number, box, class)."""
    found = [(number, box, label) for number in images for box, score, label in zip(*found_on(all_boxes, number)) if score >= SHOWN]
    found.sort(key=lambda item: -float(np.prod(item[1][2:] - item[1][:2] + 1)))
    places = {0: 'largest', len(found) // 2: 'median', len(found) - 1: 'smallest'} if found else {}
    return [(word, *found[place]) for place, word in places.items()]


def empty_cell(size, shape, boxes):
    """The cell (y, x) of a map ``size`` over an image ``shape`` (h, w), two cells from its border, that is farthest from all ``boxes``."""
    ys, xs = np.meshgrid(*((np.arange(2, count - 2) + 0.5) * side / count for count, side in zip(size, shape)), indexing='ij')
    away = [np.hypot(np.maximum(np.maximum(x1 - xs, xs - x2), 0), np.maximum(np.maximum(y1 - ys, ys - y2), 0)) for x1, y1, x2, y2 in boxes]
    y, x = np.unravel_index(np.min(away, axis=0).argmax(), ys.shape) if away else (0, 0)
    return y + 2, x + 2


def part_offsets(trial, roidb, names):
    """Where deformable RoI pooling puts its parts: the best detection of each class."""
    from lib.visualize import pages
    from lib.visualize.probe import PartNetwork
    network = PartNetwork(trial.cfg, trial.params)
    pooled = []
    for label in range(1, len(names)):
        best = [boxes[:, 4].max() if len(boxes) else -1.0 for boxes in trial.all_boxes[label]]
        number = int(np.argmax(best))
        if best[number] < 0:
            continue
        rows, image = trial.all_boxes[label][number], _pixels(roidb[number])
        box = rows[rows[:, 4].argmax(), :4]
        (offsets,), _ = network.offsets(image, [box])
        pooled.append(pages.Pooled(f'{best[number]:.2f}, test image {number + 1}', image, box, label, offsets))
    return pages.parts_page(pooled, names, 'Boxes: the best detection of each class on the whole test set.') if pooled else None
