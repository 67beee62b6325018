"""The engine as its users meet it: --engine torch, Detector(..., engine='torch'), checkpoints that pass between the
engines, processes that torchrun starts."""

import glob
import logging
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dcn.errors import UserError
from dcn.history import read
from tests.deeplab import tiny as segmentation
from tests.deeplab.test_training import VOC_DCN
from tests.engine.families import experiment
from tests.engine.voc import write_voc
from tests.graphs.filling import picture

pytest.importorskip('torch')
TORCH = 'engine.name=torch'
FAMILIES = ('rfcn', 'faster_rcnn', 'fpn', 'deeplab')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_voc(str(tmp_path_factory.mktemp('voc')), train=8, test=2, size=(96, 128))


@pytest.fixture(scope='module')
def label_maps(tmp_path_factory):
    return segmentation.write_voc(str(tmp_path_factory.mktemp('seg')), train=8, test=2)


def arguments(family, data, folder, *changes):
    """(path of the YAML file, overrides) of a small deformable network; no draws but those that the data key."""
    path, small = (VOC_DCN, segmentation.SMALL) if family == 'deeplab' else experiment(family, 1)
    order = ['TRAIN.SHUFFLE=false', 'TRAIN.FLIP=false', 'TRAIN.BATCH_IMAGES=1']
    return path, [*small, *data, *order, f'output_path={folder}', *changes]


def trained(folder):
    """{name: array} of the newest .params file below ``folder``."""
    from dcn.formats import params

    (path,) = glob.glob(f'{folder}/*/20*_train*/net-0001.params')
    return dict(params.read(path))


def logged(folder):
    """What the training below ``folder`` wrote of itself."""
    (path,) = folder.glob('**/*-training.jsonl')
    return read(str(path))


