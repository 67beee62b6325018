"""A loss that stays at chance, and losses that grow: on made-up series, and in a training that cannot learn."""

import functools
import importlib.util
import logging
import re

import numpy as np
import pytest

from dcn.engine.tasks.metrics import (
    DetectionMetrics,
    Labels,
    RcnnMetrics,
    RpnMetrics,
    SegmentationMetrics,
    SharedMetrics,
    log_loss,
)
from dcn.engine.training.loss_watch import LossWatch, entropy
from dcn.world import World
from tests.engine.families import experiment
from tests.engine.voc import write_voc

needs_torch = pytest.mark.skipif(importlib.util.find_spec('torch') is None, reason='PyTorch is not installed')
EPOCH, IMAGES = 200, 64  # updates of an epoch, labels of an update
FREQUENT = np.array([0.7, 0.2, 0.1])


@pytest.fixture
def warned(caplog):
    """A function: (updates of the epochs, hard) -> warnings. An update is (labels (n,), prob (n, C)), or a loss."""

    def run(epochs, hard=False, least=EPOCH):
        watch = LossWatch(least)
        caplog.clear()
        with caplog.at_level(logging.WARNING, 'dcn'):
            for number, updates in enumerate(epochs):
                for update in updates:
                    if np.isscalar(update):  # far below chance
                        values = {'LogLoss': (update * IMAGES, IMAGES)}
                        labels = {'LogLoss': Labels(np.arange(IMAGES), IMAGES)}
                    else:
                        values = {'LogLoss': log_loss(update[1], update[0])}
                        labels = {'LogLoss': Labels(update[0], update[1].shape[1], hard)}
                    watch.add(values, labels)
                    watch.end_update()
                watch.end_epoch(number)
        return [record.getMessage() for record in caplog.records]

    return run


def answers(rng, share):
    """An update of a network that knows ``share`` of the labels and answers with the frequencies else."""
    labels = rng.choice(3, IMAGES, p=FREQUENT)
    prob = np.tile(FREQUENT, (IMAGES, 1))
    knows = rng.random(IMAGES) < share
    prob[knows] = 0.02
    prob[knows, labels[knows]] = 0.96
    return labels, prob


@pytest.mark.parametrize('share, told', [(0, True), (0.2, False), (0.9, False)])
def test_chance_is_the_best_constant_answer(share, told, warned):
    rng = np.random.default_rng(0)
    found = warned([[answers(rng, share) for _ in range(EPOCH)]])
    assert [bool(re.search('no better than chance, 0.(79|80)', line)) for line in found] == [True] * told


def test_uniform_and_confident_nonsense_are_worse_than_chance(warned):
    rng = np.random.default_rng(1)
    uniform = [(rng.choice(3, IMAGES, p=FREQUENT), np.full((IMAGES, 3), 1 / 3)) for _ in range(EPOCH)]
    assert 'LogLoss is 1.099, no better than chance' in warned([uniform])[0]
    nonsense = [(labels, np.roll(prob, 1, axis=1)) for labels, prob in (answers(rng, 0.9) for _ in range(EPOCH))]
    assert 'no better than chance' in warned([nonsense])[0]


def test_a_start_at_chance_is_no_fault(warned):
    """The second half of the epoch counts."""
    rng = np.random.default_rng(2)
    assert warned([[answers(rng, max(0, k - 80) / EPOCH) for k in range(EPOCH)]]) == []


def test_hard_examples_may_be_above_the_entropy_of_their_labels(warned):
    """Sixteen RoIs picked by their loss, three of them objects: a usual sight after OHEM, and below ln C."""
    labels = np.array([0] * 13 + [1, 2, 1])
    updates = [(labels, np.tile([0.8, 0.1, 0.1], (16, 1)))] * EPOCH
    assert log_loss(updates[0][1], labels)[0] / 16 > entropy(np.bincount(labels))
    assert warned([updates], hard=True) == [] and len(warned([updates])) == 1
    uniform = [(labels, np.full((16, 3), 1 / 3))] * EPOCH
    assert 'LogLoss is 1.099, no better than chance, 1.099' in warned([uniform], hard=True)[0]


def test_one_class_alone_cannot_be_told_apart(warned):
    assert warned([[(np.zeros(IMAGES, int), np.full((IMAGES, 3), 1 / 3))] * EPOCH]) == []


