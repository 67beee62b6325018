"""The Speedometer's line, field by field."""
import logging
import re

from lib.engine.progress import Speedometer


class Metrics:
    @staticmethod
    def get():
        return [('RPNAcc', 0.5), ('RPNLogLoss', 0.25)]


def test_line(caplog):
    speed = Speedometer(batch_images=4, frequent=2)
    with caplog.at_level(logging.INFO, 'lib'):
        for batch in range(5):
            speed(3, batch, Metrics)
    # the first call starts the clock, so batch 0 gives no line
    lines = [record.message for record in caplog.records]
    assert len(lines) == 2
    assert re.fullmatch(
        r'Epoch\[3\] Batch \[2\]\tSpeed: \d+\.\d\d samples/sec\tTrain-RPNAcc=0\.500000,\tRPNLogLoss=0\.250000,\t',
        lines[0])
