"""Somebody's own MXNet script that adds ``import dcn.operators``: the same numbers, and nothing on the screen that does
not concern him."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import json, sys
import mxnet as mx

mx.random.seed(7)
data = mx.sym.Variable('data')
offset = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=18, name='offset')
net = mx.sym.contrib.DeformableConvolution(data, offset, kernel=(3, 3), pad=(1, 1), num_filter=8, name='deform')
executor = net.simple_bind(mx.cpu(), data=(1, 4, 10, 12))
for array in executor.arg_dict.values():
    array[:] = mx.nd.random.uniform(-0.3, 0.3, shape=array.shape)
out = executor.forward(is_train=True)[0]
executor.backward([out])
found = {name: gradient.asnumpy().tolist() for name, gradient in executor.grad_dict.items()}

block = mx.gluon.contrib.cnn.DeformableConvolution(8, kernel_size=3, padding=1, in_channels=4,
                                                   offset_weight_initializer=mx.init.Normal(0.1))
block.initialize(mx.init.Normal(0.1))
image = mx.nd.random.uniform(shape=(2, 4, 10, 12))
image.attach_grad()
with mx.autograd.record():
    loss = (block(image) ** 2).sum()
loss.backward()
found.update(out=out.asnumpy().tolist(), loss=loss.asscalar().item(), image=image.grad.asnumpy().tolist())
json.dump(found, sys.stdout)
"""


@pytest.fixture
def script(tmp_path, repository):
    """script(text) -> the finished process of such a script in a folder of the user's; MXNet's lines of its log are
    taken out of stderr."""

    def run(text, **environment):
        path = tmp_path / 'mine.py'
        path.write_text(text)
        inherited = {name: value for name, value in os.environ.items() if name != 'OMP_NUM_THREADS'}
        settings = dict(inherited, PYTHONPATH=str(repository / 'lib'), **environment)
        process = subprocess.run(
            [sys.executable, str(path)],
            cwd=str(tmp_path),
            env=settings,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        process.stderr = ''.join(line for line in process.stderr.splitlines(True) if 'ubgraph backend' not in line)
        return process

    return run


def test_the_same_numbers_and_no_words(script, need_own):
    need_own('DeformableConvolution', 'would be compared with itself')
    plain, own = (script(first + SCRIPT, OMP_NUM_THREADS='1') for first in ('', 'import dcn.operators\n'))
    assert own.stderr == plain.stderr == ''
    expected, found = json.loads(plain.stdout), json.loads(own.stdout)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5 * np.abs(value).max(), err_msg=name)


def test_a_warning_names_the_line_of_the_user(script):
    """MXNet comes first, so that it is too late to set the number of threads."""
    process = script('import mxnet\nimport dcn.operators\n')
    place, _, sentence = process.stderr.partition(': RuntimeWarning: ')
    assert place.endswith('mine.py:2')
    assert sentence.startswith('mxnet was imported before dcn.operators and without OMP_NUM_THREADS')
