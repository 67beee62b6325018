"""Bad inputs (bad_inputs.py): refused with MXNet's own error or, for bad numbers, without effect on anything else; no
crash.

History: stock MXNet 1.9.1 on the CPU reads wild memory for a RoI whose batch index is -1, for RoIs and parts that are
no numbers, and for too few channels in position-sensitive pooling; it accepts offsets of another batch size than the
data.
"""

import pytest

from tests.operators import bad_inputs


@pytest.mark.parametrize('name', bad_inputs.REFUSED)
def test_refused(name, need_own, bad_input_verdicts):
    need_own(name.split(',')[0], 'does not check everything')
    kind, _, message = bad_input_verdicts[name].partition(': ')
    assert kind == 'refused', bad_input_verdicts[name]
    assert len(message) > 20, 'the message must say what is wrong'
    assert 'Check failed' not in message and 'impossible shape' not in message


@pytest.mark.parametrize('name', bad_inputs.SURVIVED)
def test_survived(name, need_own, bad_input_verdicts):
    need_own(name.split(',')[0], 'crashes on bad numbers')
    verdict = bad_input_verdicts[name]
    assert verdict == 'defined' or verdict.startswith('refused: ')
