"""Metric formulas on numbers that a person can check: probabilities of one half, labels that are ignored."""

import math

import numpy as np
import pytest

from dcn.engine.tasks.metrics import (
    DetectionMetrics,
    accuracy,
    foreground_accuracy,
    foreground_fraction,
    l1_loss,
    log_loss,
)

PROB = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]], np.float32)
LABEL = np.array([0, 1, -1, 1], np.float32)


def test_label_minus_one_does_not_count():
    assert accuracy(PROB, LABEL) == (2, 3)
    value, count = log_loss(PROB, LABEL)
    assert count == 3 and value == pytest.approx(-2 * math.log(0.5) - math.log(0.1), rel=1e-6)


def test_log_of_zero_is_finite():
    assert log_loss(np.array([[0.0, 1.0]]), np.array([0]))[0] == pytest.approx(-math.log(1e-14))


def test_l1_divides_the_sum_by_counted_labels():
    assert l1_loss(np.full((4, 8), 0.5), LABEL) == (16.0, 3)


def test_foreground():
    assert foreground_fraction(LABEL) == (2, 3)
    assert foreground_accuracy(PROB, LABEL) == (1, 2)


def outputs():
    """One image, one anchor on a 1 x 2 map, two RoIs; the RPN's second cell is ignored."""
    rpn_prob = np.array([[[0.75, 0.5], [0.25, 0.5]]])
    return [
        rpn_prob,
        np.full((1, 4, 1, 2), 0.25),
        np.array([[[0.5, 0.5], [0.25, 0.75]]]),
        np.full((1, 2, 8), 0.125),
        np.array([[-1, 1]]),
    ], {'label': np.array([[0, -1]])}


def test_running_means_under_their_names():
    metrics = DetectionMetrics()
    for _ in range(2):
        metrics.update(*outputs())
    values = dict(metrics.get())
    assert list(values) == ['RPNAcc', 'RPNLogLoss', 'RPNL1Loss', 'RCNNAcc', 'RCNNLogLoss', 'RCNNL1Loss']
    assert values == pytest.approx(
        {
            'RPNAcc': 1,
            'RPNLogLoss': -math.log(0.75),
            'RPNL1Loss': 2,
            'RCNNAcc': 1,
            'RCNNLogLoss': -math.log(0.75),
            'RCNNL1Loss': 2,
        }
    )


def test_nothing_counted_is_nan_and_state_comes_back():
    metrics, other = DetectionMetrics(foreground=True), DetectionMetrics(foreground=True)
    assert math.isnan(dict(metrics.get())['R-CNN FG Accuracy'])
    metrics.update(*outputs())
    other.load_state(metrics.state())
    assert other.get() == metrics.get()
