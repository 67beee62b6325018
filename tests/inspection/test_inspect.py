"""The command dcn inspect: files, shapes, pages, statistics, errors."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from dcn.cli.inspect import main
from dcn.errors import UserError
from dcn.formats import params as params_file
from dcn.formats.symbol_json import write_symbol
from dcn.inspection.graph.network import describe
from dcn.inspection.render.page import page_data, write_page
from tests.inspection.graphs import VOC_DCN, convolution, golden, make


@pytest.fixture
def small(tmp_path):
    """A symbol file of one convolution and its checkpoint with a NaN."""
    graph = make([('data', '', {}, []), *convolution('conv1', 'data', 2)])
    write_symbol(str(tmp_path / 'net-symbol.json'), graph)
    weight = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)
    weight[0, 0, 0, 0] = np.nan
    params_file.write(str(tmp_path / 'net-0001.params'), {'arg:conv1_weight': weight, 'aux:mean': np.ones(3)})
    return tmp_path


def test_a_symbol_file(small, capsys):
    main([str(small / 'net-symbol.json'), '--shape', 'data=1,3,5,7'])
    text = capsys.readouterr().out
    assert re.search(r'conv1 +Convolution 3x3, 2 +1 x 2 x 3 x 5 +54 +810\b|0\.00 M', text)
    assert re.search(r'total +54 ', text)


def test_json_for_programs(small, capsys):
    main([str(small / 'net-symbol.json'), '--json'])
    found = json.loads(capsys.readouterr().out)
    assert found['totals']['params'] == {'total': 54, 'backbone': 54, 'offset': 0, 'heads': 0}
    assert found['layers'][0]['multiply_adds'] == 54 * 598 * 998
    assert found['inputs'] == {'data': [1, 3, 600, 1000]}


def test_statistics_of_a_checkpoint(small, capsys):
    main([str(small / 'net-0001.params'), '--json'])
    weight, mean = json.loads(capsys.readouterr().out)['tensors']
    assert (weight['low'], weight['high'], weight['nan'], weight['shape']) == (1, 53, 1, [2, 3, 3, 3])
    assert weight['mean'] == 27 and weight['std'] == pytest.approx(np.arange(1, 54).std())
    assert (mean['dtype'], mean['low'], mean['nan']) == ('float64', 1, 0)
    main([str(small / 'net-0001.params')])
    assert 'warning: arg:conv1_weight holds 1 NaN and 0 infinite values' in capsys.readouterr().out


@pytest.mark.parametrize(
    'values, expected',
    [
        (np.array([np.inf, -np.inf, np.nan, 2], np.float16), (2, 2, 2, 1, 2)),
        (np.array([250, 255], np.uint8), (250, 255, 252.5, 0, 0)),
        (np.full(3, np.nan, np.float32), (None, None, None, 3, 0)),
        (np.zeros((0, 3), np.float32), (None,) * 3 + (0, 0)),
        # more values than one block
        (np.arange(600000, dtype=np.float32), (0, 599999, 299999.5, 0, 0)),
    ],
)
def test_statistics_by_hand(values, expected):
    from dcn.inspection.checkpoint.tensors import array_statistics

    found = array_statistics('x', values)
    assert (found.low, found.high, found.mean, found.nan, found.infinite) == expected


def test_dot_holds_every_operator(small, capsys):
    main([str(small / 'net-symbol.json'), '--dot'])
    text = capsys.readouterr().out
    assert text.startswith('digraph') and 'n0 -> n2' in text and 'Convolution 3x3, 2' in text


def test_the_page_is_one_file_with_everything_inside(tmp_path):
    graph, inputs, _ = golden(VOC_DCN + 'test')
    network = describe(graph, 'net</script><b>', inputs)
    write_page(str(tmp_path / 'page.html'), network)
    text = (tmp_path / 'page.html').read_text(encoding='utf-8')
    assert not re.search(r'(src|href)=|@import|url\(["\']?(?!#)', text)
    assert text.count('</script>') == 2 and '@DATA@' not in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))
    assert len(data['nodes']) == len(network.layers) + 2
    ids = {node['id'] for node in data['nodes']}
    assert all(source in ids for node in data['nodes'] for source in node['in'])


def test_the_page_of_a_checkpoint_knows_its_statistics(small):
    main([str(small / 'net-0001.params'), '--html', str(small / 'page.html')])
    assert '"nan":1' in (small / 'page.html').read_text(encoding='utf-8')


@pytest.mark.parametrize('what', ['net-symbol.json', 'net-0001.params'])
@pytest.mark.parametrize('name', ['net-symbol.json', 'net-0001.params', 'link'])
def test_a_page_never_replaces_what_is_read(what, name, small):
    """By any spelling; the checkpoint's graph is read too."""
    (small / 'link').symlink_to(small / 'net-symbol.json')
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    if (what, name) == ('net-symbol.json', 'net-0001.params'):
        return  # that one is not read
    with pytest.raises(UserError, match='this would replace'):
        main([str(small / what), '--html', f'{small}/../{small.name}/{name}'])
    assert {path.name: path.read_bytes() for path in small.iterdir()} == before


