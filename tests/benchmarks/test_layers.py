"""dcn bench layers: each convolution of a small network once; no times are judged."""

import json

import pytest

from dcn.benchmarks import layers, networks
from dcn.errors import UserError
from dcn.formats import symbol_json
from tests.benchmarks.test_networks import CASES, SMALL
from tests.export.running import PEERS, need_runtime

FPN = networks.Network(
    networks.CASES['FPN 800x1280'].cfg, (96, 128), (*SMALL, 'TEST_SCALES=[[96,128]]', 'TEST.USE_SOFTNMS=false')
)
PYRAMID = {'small pyramid': FPN}


@pytest.mark.parametrize('cases', [{'small detector': CASES['small detector']}, PYRAMID])
def test_each_convolution_has_its_time_also_where_weights_are_shared(tmp_path, capsys, operators, cases):
    path = tmp_path / 'layers.json'
    layers.run('', 2, str(path), cases=cases)
    (name,) = cases
    (case,) = json.loads(path.read_text())['cases']
    graph = symbol_json.loads(networks.tester(cases[name]).symbol.tojson())
    convolutions = {node.name for node in graph.nodes if node.op.endswith('Convolution')}
    assert set(case['layers']) == convolutions and case['case'] == name
    assert all(seconds > 0 for _, seconds in case['layers'].values())
    (kind, *_), _ = case['layers']['conv1']
    assert kind == 'direct' and case['layers']['conv1'][0][-3:] == [3, 8, [48, 64]]
    printed = capsys.readouterr().out.splitlines()
    assert printed[2] == name and printed[3].split() == ['kind', 'filters', 'map', 'layers', 'own']
    assert printed[-1].split()[:2] == ['all', str(len(convolutions))]


def test_openvino_names_the_same_layers(tmp_path, operators):
    if PEERS is None:
        pytest.skip('set DCN_PEERS to a folder of environments: python lib/dcn/peers.py --make DIR openvino')
    need_runtime('openvino')
    path = tmp_path / 'layers.json'
    layers.run('', 1, str(path), PEERS, cases=PYRAMID)
    (case,) = json.loads(path.read_text())['cases']
    assert set(case['openvino']['layers']) == set(case['layers'])


def test_layers_of_one_kind_and_size_are_one_row():
    one = layers.Layer('direct', (1, 1), (2, 2), (1, 1), 8, 16, (5, 6))
    other = one._replace(operator='Winograd', kernel=(3, 3), stride=(1, 1))
    case = {'layers': {'a': (one, 0.002), 'b': (one, 0.003), 'c': (other, 0.004)}}
    sizes, _, kinds = '\n'.join(layers.lines(case)).partition('\n\n')
    assert [line.split() for line in sizes.splitlines()[2:]] == [
        ['direct', '1x1,', 'stride', '2', '8', 'to', '16', '5x6', '2', '5.0'],
        ['Winograd', '3x3', '8', 'to', '16', '5x6', '1', '4.0'],
    ]
    assert kinds.splitlines()[-1].split() == ['all', '3', '9.0']
    case['openvino'] = {'layers': {'a': 0.001, 'b': 0.001, 'c': 0.008}}
    text = layers.lines(case)
    assert text[2].split()[-3:] == ['5.0', '2.0', '2.50'] and text[-1].split()[-2:] == ['10.0', '0.90']
    del case['openvino']['layers']['c']
    assert layers.lines(case)[-1].split()[-2:] == ['-', '-']


def test_times_of_a_trace_are_in_the_order_of_the_run():
    events = [('a', 'B', 20), ('a', 'E', 26), ('b', 'B', 1), ('b', 'E', 3), ('a', 'B', 5), ('a', 'E', 9), ('c', 'M', 0)]
    found = layers._times([dict(name=name, ph=kind, ts=at) for name, kind, at in events])
    assert {name: [round(1e6 * time) for time in times] for name, times in found.items()} == {'b': [2], 'a': [4, 6]}


@pytest.mark.parametrize('only', ['training step', 'bfloat16'])
def test_neither_training_steps_nor_bfloat16_have_layers_to_time(only):
    with pytest.raises(UserError, match='expected a case that is tested, found training steps'):
        layers.run(only, 1, None)
