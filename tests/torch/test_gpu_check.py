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


def test_every_part_on_the_cpu(tmp_path, monkeypatch, capsys):
    """Cases and networks by the way that a GPU's take: two of the cases, one of the networks."""
    import torch

    from tests.operators import cases
    from tests.torch import gpu_check, graphs

    stored, allowed = graphs.stored(), torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(graphs, 'stored', lambda: {t: e for t, e in stored.items() if t.startswith('deeplab small')})
    monkeypatch.setattr(cases, 'CONVOLUTIONS', {'one row, under padding': cases.CONVOLUTIONS['one row, under padding']})
    monkeypatch.setattr(cases, 'POOLINGS', {'parts per class': cases.POOLINGS['parts per class']})
    report = tmp_path / 'report.json'
    arguments = ['--device', 'cpu', '--small', '--rounds', '1', '--json', str(report)]
    assert gpu_check.main(arguments) == 0
    found = json.loads(report.read_text())
    assert found['device'] == 'CPU' and set(gpu_check.PARTS) < set(found)
    assert [row['network'] for row in found['steps']] == ['deeplab small train']
    assert {(row['network'], row['type']) for row in found['timing']} == {
        (f'deeplab {kind}', precision) for kind in ('test', 'train') for precision in ('float32', 'bfloat16')
    }
    assert all(row['img/s'] > 0 and 0 < row["the project's operators"] < 1 for row in found['timing'])
    assert torch.backends.cudnn.allow_tf32 == allowed
    monkeypatch.setattr(gpu_check, 'run_case', lambda case, device, **more: (case.out_grad, {}))
    assert gpu_check.main([*arguments[:2], '--skip', 'networks', 'steps', 'timing']) == 1
    assert 'wrong' in capsys.readouterr().out.splitlines()[-1]


def test_without_a_gpu_it_says_what_it_needs(capsys):
    import torch

    from tests.torch import gpu_check

    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    assert gpu_check.main([]) == 1
    assert 'Nothing was checked: PyTorch sees no GPU' in capsys.readouterr().out
