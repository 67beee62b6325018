"""The learning rate of the VOC experiment: 16551 images, flipped, on 4 devices; drop at epoch 4.83 of 7, warm-up of
1000 updates.
"""

import pytest
from easydict import EasyDict

from dcn.engine.training.schedule import CosineSchedule, StepSchedule, epoch_drops, make_schedule
from dcn.errors import UserError

VOC = EasyDict(
    lr=0.0005, lr_step='4.83', lr_factor=0.1, lr_schedule='step', warmup=True, warmup_lr=0.00005, warmup_step=1000
)
IMAGES = 2 * 16551


def voc(begin_epoch=0, **changes):
    return make_schedule(EasyDict(VOC, **changes), IMAGES, 4, total=57925, begin_epoch=begin_epoch)


def test_fractional_epochs_become_updates():
    assert epoch_drops(0.0005, '4.83', 0.1, 0, IMAGES / 4) == (0.0005, [39970])


@pytest.mark.parametrize(
    'update, lr', [(1, 5e-5), (999, 5e-5), (1000, 5e-4), (39970, 5e-4), (39971, 5e-5), (57925, 5e-5)]
)
def test_voc_schedule(update, lr):
    assert voc()(update) == pytest.approx(lr, rel=1e-12)


def test_steps_before_begin_epoch_are_taken_at_once():
    """COCO FPN drops at 4 and 6: a run that begins at epoch 5 starts at a tenth and drops one epoch later."""
    lr, steps = epoch_drops(0.01, '4,6', 0.1, 5, 100.0)
    assert lr == pytest.approx(0.001) and steps == [100]
    # a drop at the very epoch where the run begins counts as passed
    assert epoch_drops(0.01, '4,6', 0.1, 4, 100.0)[1] == [200]


def test_warm_up_comes_before_drops():
    schedule = StepSchedule(1.0, [5, 10], 0.1, warmup_step=8, warmup_lr=0.25)
    assert [schedule(n) for n in (1, 7)] == [0.25, 0.25]
    assert schedule(8) == pytest.approx(0.1)
    assert schedule(11) == pytest.approx(0.01)


def test_no_warm_up_and_no_step():
    assert voc(warmup=False, lr_step='')(1) == 0.0005


@pytest.mark.parametrize('steps', [[0], [5, 5], [6, 5]])
def test_steps_must_increase(steps):
    with pytest.raises(UserError, match='strictly increasing'):
        StepSchedule(1.0, steps)


def test_cosine():
    schedule = CosineSchedule(2.0, total=110, warmup_step=10, warmup_lr=1.0)
    assert [schedule(n) for n in (5, 10, 60, 110, 120)] == pytest.approx([1.5, 2.0, 1.0, 0.0, 0.0])
    assert isinstance(voc(lr_schedule='cosine'), CosineSchedule)
