"""The two halves of a detector: an RPN alone, and detection on proposals from files; in every family."""

import json
import os
import runpy

import numpy as np
import pytest

from dcn.checkpoint import load_param
from dcn.cli.train_test import dcn_test, dcn_train
from dcn.config import load_config
from dcn.dataset import get_imdb
from dcn.dataset.proposals import proposal_path, read_rpn
from dcn.engine.tasks.proposals import RoisOnly, RpnOnly
from dcn.engine.tasks.task import task_of
from dcn.engine.training.run import TrainingRun
from dcn.errors import UserError
from dcn.formats import params as params_file
from tests.engine.families import EXPERIMENTS, FAMILIES, NETWORKS, experiment
from tests.engine.voc import write_voc
from tests.experiments.layouts import write_selective_search

PSROI = os.path.join(EXPERIMENTS, 'rfcn/cfgs/deform_psroi_demo.yaml')
SIZE = (90, 120)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """4 training images, 2 test images, and 40 boxes of 'selective search' in each."""
    folder = str(tmp_path_factory.mktemp('voc'))
    overrides = write_voc(folder, train=4, test=2, size=SIZE)
    for name, count in (('train', 4), ('test', 2)):
        write_selective_search(folder, f'voc_2007_{name}', count, SIZE)
    return overrides


def arguments(family, deformable, data, folder, *changes):
    path, small = experiment(family, deformable)
    return ['--cfg', path, '--set', *small, *data, f'output_path={folder}', *changes]


def config(family, deformable, data, folder, *changes):
    _, path, _, *overrides = arguments(family, deformable, data, folder, *changes)
    return load_config(path, overrides)


def step(run):
    """Outputs of the device and the names of parameters that moved, after one step on the first batch."""
    before = {name: array.asnumpy() for name, array in run.trainer.params()[0].items()}
    batch = run.loader.batch(0, 0)
    (outputs,) = run.trainer.forward_backward(batch.inputs)
    run.trainer.update(0.01)
    run.metrics.update(outputs, batch.inputs[0])
    after = run.trainer.params()[0]
    return outputs, [name for name in before if np.abs(after[name].asnumpy() - before[name]).max() > 0]


@pytest.mark.parametrize('family, deformable', NETWORKS)
def test_an_rpn_alone_learns(family, deformable, data, tmp_path):
    cfg = config(family, deformable, data, tmp_path, 'TRAIN.END2END=false')
    run = TrainingRun(RpnOnly(cfg), 'cpu')
    outputs, moved = step(run)
    assert len(outputs) == 2 and any(name.startswith('rpn_') for name in moved)
    assert not any('bbox' in name and 'rpn' not in name for name in run.trainer.params()[0])
    values = dict(run.metrics.get())
    assert list(values) == ['RPNAcc', 'RPNLogLoss', 'RPNL1Loss']
    assert values['RPNLogLoss'] == pytest.approx(np.log(2), abs=0.1)
    assert run.task.test_weights(run.trainer.params()[0]) == {}
    largest = run.task.largest_inputs(run.symbol)
    assert all(np.prod(largest[name]) >= run.loader.batch(0, 0).inputs[0][name].size for name in ('data', 'label'))


@pytest.mark.parametrize('family, deformable', NETWORKS)
def test_detection_on_given_rois_learns(family, deformable, data, tmp_path):
    cfg = config(family, deformable, data, tmp_path, 'TRAIN.END2END=false', 'dataset.proposal=selective_search')
    run = TrainingRun(task_of(cfg), 'cpu')
    assert isinstance(run.task, RoisOnly)
    outputs, moved = step(run)
    inputs = run.loader.batch(0, 0).inputs[0]
    # Faster R-CNN takes its 16, the others all that there are
    assert inputs['rois'].shape == (1, 16 if family == 'faster_rcnn' else 64, 5)
    assert any('bbox' in name for name in moved) and not any('rpn' in name for name in run.trainer.params()[0])
    values = dict(run.metrics.get())
    assert list(values) == ['RCNNAcc', 'RCNNLogLoss', 'RCNNL1Loss']
    assert values['RCNNLogLoss'] == pytest.approx(np.log(3), abs=0.1)
    labels = outputs[2] if cfg.TRAIN.ENABLE_OHEM else inputs['label']
    assert (labels != -1).sum() == 16
    largest = run.task.largest_inputs(run.symbol)
    assert all((np.array(largest[name]) >= inputs[name].shape).all() for name in inputs)