@pytest.mark.parametrize(
    'first, last, noise, told',
    [(1.0, 1.5, 0.3, True), (1.0, 1.1, 0.3, False), (1.0, 0.5, 0.3, False), (0.1, 0.16, 0.02, True)],
)
def test_losses_that_grow(first, last, noise, told, warned):
    rng = np.random.default_rng(4)
    series = [float(value) for value in np.linspace(first, last, EPOCH) + rng.normal(0, noise, EPOCH)]
    found = warned([series])
    assert [('the losses grew, from ' in line) for line in found] == [True] * told


def test_noise_alone_is_no_growth(warned):
    """Of 300 epochs with deviations as large as the loss itself."""
    rng = np.random.default_rng(5)
    assert not any(warned([[float(value) for value in rng.exponential(1, EPOCH)]]) for _ in range(300))


def test_each_kind_is_told_once(warned):
    rng = np.random.default_rng(6)
    growing = [float(value) for value in np.linspace(1, 3, EPOCH)]
    chance = [answers(rng, 0) for _ in range(EPOCH)]
    found = warned([chance, growing, chance, growing])
    assert len(found) == 2 and found[0].startswith('epoch 0: LogLoss') and found[1].startswith('epoch 1: the losses')
    assert all('docs/training.md' in line for line in found)


def test_short_epochs_are_judged_together(warned):
    rng = np.random.default_rng(7)
    epochs = [[answers(rng, 0) for _ in range(30)] for _ in range(10)]
    found = warned(epochs)
    assert len(found) == 1 and found[0].startswith('epoch 6: ')
    assert warned(epochs, least=301) == []


def test_labels_are_those_behind_the_losses():
    """As many as the loss counts, for every kind of metrics, in one process and in several."""
    rng = np.random.default_rng(8)
    rpn, rcnn = rng.integers(-1, 2, (2, 50)), rng.integers(-1, 4, (2, 20))
    heads = [rng.random((2, 2, 50)), rng.random((2, 200)), rng.random((2, 20, 4)), rng.random((2, 40)), rcnn]
    maps = rng.integers(0, 3, (1, 1, 6, 5))
    maps[0, 0, 0] = 255
    for metrics, outputs, inputs in (
        (DetectionMetrics(), heads, {'label': rpn}),
        (SharedMetrics(DetectionMetrics(), World()), heads, {'label': rpn}),
        (RpnMetrics(), heads[:2], {'label': rpn}),
        (RcnnMetrics(), heads[2:], {}),
        (RcnnMetrics(), heads[2:4], {'label': rcnn.clip(0)}),
        (SegmentationMetrics(), [rng.random((1, 3, 6, 5))], {'label': maps}),
    ):
        values, labels = metrics.update(outputs, inputs), metrics.labels(outputs, inputs)
        assert {name for name in values if name.endswith('LogLoss')} == set(labels)
        for name, found in labels.items():
            assert len(found.values) == values[name][1] and found.values.min() >= 0
            assert found.values.max() < found.classes == {'RPN': 2, 'RCNN': 4, 'FCN': 3}[name[: -len('LogLoss')]]
            assert found.hard == (name == 'RCNNLogLoss' and outputs[-1] is rcnn)


@pytest.mark.parametrize('engine', ['mxnet', pytest.param('torch', marks=needs_torch)])
def test_a_training_that_cannot_learn(engine, operators, tmp_path, monkeypatch, caplog):
    """Two epochs of eight updates at a learning rate of nothing."""
    from dcn.config import load_config
    from dcn.engine import train

    monkeypatch.setattr('dcn.engine.training.run.LossWatch', functools.partial(LossWatch, least=8))
    path, small = experiment('rfcn', 1)
    data = write_voc(str(tmp_path), train=4, test=1)
    changes = [f'output_path={tmp_path}', 'TRAIN.lr=0', 'TRAIN.end_epoch=2', f'engine.name={engine}']
    with caplog.at_level(logging.WARNING, 'dcn'):
        train(load_config(path, [*small, *data, *changes]), 'cpu')
    found = [record.getMessage() for record in caplog.records if 'LogLoss' in record.getMessage()]
    assert len(found) == 1 and re.match('epoch 0: R(PN|CNN)LogLoss is .*, no better than chance', found[0])
