"""The Speedometer's line, field by field."""

import logging
import re
from types import SimpleNamespace

from dcn.engine.runtime.progress import Speedometer


class Metrics:
    @staticmethod
    def get():
        return [('RPNAcc', 0.5), ('RPNLogLoss', 0.25)]


def test_line(caplog):
    speed = Speedometer(batch_images=4, frequent=2)
    with caplog.at_level(logging.INFO, 'dcn'):
        for batch in range(5):
            speed(3, batch, Metrics)
    # the first call starts the clock, so batch 0 gives no line
    lines = [record.message for record in caplog.records]
    assert len(lines) == 2
    assert re.fullmatch(
        r'Epoch\[3\] Batch \[2\]\tSpeed: \d+\.\d\d samples/sec\tTrain-RPNAcc=0\.500000,\tRPNLogLoss=0\.250000,\t',
        lines[0],
    )


def test_speed_after_resuming_counts_the_batches_that_passed(caplog, monkeypatch):
    """A second a batch from batch 97 on: 4 images a second in every line, the first one included."""
    clock = iter(range(100))
    monkeypatch.setattr('dcn.engine.runtime.progress.time', SimpleNamespace(time=lambda: float(next(clock))))
    speed = Speedometer(batch_images=4, frequent=2)
    with caplog.at_level(logging.INFO, 'dcn'):
        for batch in (97, 98):  # the clock is read at both: one second, one batch
            speed(3, batch, Metrics)
    assert 'Batch [98]\tSpeed: 4.00 samples/sec' in caplog.text
