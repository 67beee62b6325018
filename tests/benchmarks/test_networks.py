"""dcn bench networks: the table and the JSON of one small network; no times are judged."""

import json

import pytest

from dcn.benchmarks import networks
from dcn.errors import UserError
from dcn.operators import native
from tests.export.running import PEERS, need_runtime

SMALL = (
    'network.units=[1,1,1,1]',
    'network.filters=[8,8,16,16]',
    'network.rpn_filters=16',
    'network.head_filters=16',
    'SCALES=[[96,128]]',
    'TEST.RPN_POST_NMS_TOP_N=20',
)
CFG = networks.CASES['Deformable R-FCN 600x1000'].cfg
CASES = {
    'small detector': networks.Network(CFG, (96, 128), SMALL),
    'small step': networks.Network(CFG, (96, 128), SMALL, training=True),
}


def test_a_table_and_json_of_every_peer(tmp_path, capsys, operators):
    path = tmp_path / 'times.json'
    networks.run('small', 1, str(path), cases=CASES)
    lines = capsys.readouterr().out.splitlines()
    assert '1 rounds' in lines[0] and lines[1].split() == ['own,', 'ms', *networks.PEERS[1:]]
    assert [line.split('  ')[0] for line in lines[2:4]] == list(CASES)
    assert lines[5].split() == ['peak', 'memory', 'of', 'the', 'process,', 'GB', *networks.PEERS]
    found = json.loads(path.read_text())['times']
    for row in found:
        assert set(row['seconds']) == set(networks.PEERS) and row['missing'] == {}
        assert all(seconds > 0 for seconds in row['seconds'].values())
        assert all(10**8 < size < 10**10 for size in row['peak'].values()) and set(row['peak']) == set(networks.PEERS)


def test_other_libraries_run_the_exported_network_and_no_training(tmp_path, capsys, operators):
    if PEERS is None:
        pytest.skip('set DCN_PEERS to a folder of environments: python lib/dcn/peers.py --make DIR openvino')
    need_runtime('openvino')
    path = tmp_path / 'times.json'
    networks.run('small', 1, str(path), PEERS, against=['openvino'], cases=CASES)
    detector, step = json.loads(path.read_text())['times']
    assert set(detector['seconds']) == {'own', 'openvino'} and detector['missing'] == {}
    assert detector['versions']['openvino'].startswith('openvino ')
    assert step['missing']['openvino'] == 'an exported file cannot be trained'
    assert 'small step: openvino failed: an exported file cannot be trained' in capsys.readouterr().out


def test_a_folder_without_libraries_gets_the_command_that_makes_them(tmp_path):
    with pytest.raises(UserError, match=f'peers.py --make {tmp_path} openvino onnxruntime'):
        networks.run('', 1, None, str(tmp_path))


def test_an_unknown_name_lists_the_cases():
    with pytest.raises(UserError, match='no case name contains that(.|\n)*DeepLab 1024x2048'):
        networks.run('unknown', 1, None)


@pytest.mark.skipif(native.bf16_known(), reason='the processor has bfloat16 products')
def test_bfloat16_is_not_timed_where_it_would_be_float32(capsys, operators):
    case = networks.Network(CFG, (96, 128), (*SMALL, 'engine.bfloat16=true'))
    networks.run('', 1, None, cases={'small': case})
    printed = capsys.readouterr().out
    assert 'small: own failed: UserError: this processor has no bfloat16' in printed
    assert 'small: plain failed: ' in printed and 'the published graph is of float32' in printed


def test_an_unknown_peer_lists_those_that_are_there():
    there = ', '.join(networks.PEERS[1:])
    with pytest.raises(UserError, match=f'--against openvino: expected some of {there}, which are there'):
        networks.run('', 1, None, against=['openvino'])
