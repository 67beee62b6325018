"""tools/torch_check.py on the CPU, as far as it can be without a GPU; and the graphs that it takes along."""

import json

import pytest

pytest.importorskip('torch')


def test_the_stored_graphs_are_those_of_today(operators):
    from tests.torch import graphs

    assert graphs.stored() == json.loads(json.dumps(graphs.made()))


def test_small_networks_on_the_cpu(tmp_path, capsys):
    """The GPU's part is taken by the CPU: everything agrees, and the report says so."""
    from tests.torch import gpu_check

    report = tmp_path / 'report.json'
    assert gpu_check.main(['--device', 'cpu', '--skip', 'kernels', 'steps', 'timing', '--json', str(report)]) == 0
    rows = json.loads(report.read_text())['networks']
    assert len(rows) == 4 and {row['verdict'] for row in rows} == {'right'}
    assert 'all right' in capsys.readouterr().out


def test_without_a_gpu_it_says_what_it_needs(capsys):
    import torch

    from tests.torch import gpu_check

    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    assert gpu_check.main([]) == 1
    assert 'Nothing was checked: PyTorch sees no GPU' in capsys.readouterr().out