@pytest.mark.parametrize('family', FAMILIES)
def test_dumped_proposals_train_and_test_a_detector(family, data, tmp_path, capsys):
    """End to end (deformable: the checkpoint holds more than the RPN's graph), then its proposals to files, then
    detection on those."""
    out = str(tmp_path / 'out')
    dcn_train(arguments(family, 1, data, out, 'TRAIN.iterations=2'))
    cfg = config(family, 1, data, out)
    stem = cfg.name
    for sets in (['2007_train'], []):
        dcn_test(arguments(family, 1, data, out) + ['--proposals', *sets])
    log = capsys.readouterr().out
    assert 'voc_2007_train: ' in log and 'voc_2007_test: ' in log and 'recall by IoU: 0.5 ' in log
    with open(os.path.join(out, stem, '2007_test', 'rpn_data', 'scores.json')) as stream:
        scores = json.load(stream)['scores']
    assert 0 <= scores['AR'] <= 1 and scores['proposals'] > 1
    imdb = get_imdb(cfg, '2007_test')
    boxes = read_rpn(proposal_path(cfg, imdb), imdb)
    for rows in boxes:
        assert 1 < len(rows) <= 32 and len(np.unique(rows, axis=0)) == len(rows)
        assert rows.min() >= 0 and (rows[:, 2:].max(axis=0) <= [SIZE[1] - 1, SIZE[0] - 1]).all()
    halves = ['TRAIN.END2END=false', 'TEST.HAS_RPN=false', 'TRAIN.model_prefix=rcnn']
    dcn_train(arguments(family, 1, data, out, *halves, 'TRAIN.iterations=2'))
    dcn_test(arguments(family, 1, data, out, *halves))
    assert 'Mean AP@0.7' in capsys.readouterr().out
    dcn_test(arguments(family, 1, data, out, *halves) + ['--proposals'])
    mean = np.mean([len(rows) for rows in boxes])
    assert f'voc_2007_test: {mean:.1f} proposals an image, average recall {scores["AR"]:.4f}' in capsys.readouterr().out


SMALL_PSROI = [*FAMILIES['rfcn'][1], 'network.pooled_size=3', 'TRAIN.FLIP=true']


def test_the_original_script_trains_on_selective_search_stops_resumes_and_tests(data, tmp_path, capsys):
    """deform_psroi_demo.yaml has END2END and HAS_RPN false; two and six iterations equal eight."""
    main = runpy.run_path(os.path.join(EXPERIMENTS, 'rfcn/rfcn_train_test.py'))['main']
    command = ['--cfg', PSROI, '--set', *SMALL_PSROI, *data]
    straight, stopped = str(tmp_path / 'straight'), str(tmp_path / 'stopped')
    main(command + [f'output_path={straight}'])
    assert 'Mean AP@0.7' in capsys.readouterr().out
    main(command + [f'output_path={stopped}', '--max-iterations', '2'])
    assert 'not tested' in capsys.readouterr().out
    main(command + [f'output_path={stopped}', '--resume'])
    log = capsys.readouterr().out
    assert 'after 2 updates' in log and 'Mean AP@0.7' in log
    one, other = (
        params_file.read(os.path.join(folder, 'deform_psroi_demo', '2007_train', 'net-0001.params'))
        for folder in (straight, stopped)
    )
    assert list(one) == list(other) and 'arg:rfcn_bbox_weight_test' in one
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_other_proposals_are_other_detections(data, tmp_path, capsys):
    """Stored detections are of the proposals that they were made from."""
    command = ['--cfg', PSROI, '--set', *SMALL_PSROI, *data, f'output_path={tmp_path}', 'TRAIN.iterations=1']
    dcn_train(command)
    dcn_test(command)
    dcn_test(command)
    assert capsys.readouterr().out.count('testing 2/2') == 1
    other = str(tmp_path / 'other')
    write_selective_search(other, 'voc_2007_test', 2, (80, 110))
    dcn_test(command + [f'dataset.proposal_path={other}/selective_search_data'])
    assert 'testing 2/2' in capsys.readouterr().out


