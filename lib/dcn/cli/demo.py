"""``dcn demo``: the small networks that come with the project, a family's plain one beside its deformable one: their
scores on the test images of the data set shapes, and pictures."""

import argparse
import os
import time
from typing import List, NamedTuple, Optional, Tuple

from easydict import EasyDict

from dcn.cli.arguments import picture_arguments
from dcn.cli.photos import shipped
from dcn.config import load_config
from dcn.errors import UserError
from dcn.files import require_room
from dcn.paths import in_project
from dcn.text import Parser


class Network(NamedTuple):
    """A column of the table."""

    title: str
    cfg: str  # its YAML file
    prefix: str  # of its shipped checkpoint
    iterations: Optional[int]  # that --train gives it; None: as many as the file says


class Trial(NamedTuple):
    """A tested network."""

    network: Network
    cfg: EasyDict
    params: Tuple[dict, dict]  # arg_params, aux_params
    scores: dict
    seconds: float  # from loading the checkpoint to the scores


def _pair(title, folder, plain, deformable, ending, iterations=None):
    return tuple(
        Network(
            name, f'experiments/{folder}/cfgs/{stem}{ending}.yaml', f'experiments/{folder}/shapes/{stem}', iterations
        )
        for name, stem in ((title, plain), (f'Deformable {title}', deformable))
    )


# 4000 iterations: under 15 minutes on two cores for the slower network
NETWORKS = {
    'rfcn': _pair('R-FCN', 'rfcn', 'shapes_rfcn', 'shapes_rfcn_dcn', '_end2end_ohem', 4000),
    'faster_rcnn': _pair('Faster R-CNN', 'faster_rcnn', 'shapes_rcnn', 'shapes_rcnn_dcn', '_end2end'),
    'fpn': _pair('FPN', 'fpn', 'shapes_fpn', 'shapes_fpn_dcn', '_end2end_ohem'),
    'deeplab': _pair('DeepLab', 'deeplab', 'shapes_deeplab', 'shapes_deeplab_dcn', ''),
}


def main(argv: Optional[list] = None) -> None:
    args = parser().parse_args(argv)
    require_room(args.out, '--out')
    for family in NETWORKS if args.family == 'all' else [args.family]:
        show(family, args)


def parser() -> argparse.ArgumentParser:
    result = Parser(
        prog='dcn demo',
        description='Test two small networks of a family, plain and deformable, which come with the project, on '
        'generated images. Write pictures of their results and of where they sample.',
    )
    result.add_argument(
        '--family', choices=[*NETWORKS, 'all'], default='rfcn', help='networks: %(choices)s (default %(default)s)'
    )
    result.add_argument(
        '--train',
        action='store_true',
        help='train both first (at most 15 minutes each on two cores; an interrupted training continues where it '
        'stopped)',
    )
    picture_arguments(result, 'output/demo')
    return result


def show(family: str, args: argparse.Namespace) -> None:
    """Print the table of a family and write its pictures to <out>/<family>."""
    networks = NETWORKS[family]
    cfgs = [configuration(network, args) for network in networks]
    if args.train:
        files = [trained(cfg, args.gpus) for cfg in cfgs]
    else:
        files = [shipped(network.prefix + '-0000.params') for network in networks]
        without_training_images(cfgs, args.out)
    trials = [trial(*each, args.gpus) for each in zip(networks, cfgs, files)]
    print('\n' + table(trials))
    from dcn.showcase.demo import pictures

    print('\n'.join(['pictures:', *(f'  {path}' for path in pictures(trials, os.path.join(args.out, family)))]))


def configuration(network: Network, args: argparse.Namespace) -> EasyDict:
    training = [f'TRAIN.iterations={network.iterations}'] if args.train and network.iterations else []
    return load_config(in_project(network.cfg), [f'output_path={args.out}', *training, *args.overrides])


def trained(cfg: EasyDict, gpus: Optional[str]) -> str:
    """Train, or go on with an interrupted training; the path of the last checkpoint."""
    from dcn.checkpoint import checkpoint_prefix, newest, params_path
    from dcn.engine import train
    from dcn.engine.training.options import TrainOptions

    prefix = checkpoint_prefix(cfg)
    started = newest(prefix) is not None
    print(f'{"resuming" if started else "training"} {cfg.name}; checkpoints: {prefix}-*.params')
    if not train(cfg, gpus, TrainOptions(resume=started, overwrite=True)):
        raise UserError('training was interrupted; the same command continues from its last checkpoint')
    return params_path(prefix, newest(prefix).number)


def without_training_images(cfgs: List[EasyDict], out: str) -> None:
    """Where the data set is not generated yet, generate its test images alone, the same ones, below ``out``: a few
    seconds instead of a minute."""
    from dcn.dataset.shapes.detection import generate

    if os.path.isdir(cfgs[0].dataset.dataset_path):
        return
    for cfg in cfgs:
        cfg.dataset.root_path = cfg.dataset.dataset_path = os.path.join(out, 'data')
    print('generating the test images', flush=True)
    generate(cfgs[0].dataset.dataset_path, train=1)


def trial(network: Network, cfg: EasyDict, path: str, gpus: Optional[str] = None) -> Trial:
    """Test a network as ``dcn test`` does; result files go below its output_path."""
    from dcn.checkpoint import read_params
    from dcn.engine.tasks.evaluate import run_test
    from dcn.engine.tasks.task import TestOptions, task_of

    print(f'testing {network.title} ({os.path.relpath(path)})', flush=True)
    start = time.time()
    scores = run_test(task_of(cfg, is_train=False), gpus, TestOptions(ignore_cache=True), path).scores
    return Trial(network, cfg, read_params(path, process=True), scores, time.time() - start)


def table(trials: List[Trial]) -> str:
    """Scores in points, network by network in columns: the means, then each class."""
    rows = [('', [trial.network.title for trial in trials] + ['difference'])]
    scores = {key: [trial.scores[key] for trial in trials] for key in trials[0].scores}
    rows += [(key, _points(values)) for key, values in scores.items() if not isinstance(values[0], (dict, str))]
    for key, values in scores.items():
        if isinstance(values[0], dict):
            label = key.replace(' per class', '')
            rows += [(f'  {label} {name}', _points([value[name] for value in values])) for name in values[0]]
    rows.append(('seconds, all in all', [f'{trial.seconds:.1f}' for trial in trials]))
    rows.append(('parameters in thousands', [f'{_size(trial.params) / 1e3:.0f}' for trial in trials]))
    return '\n'.join(f'{name:28s}' + ''.join(f'{value:>25s}' for value in values) for name, values in rows) + '\n'


def _points(values):
    """Fractions as points, and how much the last is above the first; a dash where there is no score."""
    points = [None if value is None or value != value else 100 * value for value in values]
    texts = ['-' if point is None else f'{point:.1f}' for point in points]
    return texts + ['' if None in points else f'{points[-1] - points[0]:+.1f}']


def _size(params):
    return sum(array.size for group in params for name, array in group.items() if not name.endswith('_test'))
