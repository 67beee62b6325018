"""MXNet's line about subgraphs is swallowed, everything else on stderr arrives."""

import os

import pytest

from dcn.operators.quiet import without_noise


def test_only_the_noise_is_kept_back(capfd):
    with without_noise():
        os.write(2, b'[12:00:00] graph_executor.cc:60: MXNET_SUBGRAPH_BACKEND=NONE is detected, ...\nout of memory\n')
    assert capfd.readouterr().err == 'out of memory\n'


def test_stderr_comes_back_after_an_error(capfd):
    with pytest.raises(RuntimeError), without_noise():
        raise RuntimeError
    os.write(2, b'still here\n')
    assert capfd.readouterr().err == 'still here\n'