def test_measured_normalisation_reaches_the_test_weights(data, tmp_path):
    """BBOX_NORMALIZATION_PRECOMPUTED false, a deviation for each class: weights and biases of class k are scaled by
    those of class k, so that testing needs no others (spec I.13; the original scaled by the configuration's)."""
    out = str(tmp_path)
    changes = [
        'TRAIN.END2END=false',
        'TRAIN.BBOX_NORMALIZATION_PRECOMPUTED=false',
        'TRAIN.iterations=1',
        'dataset.proposal=selective_search',
    ]
    cfg = config('faster_rcnn', 0, data, out, *changes)
    task = RoisOnly(cfg)
    task.records()
    means, stds = (values.ravel() for values in task._normalisation)
    assert len(means) == 12 and np.ptp(stds[4:]) > 0.01 and (stds[:4] == 1).all()
    dcn_train(arguments('faster_rcnn', 0, data, out, *changes))
    args, _ = load_param(os.path.join(out, cfg.name, '2007_train', 'net'), 1)
    weight, bias = (args[f'bbox_pred_{kind}'].asnumpy() for kind in ('weight', 'bias'))
    np.testing.assert_allclose(args['bbox_pred_weight_test'].asnumpy(), weight * stds[:, None], rtol=1e-5)
    np.testing.assert_allclose(args['bbox_pred_bias_test'].asnumpy(), bias * stds + means, rtol=1e-5, atol=1e-7)


def test_the_tests_of_both_halves_equal_the_whole(data, tmp_path):
    """One checkpoint, tested as a whole or on its own dumped RoIs: the same scores, as R-FCN's pooling rounds them;
    the same boxes but for the rounding of RoIs to whole pixels, which the original does with those from files."""
    out = str(tmp_path)
    command = arguments('rfcn', 0, data, out, 'TRAIN.iterations=4')
    dcn_train(command)
    dcn_test(command + ['--proposals'])
    found = []
    for changes in ([], ['TEST.HAS_RPN=false']):
        dcn_test(command + changes + ['--ignore_cache', '--thresh', '0'])
        with np.load(
            os.path.join(out, config('rfcn', 0, data, out).name, '2007_test', 'voc_2007_test_detections.npz')
        ) as stored:
            # class, image, corners, score
            found.append(np.hstack([stored['index'], stored['rows']]))
    whole, halves = found
    close = np.abs(whole[:, None] - halves) <= [0, 0, 1, 1, 1, 1, 1e-6]
    # a pixel more or less decides NMS here and there
    assert len(whole) > 40 and close.all(axis=2).any(axis=1).mean() > 0.9


@pytest.mark.parametrize('script', ['rfcn/rfcn_train_test.py', 'faster_rcnn/rcnn_train_test.py'])
def test_scripts_name_the_missing_proposals(script, data, tmp_path):
    family = script.split('/')[0]
    main = runpy.run_path(os.path.join(EXPERIMENTS, script))['main']
    with pytest.raises(UserError, match='voc_2007_train_rpn.npz: the proposals of voc_2007_train are missing'):
        main(arguments(family, 0, data, str(tmp_path)))


def test_proposals_of_a_segmentation_network_are_refused(tmp_path):
    path = os.path.join(EXPERIMENTS, 'deeplab/cfgs/deeplab_resnet_v1_101_voc12_segmentation_base.yaml')
    with pytest.raises(UserError, match='is a network for segmentation, not for detection'):
        dcn_test(['--cfg', path, '--set', f'output_path={tmp_path}', '--proposals'])
