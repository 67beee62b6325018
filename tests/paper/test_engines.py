"""``dcn paper --ledger FILE --engines``: one row for each experiment, whatever its seeds and engines."""

from dcn import cli, ledger
from dcn.paper.engines import engines_table


def _test(engine, seed, score, symbol='net_a', **more):
    difference = {
        'TRAIN.lr': 0.1,
        'TRAIN.seed': seed,
        'output_path': f'./of-{engine}',
        'default.frequent': seed,
        **more,
    }
    difference.update({'engine.name': 'torch'} if engine == 'torch' else {})
    return {
        'cfg': f'{symbol}-{engine}-{seed}',
        'symbol': symbol,
        'difference': difference,
        'seed': seed,
        'updates': 20,
        'engine': {'name': engine},
        'checkpoint_sha256': f'{engine}{seed}{more}',
        'scores': {'mIoU': score, 'IoU': {'cat': 0.5}},
        'interval': {'scores': {'mIoU': [0.1, 0.9]}},
    }


def cells(entries):
    return engines_table(entries, lambda head, rows, right: [list(map(str, row)) for row in (head, *rows)])


def test_seeds_of_an_experiment_share_a_row_and_ranges_are_compared():
    tests = [_test('mxnet', seed, score) for seed, score in enumerate((0.5, 0.6, 0.55))]
    head, row = cells([*tests, _test('torch', 0, 0.58), _test('torch', 7, 0.7)])
    assert head[3:] == [
        'mxnet: mean (lowest to highest)', 'seeds', 'torch: mean (lowest to highest)', 'seeds', 'ranges'
    ]  # fmt: skip
    assert row == ['net_a', '20', 'mIoU', '55.0 (50.0 to 60.0)', '3', '64.0 (58.0 to 70.0)', '2', 'overlap']
    assert cells([*tests, _test('torch', 0, 0.613)])[1][5:] == ['61.3', '1', '1.3 apart']
    assert cells([*tests, _test('torch', 0, 0.45)])[1][-1] == '5.0 apart'


def test_other_settings_are_another_row():
    rows = cells([_test('mxnet', 0, 0.5), _test('torch', 0, 0.5, **{'TRAIN.lr': 0.2})])[1:]
    assert len(rows) == 2 and all('not run' in row and row[-1] == '' for row in rows)


def test_the_command_reads_a_ledger_and_writes_nothing(tmp_path, capsys):
    path = tmp_path / 'found.jsonl'
    assert cli.main(['paper', '--ledger', str(path), '--engines']) != 0
    assert 'there is no test in it' in capsys.readouterr().err
    ledger.write(str(path), [_test('mxnet', 0, 0.5), _test('torch', 0, 0.5)])
    before = path.read_bytes()
    assert cli.main(['paper', '--ledger', str(path), '--engines', '--markdown']) == 0
    assert '| net_a | 20 | mIoU | 50.0 | 1 | 50.0 | 1 | overlap |' in capsys.readouterr().out
    assert path.read_bytes() == before


def test_older_entries_without_interval_or_engine():
    old = {**_test('torch', 1, 0.4), 'interval': None}
    unknown = {'cfg': 'a', 'scores': {'mIoU': 0.1}}
    assert cells([unknown, _test('mxnet', 0, 0.5), old])[1][2:] == ['mIoU', '50.0', '1', '40.0', '1', '10.0 apart']
    assert len(cells([unknown])) == 1