def test_a_detector_finds_the_same_boxes(operators, repository):
    from dcn.config import load_config
    from dcn.engine import Detector

    cfg = load_config(str(repository / 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml'))
    params = str(repository / 'experiments/rfcn/shapes/shapes_rfcn_dcn-0000.params')
    photo = (picture(160, 160)[0].transpose(1, 2, 0) + 110).clip(0, 255).astype(np.uint8)
    found, expected = (Detector(cfg, params, engine=engine).detect(photo) for engine in ('torch', 'mxnet'))
    best = expected.scores > 0.01  # weak ones may be rows that were filled up at random
    assert best.sum() > 3
    np.testing.assert_allclose(found.scores[: best.sum()], expected.scores[best], atol=1e-4)
    np.testing.assert_allclose(found.boxes[: best.sum()], expected.boxes[best], atol=0.02)
    with pytest.raises(UserError, match="engine: expected 'mxnet' or 'torch', found 'jax'"):
        Detector(cfg, params, engine='jax')


def test_a_training_goes_on_with_the_other_engine(data, tmp_path, caplog):
    """MXNet, then PyTorch, then MXNet; tested by PyTorch."""
    from dcn.config import load_config
    from dcn.engine import evaluate, train
    from dcn.engine.training.options import TrainOptions

    path, overrides = arguments('rfcn', data, tmp_path)
    for number, engine in enumerate(('mxnet', 'torch', 'mxnet')):
        caplog.clear()
        with caplog.at_level(logging.INFO, 'dcn'):
            cfg = load_config(path, [*overrides, f'engine.name={engine}'])
            train(cfg, 'cpu', TrainOptions(max_iterations=2, resume=number > 0))
        assert ('continuing with' in caplog.text) == (number > 0)
        assert 'changed settings' not in caplog.text  # the engine is told once
        assert not number or f'continuing with {engine}: parameters, optimizer state, data and schedule' in caplog.text
        assert f'stopped after update {2 * number + 2} of 8' in caplog.text
    scores = evaluate(load_config(path, [*overrides, TORCH]), 'cpu')
    assert 'mAP@0.5' in scores
    runs, records = logged(tmp_path)
    assert [run['engine']['name'] for run in runs] == ['mxnet', 'torch', 'mxnet']
    assert [record['iteration'] for record in records] == [2, 4, 6]
    assert all(record['time']['forward'] > 0 and record['time']['backward'] > 0 for record in records)


def test_training_in_bfloat16_is_for_pytorch_alone(data, tmp_path):
    from dcn.config import load_config
    from dcn.engine import train

    path, overrides = arguments('rfcn', data, tmp_path)
    with pytest.raises(UserError, match='engine.bfloat16 is true, but MXNet trains in float32 only; take'):
        train(load_config(path, [*overrides, 'engine.bfloat16=true']), 'cpu')
    with pytest.raises(UserError, match='engine.bfloat16 is true and engine.rewrite false'):
        load_config(path, [*overrides, 'engine.bfloat16=true', 'engine.rewrite=false'])


def command(path, overrides, *more):
    """torchrun with two workers of dcn train."""
    launcher = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', '--no-python']
    worker = [sys.executable, '-c', 'import sys; from dcn.cli import main; sys.exit(main())', 'train']
    return [*launcher, *worker, '--cfg', path, '--engine', 'torch', '--gpus', 'cpu', *more, '--set', *overrides]


def environment(repository):
    paths = os.pathsep.join([str(repository / 'lib'), str(repository)])
    return dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=paths)


@pytest.mark.parametrize('family', ['rfcn', *(pytest.param(f, marks=pytest.mark.full) for f in FAMILIES[1:])])
def test_two_workers_equal_one_process(family, data, label_maps, tmp_path, repository):
    """Three updates of two images: shared out by torchrun over gloo, and on two devices of one process."""
    from dcn.config import load_config
    from dcn.engine import train
    from dcn.engine.training.options import TrainOptions

    data = label_maps if family == 'deeplab' else data
    path, overrides = arguments(family, data, tmp_path / 'one', TORCH)
    train(load_config(path, overrides), 'cpu0,cpu1', TrainOptions(max_iterations=3))
    path, overrides = arguments(family, data, tmp_path / 'two')
    done = subprocess.run(
        command(path, overrides, '--max-iterations', '3'),
        env=environment(repository),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('stopped after update 3 of') == 1  # one writer
    assert 'on cpu in each of 2 processes' in done.stdout
    for one, two in zip(logged(tmp_path / 'one').records, logged(tmp_path / 'two').records):
        assert one['iteration'] == two['iteration'] == 3
        assert two['metrics'] == pytest.approx(one['metrics'], rel=1e-4, abs=1e-6)
    one, two = trained(tmp_path / 'one'), trained(tmp_path / 'two')
    assert set(one) == set(two)
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.full
def test_a_worker_that_dies_ends_the_job_and_resume_goes_on(data, tmp_path, repository):
    path, overrides = arguments('rfcn', data, tmp_path)
    log = tmp_path / 'log.txt'
    with open(log, 'w') as stream:
        job = subprocess.Popen(
            command(path, [*overrides, 'TRAIN.end_epoch=200'], '--checkpoint-every', '1'),
            env=environment(repository),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(log, 'Saved checkpoint', 400)
        workers = subprocess.run(['pgrep', '-P', str(job.pid)], capture_output=True, text=True).stdout.split()
        killed, start = int(workers[-1]), time.time()
        os.kill(killed, signal.SIGKILL)
        assert job.wait(60) != 0
        assert time.time() - start < 60
    finally:
        job.kill()
    text = log.read_text()
    assert re.search(rf'rank\s*: \d|local_rank: \d \(pid: {killed}\)', text), text[-2000:]
    assert str(killed) in text
    done = subprocess.run(
        command(path, [*overrides, 'TRAIN.end_epoch=200'], '--resume', '--max-iterations', '1'),
        env=environment(repository),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0 and 'resuming at epoch' in done.stdout, done.stderr


def _wait_for(path, text, seconds):
    for _ in range(seconds):
        if text in path.read_text():
            return
        time.sleep(1)
    raise AssertionError(path.read_text()[-2000:])


def test_only_the_writer_of_a_job_claims_the_folder(tmp_path, monkeypatch):
    from dcn.engine.runtime.run_folder import claimed

    with claimed(str(tmp_path)):
        monkeypatch.setenv('WORLD_SIZE', '2')
        monkeypatch.setenv('RANK', '1')
        with claimed(str(tmp_path)):
            pass
        assert (tmp_path / 'training.lock').exists()
        monkeypatch.setenv('RANK', '0')
        with pytest.raises(UserError, match='another training is at work in this folder'), claimed(str(tmp_path)):
            pass


def test_batches_are_not_skipped_by_the_pytorch_engine(data, tmp_path):
    from dcn.config import load_config
    from dcn.engine import train

    path, overrides = arguments('rfcn', data, tmp_path, TORCH)
    with pytest.raises(UserError, match='TRAIN.nonfinite: the PyTorch engine does not skip batches'):
        train(load_config(path, [*overrides, 'TRAIN.nonfinite=skip']), 'cpu')


def test_torchrun_needs_the_pytorch_engine(data, tmp_path, monkeypatch):
    from dcn.config import load_config
    from dcn.engine import train

    monkeypatch.setenv('WORLD_SIZE', '2')
    path, overrides = arguments('rfcn', data, tmp_path)
    with pytest.raises(UserError, match='torchrun started 2 processes, which the PyTorch engine alone'):
        train(load_config(path, overrides), 'cpu')


def test_shares_of_gpus(monkeypatch):
    import torch

    from dcn.torch.job import own_devices

    monkeypatch.setenv('LOCAL_RANK', '1')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    gpus = [torch.device('cuda', number) for number in (0, 0, 1, 1)]
    assert own_devices(gpus) == gpus[2:]
    with pytest.raises(UserError, match='torchrun started 2 processes on this machine for 3 GPUs'):
        own_devices(gpus[:3])
    assert own_devices([torch.device('cpu')] * 3) == [torch.device('cpu')]
