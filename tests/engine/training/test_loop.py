"""The loop: positions, checkpoints, interrupts and resuming, on a tiny network."""

import os
import signal

import numpy as np
import pytest

from dcn.engine.tasks.metrics import DetectionMetrics
from dcn.engine.training.loop import Limits, Observers, Plan, Position, fit
from dcn.engine.training.schedule import StepSchedule
from dcn.engine.training.trainer import Trainer
from dcn.errors import UserError
from tests.engine import tiny

import mxnet as mx

NET = tiny.symbol(batch_norm=True)
BATCHES, EPOCHS = 3, 2


class Run:
    """A trainer with its metrics; ``saved`` collects what save() was called with and the state at that moment."""

    def __init__(self, optimizer='sgd', devices=1):
        contexts = [mx.cpu(i) for i in range(devices)]
        self.trainer = Trainer(NET, contexts, *tiny.parameters(NET), kind=optimizer, undoable=True)
        self.loader = tiny.Loader(BATCHES, devices)
        self.metrics, self.saved = DetectionMetrics(), []

    def save(self, number, position):
        self.saved.append(((number, *position), self.state()))

    def state(self):
        arrays = {name: array.asnumpy() for group in self.trainer.params() for name, array in group.items()}
        return dict(arrays, **self.trainer.updater.state()), self.metrics.state(), self.trainer.updater.count

    def restore(self, state):
        arrays, metrics, count = state
        for device in self.trainer.devices:
            for group in (device.params, device.aux):
                for name, array in group.items():
                    array[:] = arrays[name]
        self.trainer.updater.load_state(arrays, count)
        self.metrics.load_state(metrics)
        return self

    def fit(self, start=Position(), batches=tiny.batches, end_update=100, **options):
        # the drop after update 3 and the warm-up show whether the count is restored
        schedule = StepSchedule(0.1, [3], 0.5, warmup_step=2, warmup_lr=0.01)
        plan = Plan(schedule, Limits(EPOCHS, end_update, **options), start)
        return fit(self.trainer, self.loader, plan, Observers(self.metrics), self.save, batches=batches)


def assert_same(left, right):
    assert left[2] == right[2]
    for one, other in zip(left[:2], right[:2]):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_checkpoints_at_epoch_ends():
    run = Run()
    assert run.fit()
    assert [position for position, _ in run.saved] == [(1, 1, 0), (2, 2, 0)]
    assert run.trainer.updater.count == BATCHES * EPOCHS


def test_checkpoints_in_between_carry_the_number_of_the_epoch_in_progress():
    run = Run()
    run.fit(checkpoint_every=2)
    assert [position for position, _ in run.saved] == [(1, 0, 2), (1, 1, 0), (2, 1, 1), (2, 2, 0)]


@pytest.mark.parametrize('optimizer', ['sgd', 'adam'])
@pytest.mark.parametrize('stop', [2, 3, 4])
def test_resuming_is_bit_for_bit_the_same(optimizer, stop):
    """Stops before, at and after the end of the first epoch; 4 updates in all, then to the end."""
    straight = Run(optimizer)
    straight.fit()
    first = Run(optimizer)
    assert not first.fit(max_iterations=stop)
    (_, *position), state = first.saved[-1]
    second = Run(optimizer).restore(state)
    assert second.fit(Position(*position))
    assert_same(second.state(), straight.state())


def test_end_update_stops_within_an_epoch():
    run = Run()
    assert run.fit(end_update=4)
    assert run.saved[-1][0] == (2, 1, 1)


def test_interrupt_finishes_the_iteration_and_saves():
    run = Run()

    def batches(loader, epoch, start):
        for index, batch in enumerate(tiny.batches(loader, epoch, start)):
            if index == 1:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    before = signal.getsignal(signal.SIGINT)
    assert not run.fit(batches=batches)
    assert run.trainer.updater.count == 2 and run.saved[-1][0] == (1, 0, 2)
    assert signal.getsignal(signal.SIGINT) is before


def test_metrics_start_anew_each_epoch():
    run = Run()
    run.fit()
    counted = run.metrics.state()['RPNAcc'][1]
    assert counted == BATCHES * 36


def poisoned(bad):
    """Batches of which number ``bad`` has a NaN."""

    def batches(loader, epoch, start):
        for index, batch in enumerate(tiny.batches(loader, epoch, start), start):
            if (epoch, index) == bad:
                batch.inputs[0]['data'][0, 0, 0, 0] = np.nan
            yield batch

    return batches


def test_a_batch_that_is_not_finite_names_itself_and_the_layer():
    run = Run()
    with pytest.raises(UserError, match=r'epoch 0, batch 1, images 0\.jpg: update 2: .* first in the input data'):
        run.fit(batches=poisoned((0, 1)))
    assert run.trainer.updater.count == 1


@pytest.mark.parametrize('stop', [1, 2, 4])
def test_batches_that_are_not_finite_are_left_out(stop, caplog):
    """Moving statistics forget them, too; and stopping anywhere changes nothing."""
    straight = Run()
    assert straight.fit(batches=poisoned((0, 1)), skip_nonfinite=True)
    assert straight.trainer.updater.count == BATCHES * EPOCHS - 1 and caplog.text.count('(skipped)') == 1
    assert all(np.isfinite(array).all() for array in straight.state()[0].values())
    first = Run()
    first.fit(batches=poisoned((0, 1)), skip_nonfinite=True, max_iterations=stop)
    (_, *position), state = first.saved[-1]
    second = Run().restore(state)
    second.fit(Position(*position), batches=poisoned((0, 1)), skip_nonfinite=True)
    assert_same(second.state(), straight.state())


@pytest.mark.parametrize('error', [OSError(5, 'Input/output error', 'images/7.jpg'), MemoryError('images/7.jpg')])
def test_a_loader_that_fails_leaves_a_checkpoint(error):
    run = Run()

    def failing(loader, epoch, start):
        yield from list(tiny.batches(loader, epoch, start))[:2]
        raise error

    with pytest.raises(type(error), match='images/7.jpg'):
        run.fit(batches=failing)
    assert [position for position, _ in run.saved] == [(1, 0, 2)]


def test_minutes_between_checkpoints():
    run = Run()
    run.fit(checkpoint_minutes=1e-9)
    assert [position for position, _ in run.saved] == [(1, 0, 1), (1, 0, 2), (1, 1, 0), (2, 1, 1), (2, 1, 2), (2, 2, 0)]
