"""Every graph is the original's, node by node."""
import ast
import json
from pathlib import Path

import pytest

from tests.graphs.make_golden import summary
from tests.graphs.normal_form import first_difference, from_description, from_symbol, read_golden

GOLDEN = read_golden()
DESCRIPTIONS = Path(__file__).resolve().parents[3] / 'shared' / 'spec' / 'symbols'


@pytest.fixture(scope='module')
def build(network):
    """A function: entry of the golden files -> symbol."""
    def build(graph):
        part = graph['part'] and '_' + graph['part']
        return network(graph['yaml'], [f'symbol={graph["symbol"]}'], graph['mode'] == 'train', part)[1].sym
    return build


@pytest.mark.parametrize('family, graphs', [
    # seven YAML files, the unused demo symbol, two sub-graphs of alternate training for two networks; train and test
    ('rfcn', 2 * (7 + 1) + 2 * 2 * 2),
    # four YAML files, two sub-graphs for two networks
    ('faster_rcnn', 2 * 4 + 2 * 2 * 2),
    ('deeplab', 2 * 5),
    ('fpn', 2 * 2)])
def test_the_golden_files_hold_every_graph(family, graphs):
    modes = [graph['mode'] for graph in GOLDEN.values() if graph['family'] == family]
    assert (modes.count('train'), modes.count('test')) == (graphs / 2, graphs / 2)


@pytest.mark.parametrize('name', GOLDEN)
def test_graph_equals_the_original(name, build):
    graph = GOLDEN[name]
    symbol = build(graph)
    records, _ = from_symbol(symbol, graph['input_shapes'])
    assert first_difference(records, graph['records']) is None
    assert symbol.list_outputs() == graph['outputs']


def test_proposal_target_has_plain_attributes_in_place_of_the_pickle(build):
    graph = GOLDEN['rfcn__resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem__train']
    _, attributes = from_symbol(build(graph), graph['input_shapes'])
    # values of the YAML file
    assert {name: ast.literal_eval(value) for name, value in attributes.items()} == {
        'fg_thresh': 0.5, 'bg_thresh_hi': 0.5, 'bg_thresh_lo': 0.0, 'bbox_means': (0, 0, 0, 0),
        'bbox_stds': (0.1, 0.1, 0.2, 0.2), 'bbox_weights': (1, 1, 1, 1)}


def test_a_difference_is_told_by_node_and_attribute():
    data = ['data', 'Variable', {}, [], [[1, 3]]]
    expected = [data, ['conv1', 'Convolution', {'pad': '(3, 3)'}, [['data', 0]], [[1, 8]]]]
    found = [data, ['conv1', 'Convolution', {'pad': '(1, 1)'}, [['data', 0]], [[1, 8]]]]
    assert first_difference(found, expected) == "node conv1: attribute pad = '(3, 3)' expected, found '(1, 1)'"
    assert first_difference(expected[:1], expected) == '2 nodes expected, found 1'
    assert first_difference(expected, expected) is None


@pytest.mark.skipif(not DESCRIPTIONS.is_dir(), reason='the descriptions of the original graphs are not here')
@pytest.mark.parametrize('name', GOLDEN)
def test_the_golden_file_says_what_the_descriptions_say(name):
    description = json.loads((DESCRIPTIONS / f'{name}.json').read_text())
    graph = dict(GOLDEN[name])
    graph.pop('family')
    assert first_difference(graph.pop('records'), from_description(description)) is None
    assert graph == summary(name, description)


@pytest.mark.skipif(not DESCRIPTIONS.is_dir(), reason='the descriptions of the original graphs are not here')
@pytest.mark.parametrize('name', GOLDEN)
def test_arguments_and_multipliers_equal_the_descriptions(name, build):
    description = json.loads((DESCRIPTIONS / f'{name}.json').read_text())
    symbol = build(GOLDEN[name])
    args, outs, auxs = symbol.infer_shape(**{key: tuple(shape) for key, shape in description['input_shapes'].items()})
    assert {key: list(shape) for key, shape in zip(symbol.list_arguments(), args)} == {
        **description['arg_shapes'], **description['input_shapes']}
    assert symbol.list_arguments() == description['list_arguments']
    assert symbol.list_auxiliary_states() == description['list_auxiliary_states']
    assert {key: list(shape) for key, shape in zip(symbol.list_auxiliary_states(), auxs)} == description['aux_shapes']
    assert {key: list(shape) for key, shape in zip(symbol.list_outputs(), outs)} == description['out_shapes']
    multipliers = {key: values['__lr_mult__'] for key, values in symbol.attr_dict().items()
                   if '__lr_mult__' in values and key in description['list_arguments']}
    assert multipliers == description['lr_mult']
