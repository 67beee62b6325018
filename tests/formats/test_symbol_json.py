"""Symbol JSON against MXNet itself: what it saves, and what it makes of old files."""

import json

import pytest

from dcn.formats import symbol_json
from dcn.formats.symbol_json import FormatError, Opaque, loads
from tests.formats.corpus_symbols import GOOD_SYMBOLS, GOOD_SYMBOLS_WITH_CUSTOM, node, symbol, variable
from tests.graphs.normal_form import read_golden

import mxnet as mx

GOLDEN = read_golden()


def _data():
    return mx.sym.Variable('data', lr_mult=2.0, shape=(1, 3, 8, 8))


def _residual():
    conv = mx.sym.Convolution(
        _data(),
        num_filter=4,
        kernel=(3, 3),
        pad=(1, 1),
        no_bias=True,
        name='conv',
        attr={'__mood__': 'a"b\\c\t\u00e9\n'},
    )
    norm = mx.sym.BatchNorm(conv, fix_gamma=False, use_global_stats=True, name='bn')
    return mx.sym.Activation(norm, act_type='relu', name='relu') + mx.sym.Pooling(
        norm, kernel=(3, 3), stride=(1, 1), pad=(1, 1), name='pool'
    )


def _many_inputs():
    parts = mx.sym.SliceChannel(_data(), num_outputs=3, name='parts')
    return mx.sym.Group(
        [
            parts[1],
            mx.sym.Concat(*[parts[0]] * 12, name='wide'),
            mx.sym.LeakyReLU(parts[2], act_type='prelu', name='prelu'),
        ]
    )


def _deformable():
    offset = mx.sym.Convolution(_data(), num_filter=18, kernel=(3, 3), pad=(1, 1), name='offset')
    conv = mx.sym.contrib.DeformableConvolution(
        _data(), offset, num_filter=4, kernel=(3, 3), pad=(1, 1), name='res5a_branch2b'
    )
    return mx.sym.contrib.PSROIPooling(
        conv, mx.sym.Variable('rois'), spatial_scale=0.0625, output_dim=1, pooled_size=2, name='pool'
    )


def _with_subgraph():
    outputs, states = mx.sym.contrib.foreach(lambda x, s: (x + s, s * 2), mx.sym.Variable('x'), mx.sym.Variable('s'))
    return mx.sym.Group([outputs, states])


def _loss():
    fc = mx.sym.FullyConnected(mx.sym.Dropout(_data(), p=0.5), num_hidden=3, name='fc')
    return mx.sym.SoftmaxOutput(fc, name='softmax', multi_output=True)


MADE = [_data, _residual, _many_inputs, _deformable, _with_subgraph, _loss]


@pytest.mark.parametrize('make', MADE)
def test_text_is_mxnets_byte_for_byte(make):
    with mx.name.NameManager():
        made = make()
    text = made.tojson()
    graph = loads(text)
    assert symbol_json.dumps(graph) == text
    assert graph.arguments() == made.list_arguments()
    assert graph.auxiliary() == made.list_auxiliary_states()
    assert graph.arg_nodes == tuple(json.loads(text)['arg_nodes'])
    assert graph.version == 10901 and not graph.np_shape


def test_np_shape_is_kept():
    with mx.util.np_shape(True):
        text = _data().tojson()
    assert loads(text).np_shape and symbol_json.dumps(loads(text)) == text


def test_gluon_network_byte_for_byte(tmp_path):
    with mx.name.NameManager():
        network = mx.gluon.model_zoo.vision.resnet18_v2(prefix='net_')
        saved = network(mx.sym.Variable('data'))
    path = str(tmp_path / 'net-symbol.json')
    saved.save(path)
    graph = symbol_json.read_symbol(path)
    symbol_json.write_symbol(tmp_path / 'ours', graph)
    with open(path, 'rb') as theirs, open(tmp_path / 'ours', 'rb') as ours:
        assert ours.read() == theirs.read()
    assert graph.auxiliary() == saved.list_auxiliary_states()


@pytest.mark.parametrize('name', sorted(set(GOOD_SYMBOLS) - set(GOOD_SYMBOLS_WITH_CUSTOM)))
def test_old_files_become_what_mxnet_makes_of_them(name):
    """The upgrade rules, all at once: what MXNet would save after loading the file."""
    theirs = mx.sym.load_json(GOOD_SYMBOLS[name].decode('utf-8'))
    assert symbol_json.dumps(loads(GOOD_SYMBOLS[name])) == theirs.tojson()


def _attrs(graph, name):
    return next(dict(node.attrs) for node in graph.nodes if node.name == name)


def test_hidden_keys_move():
    graph = loads(GOOD_SYMBOLS['hidden_keys-symbol.json'])
    assert _attrs(graph, 'data') == {
        '__lr_mult__': '0.1',
        'weight_lr_mult': '7',
        'ctx_group_of_mine': 'dev1',
        '_wd_mult': '3',
        '__wd_mult__': '0',
    }
    assert _attrs(graph, 'fc_weight') == {'__lr_mult__': '10'} and _attrs(graph, 'fc_bias') == {'__wd_mult__': '0'}
    assert _attrs(graph, 'fc') == {
        'num_hidden': '4',
        '__lr_mult__': '3',
        '__mirror_stage__': 'True',
        '__force_mirroring__': '1',
    }


