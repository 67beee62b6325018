"""A long run over images of changing sizes, in a process of its own: what it holds as it goes on.

    python -m tests.reliability.leaks train|detect ENGINE COUNT [--keep N] [--every N] [--resnet]

Prints a line of JSON every so many iterations or images: {"count", "resident" and "peak" memory in MB, "files" (open
descriptors), "threads"}. The network is the small R-FCN of the tests. --keep: executors of MXNet that are kept for
different sizes, 64 by default in training: with fewer, memory is level sooner. --resnet: trains the ResNet-101
Deformable R-FCN instead, an image of a new size each time, 90 sizes up to 96 x 160.
"""

import argparse
import json
import os
import tempfile

import numpy as np

from dcn.config import load_config
from dcn.history import memory
from dcn.paths import in_project
from tests.engine.test_end_to_end import PLAIN, SMALL
from tests.engine.voc import write_voc

RESNET = 'experiments/rfcn/cfgs/resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml'


def holds(count):
    """What this process holds now."""
    found = memory()
    return {
        'count': count,
        'resident': found['process'],
        'peak': found['peak'],
        'files': len(os.listdir('/proc/self/fd')),
        'threads': len(os.listdir('/proc/self/task')),
    }


def train(engine, count, keep, every, resnet):
    """Batches of two images of 40 sizes in ever new pairs; with checkpoints and epochs that end."""
    from dcn.engine.tasks.task import task_of
    from dcn.engine.training.options import TrainOptions
    from dcn.engine.training.run import TrainingRun

    rng, seen, most = np.random.default_rng(0), 0, 90 if resnet else 40
    wide = 161 if resnet else 129
    sizes = [(int(h), int(w)) for h, w in zip(rng.integers(64, 97, most), rng.integers(96, wide, most))]
    with tempfile.TemporaryDirectory() as folder:
        data = write_voc(os.path.join(folder, 'voc'), train=len(sizes), test=1, size=sizes)
        changes = [
            f'output_path={folder}/out',
            f'engine.name={engine}',
            'TRAIN.FLIP=false',
            'TRAIN.end_epoch=100',
            'TRAIN.ASPECT_GROUPING=false',
            'SCALES=[[64,128]]',
        ]
        small = SMALL
        if resnet:
            small = ['network.pretrained=', 'TRAIN.BATCH_IMAGES=1', 'TRAIN.RPN_POST_NMS_TOP_N=32']
            changes[-1] = 'SCALES=[[96,160]]'
        cfg = load_config(in_project(RESNET) if resnet else PLAIN, [*data, *small, *changes])
        run = TrainingRun(task_of(cfg), 'cpu', TrainOptions(checkpoint_every=50, max_iterations=count, frequent=10**6))
        if keep and engine == 'mxnet':
            run.trainer.devices[0].limit = keep
        update = run.trainer.update

        def counted(lr):
            nonlocal seen
            update(lr)
            seen += 1
            if seen % every == 0:
                show(holds(seen))

        run.trainer.update = counted
        run.fit()


def detect(engine, count, every):
    """Photos whose sides are drawn anew each time."""
    from dcn.engine import Detector

    cfg = load_config(PLAIN, ['gpus=', 'SCALES=[[96,160]]'])
    detector = Detector(cfg, in_project('experiments/rfcn/shapes/shapes_rfcn-0000.params'), engine=engine)
    rng = np.random.default_rng(0)
    for number in range(1, count + 1):
        height, width = rng.integers(60, 200, 2)
        detector.detect(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        if number % every == 0:
            show(holds(number))


def show(line):
    print(json.dumps(line), flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('work', choices=('train', 'detect'))
    parser.add_argument('engine', choices=('mxnet', 'torch'))
    parser.add_argument('count', type=int)
    parser.add_argument('--keep', type=int)
    parser.add_argument('--every', type=int, default=10)
    parser.add_argument('--resnet', action='store_true')
    args = parser.parse_args()
    if args.work == 'detect':
        detect(args.engine, args.count, args.every)
    else:
        train(args.engine, args.count, args.keep, args.every, args.resnet)
