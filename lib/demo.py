"""``dcn demo``: the two small networks that come with the project, plain beside deformable: their scores on the test
images of the data set shapes, and pictures."""
import argparse
import collections
import os
import time

from lib.detect import in_project, more_arguments, print_written, shipped
from lib.errors import UserError

Network = collections.namedtuple('Network', 'title cfg prefix')
Network.__doc__ = """A column of the table: its title, its YAML file and the prefix of its shipped checkpoint."""

CFGS, SHIPPED = 'experiments/rfcn/cfgs', 'experiments/rfcn/shapes'
NETWORKS = {'rfcn': (
    Network('R-FCN', f'{CFGS}/shapes_rfcn_end2end_ohem.yaml', f'{SHIPPED}/shapes_rfcn'),
    Network('Deformable R-FCN', f'{CFGS}/shapes_rfcn_dcn_end2end_ohem.yaml', f'{SHIPPED}/shapes_rfcn_dcn'))}

Trial = collections.namedtuple('Trial', 'network cfg params all_boxes scores seconds')
Trial.__doc__ = """A tested network: params (arg_params, aux_params), all_boxes[class][image] (k, 5), the evaluator's
scores, seconds for all images."""

SHORT_TRAINING = 4000       # iterations: under 15 minutes on two cores for the slower network
SCORED = 1e-3               # smallest score that counts in the evaluation, as in testing


def main(argv=None):
    args = parser().parse_args(argv)
    networks = NETWORKS[args.family]
    cfgs = [configuration(network, args) for network in networks]
    if args.train:
        files = [trained(cfg, args.gpus) for cfg in cfgs]
    else:
        files = [shipped(network.prefix + '-0000.params') for network in networks]
    imdb, trials = tested(networks, cfgs, files, args)
    print('\n' + table(trials, imdb))
    from lib.visualize.showcase import pictures
    print_written(pictures(trials, imdb, args.out))


def parser():
    result = argparse.ArgumentParser(
        prog='dcn demo', description='Test the two small networks that come with the project on generated images, '
        'plain beside deformable, and write pictures of what they find and where they look.')
    result.add_argument('--family', choices=sorted(NETWORKS), default='rfcn', help='networks (default %(default)s)')
    result.add_argument(
        '--train', action='store_true', help=f'first train both for {SHORT_TRAINING} iterations (at most 15 minutes '
        'each on two cores; an interrupted training goes on where it stopped), then show those')
    more_arguments(result, 'output/demo')
    return result


def configuration(network, args):
    from lib.config import load_config
    training = [f'TRAIN.iterations={SHORT_TRAINING}'] if args.train else []
    return load_config(in_project(network.cfg), [f'output_path={args.out}', *training, *args.overrides])


def trained(cfg, gpus):
    """Train, or go on with an interrupted training; the path of the last checkpoint."""
    from lib.checkpoint import latest_state, params_path
    from lib.engine import train
    from lib.engine.training import checkpoint_prefix
    prefix = checkpoint_prefix(cfg)
    started = latest_state(prefix) is not None
    print(f'{"going on with" if started else "training"} {cfg.name} for {cfg.TRAIN.iterations} iterations; '
          f'checkpoints: {prefix}-*.params')
    if not train(cfg, gpus, resume=started):
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
    """Where the data set is not generated yet, generate its test images alone, the same ones, below ``out``: a few
    seconds instead of a minute."""
    from lib.dataset.shapes import generate
    if not os.path.isdir(dataset.dataset_path):
        print('generating the test images', flush=True)
        dataset.root_path = dataset.dataset_path = os.path.join(out, 'data')
        generate(dataset.dataset_path, train=1)


def trial(network, cfg, path, imdb, args):
    """Test a network with the project's tester; its scores come from the result files written below ``args.out``."""
    from lib.checkpoint import read_params
    from lib.config import output_folder
    from lib.engine import Predictor, contexts
    from lib.engine.predictor import checked_symbol
    from lib.engine.tester import detect_all
    from lib.loader import TestLoader
    print(f'testing {network.title} on {imdb.num_images} images ({os.path.relpath(path)})', flush=True)
    devices = contexts(cfg, args.gpus)
    params = read_params(path, process=True)
    symbol = checked_symbol(cfg, *params)
    predictors = [Predictor(symbol, context, *params) for context in devices]
    start = time.time()
    all_boxes = detect_all(predictors, TestLoader(imdb.gt_roidb(), cfg), imdb.num_classes, cfg, SCORED)
    seconds = time.time() - start
    folder = os.path.abspath(output_folder(cfg, cfg.dataset.test_image_set))
    return Trial(network, cfg, params, all_boxes, imdb.evaluate_detections(all_boxes, folder), seconds)


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
