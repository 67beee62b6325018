"""Deformable R-FCN as published, ResNet-101 at 600 x 1000 with the VOC experiment file, through its commands."""

import glob
import math
import os
import re
import subprocess
import sys

import pytest

from tests.engine.voc import write_voc

CFG = 'experiments/rfcn/cfgs/resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml'
VOC_NAMES = {'tall': 'person', 'wide': 'car'}


@pytest.fixture(scope='module')
def experiment(tmp_path_factory):
    """Overrides: four generated training images and one test image of real size, no pretrained model."""
    folder = str(tmp_path_factory.mktemp('voc'))
    write_voc(folder, train=4, test=1, size=(600, 1000))
    for path in glob.glob(os.path.join(folder, 'VOC2007', 'Annotations', '*.xml')):
        with open(path) as stream:
            text = stream.read()
        for generated, voc in VOC_NAMES.items():
            text = text.replace(generated, voc)
        with open(path, 'w') as stream:
            stream.write(text)
    return [
        "network.pretrained=''",
        f'dataset.root_path={folder}',
        f'dataset.dataset_path={folder}',
        f'output_path={folder}/output',
        'dataset.image_set=2007_train',
        'dataset.test_image_set=2007_test',
        'TRAIN.lr=0.0001',
    ]


def run(repository, script, overrides, *flags):
    command = [sys.executable, script, '--cfg', CFG, '--gpus', 'cpu', *flags, '--set', *overrides]
    done = subprocess.run(
        command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_trains_stops_resumes_and_tests(repository, experiment):
    script = 'experiments/rfcn/rfcn_end2end_train_test.py'
    first = run(repository, script, experiment, '--frequent', '1', '--max-iterations', '2')
    assert 'stopped after update 2' in first
    second = run(repository, script, experiment, '--frequent', '1', '--max-iterations', '1', '--resume')
    assert 'after 2 updates' in second and 'stopped after update 3' in second
    losses = [float(value) for value in re.findall(r'(?:Loss|Acc)=([^,\s]+)', first + second)]
    assert len(losses) >= 6 and all(math.isfinite(value) for value in losses)
    tested = run(repository, 'experiments/rfcn/rfcn_test.py', experiment + ['TEST.test_epoch=1'])
    scores = re.findall(r'Mean AP@0\.[57] = ([\d.]+)', tested)
    assert len(scores) == 2 and all(0 <= float(score) <= 1 for score in scores)