def test_hidden_key_of_an_input_that_is_no_variable_stays():
    graph = loads(
        symbol(
            [
                variable('a'),
                node('relu', 'r', [0]),
                variable('w'),
                node(
                    'FullyConnected',
                    'fc',
                    [1, 2],
                    attr={'data_lr_mult': '1', 'weight_lr_mult': '2', 'bias_lr_mult': '3'},
                ),
            ],
            900,
        )
    )
    assert _attrs(graph, 'fc') == {'data_lr_mult': '1', 'bias_lr_mult': '3'} and _attrs(graph, 'w') == {
        '__lr_mult__': '2'
    }


def test_missing_auxiliary_states_are_added():
    graph = loads(GOOD_SYMBOLS['mxnet_0_7-symbol.json'])
    assert graph.version == 800 and graph.auxiliary() == ['bn_moving_mean', 'bn_moving_var']
    assert _attrs(graph, 'bn_moving_var') == {'eps': '0.001', 'momentum': '0.9', '__init__': '["one", {}]'}


def test_all_axes_of_argmax():
    assert 'axis' not in _attrs(loads(GOOD_SYMBOLS['argmax_0_9_4-symbol.json']), 'm')
    assert _attrs(loads(GOOD_SYMBOLS['argmax_0_9_5-symbol.json']), 'm') == {'axis': '-1'}


def test_nothing_is_upgraded_in_a_file_of_today():
    graph = loads(
        symbol([variable('a', attrs={'lr_mult': '1'}), node('argmax', 'm', [0], attrs={'axis': '-1'})], 10901)
    )
    assert _attrs(graph, 'a') == {'lr_mult': '1'} and _attrs(graph, 'm') == {'axis': '-1'}


def test_order_of_visit_and_nodes_that_nobody_needs():
    graph = loads(GOOD_SYMBOLS['any_order-symbol.json'])
    assert [n.name for n in graph.nodes] == ['a', 'relu', 'flat'] and graph.heads == ((2, 0),)


def test_pickled_attribute_is_shown_as_opaque_and_kept():
    text = GOOD_SYMBOLS['pickled_cfg-symbol.json']
    graph = loads(text)
    cfg = graph.nodes[-1].attrs['cfg']
    assert (
        isinstance(cfg, Opaque)
        and str(cfg) == repr(cfg) == f'{cfg:s}' == f'<pickled Python object of {len(cfg)} characters, not opened>'
    )
    assert cfg.text == json.loads(text)['nodes'][-1]['attrs']['cfg']
    assert loads(symbol_json.dumps(graph)).nodes[-1].attrs['cfg'] == cfg
    assert graph.nodes[-1].num_outputs == 4


@pytest.mark.parametrize(
    'value',
    [
        '\x80\x04K\x01.',
        "b'\\x80\\x03}q\\x00.'",
        "(dp0\nS'a'\np1\nI1\ns.",
        "cposix\nsystem\n(S'true'\ntR.",
        '(lp0\nI1\na.',
    ],
)
def test_every_kind_of_pickle_is_opaque(value):
    escaped = value.replace('\\', '\\\\').replace(
        '\n', '\\n'
    )  # control characters stay as they are, as MXNet writes them
    text = symbol([variable('a', attrs={'x': 'VALUE'})], 10901).decode().replace('VALUE', escaped)
    attribute = loads(text).nodes[0].attrs['x']
    assert isinstance(attribute, Opaque) and attribute.text == value


@pytest.mark.parametrize(
    'value', ['(3, 3)', '0.5', 'N.', 'relu', '["zero", {}]', 'constant', '(1L, 2L)', 'cfg.yaml', 'c', '']
)
def test_ordinary_values_are_not(value):
    assert type(loads(symbol([variable('a', attrs={'x': value})], 10901)).nodes[0].attrs['x']) is str


def test_graph_cannot_be_changed():
    graph = loads(GOOD_SYMBOLS['attrs_1_9_1-symbol.json'])
    with pytest.raises(TypeError):
        graph.nodes[2].attrs['kernel'] = '(1, 1)'
    with pytest.raises(AttributeError):
        graph.nodes[2].name = 'other'


def test_a_chain_longer_than_any_recursion():
    count = 20_000
    graph = loads(symbol([variable('a')] + [node('relu', f'r{i}', [i]) for i in range(count)], 800))
    assert len(graph.nodes) == count + 1 and graph.heads == ((count, 0),)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FormatError, match='none-symbol.json: expected a readable file, found: No such file'):
        symbol_json.read_symbol(tmp_path / 'none-symbol.json')


@pytest.mark.parametrize('name', list(GOLDEN)[::9])  # some of each family
def test_graph_of_the_size_of_the_real_ones(name):
    """A graph of the original, written as symbol JSON and read again, keeps names, operators, attributes and links."""
    records = GOLDEN[name]['records']
    place = {label: index for index, (label, *_) in enumerate(records)}
    nodes = [
        node(
            'null' if op == 'Variable' else op,
            label.split('#')[0],
            [[place[source], output] for source, output in inputs],
            attrs=attrs,
        )
        for label, op, attrs, inputs, _ in records
    ]
    used = {source for _, _, _, inputs, _ in records for source, _ in inputs}
    heads = [[index, 0] for label, index in place.items() if label not in used]
    graph = loads(symbol(nodes, 10901, heads=heads))
    by_name = {(n.op, n.name): n for n in graph.nodes}
    assert len(graph.nodes) == len(records)
    for expected in nodes:
        found = by_name[expected['op'], expected['name']]
        assert dict(found.attrs) == expected['attrs']
        assert [graph.nodes[i].name for i, _ in found.inputs] == [
            nodes[entry[0]]['name'] for entry in expected['inputs']
        ]