def test_page_data_is_plain(small):
    graph, inputs, _ = golden(VOC_DCN + 'train')
    assert json.loads(json.dumps(page_data(describe(graph, 'x', inputs), {})))['totals']['params']['total'] == 54007111


@pytest.mark.skipif(shutil.which('node') is None, reason='needs node to read JavaScript')
def test_the_scripts_are_javascript(repository):
    for name in ('page_layout.js', 'page.js'):
        subprocess.run(
            ['node', '--check', str(repository / 'lib' / 'dcn' / 'inspection' / 'render' / name)], check=True
        )


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['missing.params'], 'missing.params: no such file'),
        (['resnet_v1_101_rfn'], 'no such file, and no symbol class of that name; the nearest is resnet_v1_101_rfcn'),
        (['SYMBOL', '--shape', 'data'], 'expected NAME=SIZES'),
        (['SYMBOL', '--shape', 'data=1,0'], 'expected NAME=SIZES'),
        (['SYMBOL', '--shape', 'image=1,3'], 'expected an input of the graph (data), found'),
        (['SYMBOL', '--shape', 'data=1,3,2,2'], 'node conv1 (Convolution): expected data of at least the kernel'),
        (['PARAMS', '--dot'], 'expected a graph for --html or --dot'),
    ],
)
def test_errors_are_one_sentence(arguments, words, small):
    names = {'SYMBOL': str(small / 'net-symbol.json'), 'PARAMS': str(small / 'net-0001.params')}
    with pytest.raises(UserError) as error:
        main([names.get(word, word) for word in arguments])
    assert words in str(error.value) and '\n' not in str(error.value)


def test_a_yaml_file_is_built_in_a_process_of_its_own(repository, capsys):
    cfg = str(repository / 'experiments' / 'rfcn' / 'cfgs' / 'shapes_rfcn_dcn_end2end_ohem.yaml')
    # two --set: both count
    main([cfg, '--json', '--set', 'network.deformable_groups=2', '--set', 'network.rpn_filters=24'])
    found = json.loads(capsys.readouterr().out)
    assert found['inputs']['data'] == [1, 3, 160, 160]
    assert next(layer['shapes'] for layer in found['layers'] if layer['name'] == 'rpn_conv_3x3') == [[1, 24, 20, 20]]
    groups = {
        layer['attributes']['num_deformable_group']
        for layer in found['layers']
        if layer['operator'] == 'DeformableConvolution'
    }
    assert groups == {'2'}


def test_nothing_in_the_current_folder_is_run(repository, tmp_path, monkeypatch):
    """The graph is built by a Python that would import from the folder where it starts."""
    from dcn.inspection.sources import build

    for name in ('dcn', 'rfcn', 'mxnet', 'numpy', 'easydict', 'yaml', 'json', 'argparse', 'sitecustomize'):
        (tmp_path / f'{name}.py').write_text(f'open({str(tmp_path / "ran")!r}, "w").close()')
    monkeypatch.chdir(tmp_path)
    found = build(str(repository / 'experiments' / 'rfcn' / 'cfgs' / 'shapes_rfcn_end2end_ohem.yaml'))
    assert found.graph.nodes and not (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    'name, yaml',
    [
        # VOC's where there are several, the one most alike where there is none
        ('resnet_v1_101_rfcn_dcn', 'resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem'),
        ('rfcn_demo', 'rfcn_coco_demo'),
        ('rfcn.symbols.deform_conv_demo', 'deform_conv_demo'),
    ],
)
def test_a_symbol_class_is_built_at_its_experiment_file(name, yaml, monkeypatch):
    from dcn.inspection import sources

    calls = []
    monkeypatch.setattr(sources, 'build', lambda *arguments: calls.append(arguments))
    sources.open_source(name)
    path, mode, _, overrides, label = calls[0]
    assert (
        path.endswith(f'/{yaml}.yaml') and mode == 'test' and label.startswith(f'{name} (as in experiments/rfcn/cfgs/')
    )
    assert list(overrides) == (['symbol=rfcn_demo'] if name == 'rfcn_demo' else [])


def test_no_command_here_imports_mxnet(repository):
    modules = 'dcn.cli.inspect, dcn.cli.diff, dcn.cli.doctor, dcn.cli.convert'
    code = f'import sys, {modules}; sys.exit("mxnet" in sys.modules)'
    subprocess.run([sys.executable, '-c', code], cwd=str(repository), check=True)
