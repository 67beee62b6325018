"""A long run over images of changing sizes, in a process of its own: what it holds as it goes on.

    python -m tests.reliability.leaks train|detect ENGINE COUNT [--keep N] [--every N]

Prints a line of JSON every so many iterations or images: {"count", "resident" and "peak" memory in MB, "files" (open
descriptors), "threads"}. The network is the small R-FCN of the tests. --keep: executors of MXNet that are kept for
different sizes, 64 by default in training: with fewer, memory is level sooner.
"""

import argparse
import json
import os
import tempfile

import numpy as np

from dcn.config import load_config
from dcn.history import memory
from tests.engine.test_end_to_end import PLAIN, SMALL
from tests.engine.voc import write_voc


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


def train(engine, count, keep, every):
    """Batches of two images of 40 sizes in ever new pairs; with checkpoints and epochs that end."""
    from dcn.engine.tasks.task import task_of
    from dcn.engine.training.options import TrainOptions
    from dcn.engine.training.run import TrainingRun

    rng, seen = np.random.default_rng(0), 0
    sizes = [(int(h), int(w)) for h, w in zip(rng.integers(64, 97, 40), rng.integers(96, 129, 40))]
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
        cfg = load_config(PLAIN, [*data, *SMALL, *changes])
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


def detect(engine, count, keep, every):
    """Photos whose sides are drawn anew each time."""
    from dcn.engine import Detector
    from dcn.paths import in_project

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
    args = parser.parse_args()
    {'train': train, 'detect': detect}[args.work](args.engine, args.count, args.keep, args.every)
