"""Every graph is the original's, node by node, in the eyes of ``dcn diff`` and to the letter."""

import ast
import copy

import pytest

from dcn.inspection.graph.network import describe
from dcn.inspection.render.differences import graph_lines
from tests.graphs.normal_form import from_symbol, multipliers, variables
from tests.inspection.graphs import GOLDEN, from_records


@pytest.fixture(scope='module')
def build(network):
    """A function: entry of the golden files -> symbol."""

    def build(graph):
        part = graph['part'] and '_' + graph['part']
        return network(graph['yaml'], [f'symbol={graph["symbol"]}'], graph['mode'] == 'train', part)[1].sym

    return build


@pytest.mark.parametrize(
    'family, graphs',
    [
        # seven YAML files, the unused demo symbol, two sub-graphs of alternate training for two networks; train, test
        ('rfcn', 2 * (7 + 1) + 2 * 2 * 2),
        # four YAML files, two sub-graphs for two networks
        ('faster_rcnn', 2 * 4 + 2 * 2 * 2),
        ('deeplab', 2 * 5),
        ('fpn', 2 * 2),
    ],
)
def test_the_golden_files_hold_every_graph(family, graphs):
    modes = [graph['mode'] for graph in GOLDEN.values() if graph['family'] == family]
    assert (modes.count('train'), modes.count('test')) == (graphs / 2, graphs / 2)


def check_equal(found, graph):
    """Records ``found`` against an entry of the golden files. ``dcn diff`` tells what differs; it looks past names that
    MXNet made up, the order of nodes and the spelling of numbers, which here must be the original's too."""
    shapes = {key: tuple(shape) for key, shape in graph['input_shapes'].items()}
    expected, ours = (
        describe(from_records(records), label, shapes)
        for records, label in ((graph['records'], 'the original'), (found, 'ours'))
    )
    lines = graph_lines(expected, ours)
    assert not lines, 'the original -> ours:\n' + '\n'.join(lines)
    assert found == graph['records']


@pytest.mark.parametrize('name', GOLDEN)
def test_graph_equals_the_original(name, build):
    graph = GOLDEN[name]
    symbol = build(graph)
    check_equal(from_symbol(symbol, graph['input_shapes'])[0], graph)
    assert symbol.list_outputs() == graph['outputs']


def test_proposal_target_has_plain_attributes_in_place_of_the_pickle(build):
    graph = GOLDEN['rfcn__resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem__train']
    _, attributes = from_symbol(build(graph), graph['input_shapes'])
    # values of the YAML file
    assert {name: ast.literal_eval(value) for name, value in attributes.items()} == {
        'fg_thresh': 0.5,
        'bg_thresh_hi': 0.5,
        'bg_thresh_lo': 0.0,
        'bbox_means': (0, 0, 0, 0),
        'bbox_stds': (0.1, 0.1, 0.2, 0.2),
        'bbox_weights': (1, 1, 1, 1),
    }


def _change(place, value):
    def change(records):
        *path, last = place
        for step in path:
            records = records[step]
        records[last] = value

    return change


def _swap_first_nodes(records):
    records[1], records[2] = records[2], records[1]


GRAPH = {
    'input_shapes': {'data': [1, 3, 8, 8]},
    'records': [
        ['data', 'Variable', {}, [], [[1, 3, 8, 8]]],
        ['a_weight', 'Variable', {'__lr_mult__': '1.0'}, [], [[4, 3, 3, 3]]],
        ['b_weight', 'Variable', {}, [], [[4, 3, 3, 3]]],
        [
            'a',
            'Convolution',
            {'kernel': '(3, 3)', 'no_bias': 'True', 'num_filter': '4'},
            [['data', 0], ['a_weight', 0]],
            [[1, 4, 6, 6]],
        ],
        [
            'b',
            'Convolution',
            {'kernel': '(3, 3)', 'no_bias': 'True', 'num_filter': '4'},
            [['data', 0], ['b_weight', 0]],
            [[1, 4, 6, 6]],
        ],
        ['concat0', 'Concat', {'num_args': '2'}, [['a', 0], ['b', 0]], [[1, 8, 6, 6]]],
    ],
}


@pytest.mark.parametrize(
    'change, words',
    [
        (_change((3, 2, 'workspace'), '512'), 'a: attribute workspace absent -> 512'),
        (_change((3, 2, 'num_filter'), '5'), 'a_weight: shape 4 x 3 x 3 x 3 -> 5 x 3 x 3 x 3\n'),
        (_change((1, 2, '__lr_mult__'), '3.0'), 'a_weight: learning rate multiplier 1.0 -> 3.0'),
        (_change((5, 3), [['b', 0], ['a', 0]]), 'concat0: inputs in another order'),
        (_change((4, 1), 'Convolution_v1'), 'b: operator Convolution -> Convolution_v1'),
        # what dcn diff forgives
        (_change((5, 0), 'concat1'), "['concat1', 'Concat'"),
        (_change((3, 2, 'kernel'), '(3,3)'), "{'kernel': '(3,3)'"),
        (_change((5, 4), [[1, 8, 6, 7]]), '[[1, 8, 6, 7]]'),
        (_swap_first_nodes, 'At index 1 diff'),
    ],
)
def test_a_difference_is_told_by_node_and_attribute(change, words):
    found = copy.deepcopy(GRAPH['records'])
    check_equal(found, GRAPH)
    change(found)
    with pytest.raises(AssertionError) as error:
        check_equal(found, GRAPH)
    assert words in str(error.value)


@pytest.mark.parametrize('name', GOLDEN)
def test_arguments_states_and_multipliers_equal_the_original(name, build):
    graph = GOLDEN[name]
    arguments, states = variables(graph['records'])
    symbol = build(graph)
    args, _, auxs = symbol.infer_shape(**{key: tuple(shape) for key, shape in graph['input_shapes'].items()})
    assert {key: list(shape) for key, shape in zip(symbol.list_arguments(), args)} == arguments
    assert symbol.list_arguments() == list(arguments)
    assert symbol.list_auxiliary_states() == list(states)
    assert {key: list(shape) for key, shape in zip(symbol.list_auxiliary_states(), auxs)} == states
    assert {
        key: values['__lr_mult__']
        for key, values in symbol.attr_dict().items()
        if '__lr_mult__' in values and key in arguments
    } == {key: value for key, value in multipliers(graph['records']).items() if key in arguments}
