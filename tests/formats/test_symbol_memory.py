"""What reading a symbol takes: under twice the file for networks as people have them, a known factor at worst."""

import gc
import tracemalloc

import pytest

from dcn.formats.symbol_json import dumps, loads, read_symbol
from tests.formats import harness

NETWORKS = [
    'resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem',
    'resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem',
    'deeplab_resnet_v1_101_voc12_segmentation_base',
]


@pytest.fixture(scope='module', params=NETWORKS)
def saved(request, operators, repository):
    """The text that MXNet saves for a training network."""
    from dcn.config import load_config, symbol_class

    (path,) = repository.glob(f'experiments/*/cfgs/{request.param}.yaml')
    cfg = load_config(str(path))
    return symbol_class(cfg)().get_symbol(cfg, True).tojson()


def _of_today(text):
    return text


def _of_2017(text):
    """With multipliers that are hidden keys now, and no initial values in the graph: every upgrade rule has to run."""
    text = text.replace('"attrs": {', '"attr": {').replace('__lr_mult__', 'lr_mult').replace('__init__', '__first__')
    return text.replace('"attr": {"mxnet_version": ["int", 10901]}', '"attrs": {"mxnet_version": ["int", 800]}')


@pytest.mark.parametrize('age', [_of_today, _of_2017])
def test_a_network_takes_less_than_twice_its_file(age, saved, tmp_path):
    path, text = tmp_path / 'net-symbol.json', age(saved)
    path.write_text(text)
    assert len(text) > 200_000
    gc.collect()
    tracemalloc.start()
    try:
        graph = read_symbol(path)
        result, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result < 1.7 * len(text) and peak < 2 * len(text)
    assert (graph.version == 800) == (age is _of_2017)
    if age is _of_today:
        assert dumps(graph) == text


def test_equal_attributes_are_one(saved):
    graph = loads(saved)
    different = {tuple(node.attrs.items()) for node in graph.nodes}
    assert len({id(node.attrs) for node in graph.nodes}) == len(different) < len(graph.nodes) / 5


def _listed(form, count=5000):
    return ','.join(form.format(i, i + 1) for i in range(count))


def _graph(nodes, heads='[0,0]', more=''):
    return f'{{"nodes":[{nodes}],"arg_nodes":[],"heads":[{heads}]{more}}}'


VARIABLE = '{"op":"null","name":"","inputs":[]}'
# the shortest texts that make the most of something, nothing equal in them that could be kept once
DENSE = {
    'heads': _graph(VARIABLE, _listed('[0,{0}]')),
    'nodes': _graph(_listed('{{"op":"{0:x}","name":"{0:x}","inputs":[]}}')),
    'used nodes': _graph(_listed('{{"op":"{0:x}","name":"","inputs":[[{1},0]]}}') + ',' + VARIABLE),
    'inputs': _graph(VARIABLE + ',{"op":"a","name":"","inputs":[' + _listed('[0,{0}]') + ']}', '[1,0]'),
    'attributes': _graph('{"op":"a","name":"","attrs":{' + _listed('"{0:x}":""') + '},"inputs":[]}'),
    'attributes of added variables': _graph(
        '{"op":"BatchNorm","name":"","attr":{' + _listed('"{0:x}":""') + '},"inputs":[]}'
    ),
    'hidden keys': _graph('{"op":"a","name":"","attr":{' + _listed('"{0:x}lr_mult":""') + '},"inputs":[]}'),
    'added variables': _graph(
        _listed('{{"op":"BatchNorm","name":"","attr":{{"{0:x}":""}},"inputs":[[{1},0]]}}') + ',' + VARIABLE
    ),
    'subgraphs': _graph('{"op":"a","name":"","inputs":[],"subgraphs":[' + ','.join([_graph(VARIABLE)] * 5000) + ']}'),
    'attributes of the graph': _graph(VARIABLE, more=',"attrs":{' + _listed('"{0:x}":["int",0]') + '}'),
    'wide characters': _graph('{"op":"null","name":"' + 'n' * (1 << 18) + '\U0001f600","inputs":[]}'),
}


@pytest.mark.parametrize('name', sorted(DENSE))
def test_the_densest_file_takes_a_known_multiple(name):
    data = DENSE[name].encode()
    assert harness.peak_of(loads, data)[0] <= harness.allowed_for_reading(data)
