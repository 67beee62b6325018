"""Whole networks, exported and run by ONNX Runtime without this project, beside the MXNet engine."""

import json
import re
import subprocess

import cv2
import numpy as np
import pytest

from dcn.cli import main
from dcn.dataset.shapes.detection import SHAPES_CLASSES
from dcn.dataset.shapes.scene import make_scene
from dcn.errors import UserError
from dcn.export.builder import Builder
from dcn.export.runtime import runtime_python
from dcn.rng import generator
from tests.engine.families import experiment
from tests.export.running import PEERS, need_runtime
from tests.graphs.filling import parameter

SHAPES = {
    'rfcn': ('rfcn', 'shapes_rfcn{}_end2end_ohem', 'shapes_rfcn{}'),
    'faster_rcnn': ('faster_rcnn', 'shapes_rcnn{}_end2end', 'shapes_rcnn{}'),
    'fpn': ('fpn', 'shapes_fpn{}_end2end_ohem', 'shapes_fpn{}'),
    'deeplab': ('deeplab', 'shapes_deeplab{}', 'shapes_deeplab{}'),
}


def shipped(family, kind=''):
    """--cfg and --params of a shipped network; ``kind`` '' or '_dcn'."""
    folder, cfg, params = SHAPES[family]
    cfg = f'experiments/{folder}/cfgs/{cfg.format(kind)}.yaml'
    return ['--cfg', cfg, '--params', f'experiments/{folder}/shapes/{params.format(kind)}-0000.params']


def peers():
    return ['--peers', PEERS] if PEERS else []


def exported(folder, *arguments):
    """The certificate of an export with ``arguments``."""
    need_runtime('onnxruntime')
    assert main(['export', *arguments, *peers(), str(folder / 'net.onnx')]) == 0
    return json.loads((folder / 'net.certificate.json').read_text())


def test_a_deformable_detector_gives_the_engines_boxes(tmp_path):
    found = exported(tmp_path, *shipped('rfcn', '_dcn'), '--images', '6', '--preprocessing', 'inside')
    boxes = found['boxes']
    assert found['equal'] and boxes['engine'] == boxes['file'] == boxes['matched'] > 50
    assert boxes['largest_error_pixels'] < 0.01 and boxes['largest_error_score'] < 1e-5
    text = (tmp_path / 'net.certificate.txt').read_text()
    assert 'the results are the same' in text and found['file_sha256'] in text
    # made anew, from what the file says of its origin
    (tmp_path / 'net.certificate.json').unlink()
    assert main(['verify', *peers(), '--images', '3', str(tmp_path / 'net.onnx')]) == 0
    assert json.loads((tmp_path / 'net.certificate.json').read_text())['images'] == 3


@pytest.mark.full
@pytest.mark.parametrize('stage', ['network', 'boxes'])
@pytest.mark.parametrize('kind', ['', '_dcn'])
@pytest.mark.parametrize('family', sorted(SHAPES))
def test_every_shipped_network(tmp_path, family, kind, stage):
    found = exported(tmp_path, *shipped(family, kind), '--stage', stage, '--images', '14')
    assert found['equal']
    for name, entry in found['outputs'].items():
        assert entry['largest_error'] < (0.01 if name == 'rois_output' else 1e-5), name
    if family != 'deeplab':
        assert found['boxes']['matched'] > 50 and found['boxes']['at_threshold'] < 3


def filled(folder, family, changes):
    """--cfg, --params and --set of a small network with parameters that only its names decide."""
    from dcn.config import load_config
    from dcn.engine import task_of
    from dcn.formats import params

    path, small = experiment(family, 1)
    small = [change for change in small if not change.startswith('TEST_SCALES')]
    # soft-NMS keeps copies, and which RoIs are repeated where too few are found is drawn at random in the engine
    small.append('TEST.USE_SOFTNMS=false')
    graph = task_of(load_config(path, [*small, *changes]), is_train=False).test_graph()
    names, states = graph.symbol.list_arguments(), graph.symbol.list_auxiliary_states()
    shapes, _, state_shapes = graph.symbol.infer_shape(**graph.inputs)
    arrays = {f'arg:{k}': parameter(k, v) for k, v in zip(names, shapes) if k not in graph.inputs}
    arrays.update({f'aux:{k}': parameter(k, v) for k, v in zip(states, state_shapes)})
    params.write(str(folder / 'net-0000.params'), arrays)
    return ['--cfg', path, '--params', str(folder / 'net-0000.params')], ['--set', *small, *changes]


@pytest.mark.full
@pytest.mark.parametrize(
    'changes',
    [
        ['network.modulated=true', 'network.roi_pooling=modulated'],
        ['network.deform_rule=v2', 'TEST.RPN_MIN_SIZE=20'],
        ['network.IMAGE_STRIDE=32', 'TEST.RPN_PRE_NMS_TOP_N=50'],
    ],
)
@pytest.mark.parametrize('family', ['rfcn', 'faster_rcnn', 'fpn'])
def test_variants_of_the_deformable_networks(operators, tmp_path, family, changes):
    given, settings = filled(tmp_path, family, changes)
    found = exported(tmp_path, *given, '--images', '8', '--stage', 'network', *settings)
    assert found['equal']
    assert all(entry['largest_error'] < 2e-3 * max(1, entry['largest_value']) for entry in found['outputs'].values())


def test_a_file_of_a_fixed_size_and_with_half_the_bytes(tmp_path):
    found = exported(tmp_path, *shipped('faster_rcnn'), '--size', '96', '128', '--half', '--images', '3', '--force')
    assert [row['size'] for row in found['rows']] == [[96, 128]] * 3
    assert 0 < found['boxes']['largest_error_score'] < 0.01
    half = (tmp_path / 'net.onnx').stat().st_size
    exported(tmp_path, *shipped('faster_rcnn'), '--images', '1')
    assert half < 0.65 * (tmp_path / 'net.onnx').stat().st_size


@pytest.mark.full
@pytest.mark.parametrize('opset', ['20', '21'])
@pytest.mark.parametrize('family', ['rfcn', 'fpn'])
def test_newer_opsets(tmp_path, family, opset):
    assert exported(tmp_path, *shipped(family, '_dcn'), '--opset', opset, '--images', '4')['equal']


@pytest.mark.parametrize('runtime, ending', [('onnxruntime', '.onnx'), ('openvino', '.xml')])
def test_odd_photos(tmp_path, runtime, ending):
    """One pixel wide or high, larger than any of the data, without colours, without anything."""
    need_runtime(runtime)
    from dcn.config import load_config
    from dcn.engine import Detector
    from dcn.export.certificate import matches
    from dcn.export.runtime import Runtime

    _, cfg, _, params = shipped('rfcn', '_dcn')
    target = str(tmp_path / f'net{ending}')
    to = ['--to', 'openvino'] if ending == '.xml' else []
    given = ['--preprocessing', 'inside', '--images', '1', '--force']  # a photo counts in other tests
    assert main(['export', *shipped('rfcn', '_dcn'), *to, *given, *peers(), target]) == 0
    rng, scene = generator(0, 'odd photos'), make_scene(generator(0, 'docs', 4), 160).image
    gray = np.repeat(scene.mean(axis=2, keepdims=True), 3, axis=2)
    photos = [rng.integers(0, 256, (*shape, 3)) for shape in ((200, 1), (1, 300), (1, 1), (2, 3))]
    photos += [gray, np.zeros((100, 120, 3)), np.full((77, 333, 3), 255), cv2.resize(scene, (4000, 3000))]
    detector, counts = Detector(load_config(cfg), params), []
    with Runtime(target, PEERS) as file:
        for photo in photos:
            photo = np.ascontiguousarray(photo, np.uint8)
            own, (found, _) = detector.detect(photo), file.run({'image': photo})
            assert len(own.scores) == len(found['scores'])
            pairs = matches(
                (own.boxes, own.scores, own.classes), tuple(found[k] for k in ('boxes', 'scores', 'classes'))
            )
            counts.append(len(pairs))
            assert len(pairs) == len(own.scores)
    assert min(counts) == 0 and max(counts) > 8


def test_a_file_that_differs_is_refused(tmp_path, monkeypatch, capsys):
    need_runtime('onnxruntime')
    from dcn.export import certificate

    monkeypatch.setattr(certificate, 'matches', lambda own, others: [])
    path = tmp_path / 'net.onnx'
    command = ['export', *shipped('faster_rcnn'), '--images', '2', *peers(), str(path)]
    assert main(command) == 2
    assert 'without a match at IoU 0.99' in capsys.readouterr().err.splitlines()[-1] and not path.exists()
    assert main([*command, '--force']) == 0
    assert path.exists() and 'THE RESULTS DIFFER' in (tmp_path / 'net.certificate.txt').read_text()


def test_a_file_that_is_wrong_in_its_first_run_alone_is_refused(tmp_path, monkeypatch):
    need_runtime('onnxruntime')
    from dcn.export.runtime import Runtime

    run, runs = Runtime.run, []

    def spoiled(self, inputs):
        found, seconds = run(self, inputs)
        runs.append(seconds)
        return dict(found, classes=found['classes'] + (len(runs) == 1)), seconds

    monkeypatch.setattr(Runtime, 'run', spoiled)
    assert main(['export', *shipped('faster_rcnn'), '--images', '2', *peers(), str(tmp_path / 'net.onnx')]) == 2


def test_a_file_that_a_runtime_never_finishes_loading_is_one_sentence(tmp_path, monkeypatch, capsys):
    need_runtime('onnxruntime')
    from dcn.export import runtime

    monkeypatch.setattr(runtime, 'LONGEST', 0.01)
    sentence = error([*shipped('faster_rcnn'), '--images', '2', *peers(), str(tmp_path / 'net.onnx')], capsys)
    assert 'the runtime has not loaded it after 0 s; report it' in sentence


def test_the_file_explains_itself(tmp_path):
    onnx = pytest.importorskip('onnx', reason='the package onnx is not installed')
    from dcn.export.model import Options, onnx_model
    from dcn.export.trained import open_trained

    _, cfg, _, params = shipped('fpn')
    model = onnx_model(open_trained(cfg, params), Options(preprocessing=True))
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about['class_names'])[0] == '__background__' and len(json.loads(about['class_names'])) == 6
    assert json.loads(about['pixel_means_bgr']) == [110, 110, 110] and about['licence_of_the_parameters'] == 'unknown'
    assert json.loads(about['size_rule'])['padded_to_multiples_of'] == 32
    assert json.loads(about['source'])['params'] == params
    assert [value.name for value in model.graph.input] == ['image']
    # plain operations of the standard alone
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [('', 19)]
    assert {node.domain for node in model.graph.node} == {''}
    onnx.checker.check_model(model, full_check=True)


def error(arguments, capsys):
    assert main(['export', *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_what_cannot_be_exported_is_one_sentence(tmp_path, capsys):
    pytest.importorskip('onnx', reason='the package onnx is not installed')
    given, out = shipped('rfcn'), str(tmp_path / 'net.onnx')
    assert 'expected a name that ends in .onnx' in error([*given, str(tmp_path / 'net')], capsys)
    assert 'nowhere.params: no such file' in error([*given[:3], 'nowhere.params', out], capsys)
    assert 'expected an MXNet checkpoint' in error([*given[:3], given[1], out], capsys)
    assert 'opset 18: expected 19 to' in error([*given, out, '--opset', '18'], capsys)
    assert 'soft-NMS is not a standard operation' in error([*given, out, '--set', 'TEST.USE_SOFTNMS=true'], capsys)
    assert 'no such interpreter; make it with' in error([*given, '--peers', str(tmp_path), out], capsys)
    wrong = shipped('faster_rcnn')
    assert 'error:' in error([*given[:3], wrong[3], out], capsys)


@pytest.mark.parametrize('threshold', ['nan', '-0.1', '1.5', 'high'])
def test_a_threshold_is_a_score(threshold, capsys):
    with pytest.raises(SystemExit):
        main(['export', *shipped('rfcn'), 'net.onnx', '--threshold', threshold])
    assert 'argument --threshold: ' in capsys.readouterr().err.splitlines()[-1]


def test_the_projects_own_files_are_found_from_any_folder(tmp_path, monkeypatch, capsys):
    pytest.importorskip('onnx', reason='the package onnx is not installed')
    monkeypatch.chdir(tmp_path)
    assert 'opset 18: expected 19 to' in error([*shipped('rfcn'), 'net.onnx', '--opset', '18'], capsys)


def test_unknown_operators_and_attributes_are_named(operators):
    pytest.importorskip('onnx', reason='the package onnx is not installed')
    from dcn.export.network import add_network
    from dcn.formats.symbol_json import loads

    import mxnet as mx

    x = mx.sym.Variable('data')
    wave = loads(mx.sym.sin(x, name='wave').tojson())
    with pytest.raises(UserError, match=r'operators that the export does not know: sin \(node wave\)'):
        add_network(Builder(), wave, {}, {'data': (1, 2)}, {'data': 'data'})
    pooled = loads(mx.sym.Pooling(x, pool_type='sum', kernel=(2, 2), name='pooled').tojson())
    with pytest.raises(UserError, match=r'node pooled \(Pooling\): pool_type=sum is not supported by the export'):
        add_network(Builder(), pooled, {}, {'data': (1, 2, 4, 4)}, {'data': 'data'})
    dense = loads(mx.sym.FullyConnected(x, num_hidden=3, name='fc').tojson())
    with pytest.raises(UserError, match='parameter fc_weight: expected it in the checkpoint'):
        add_network(Builder(), dense, {}, {'data': (1, 2)}, {'data': 'data'})


def test_boxes_are_matched_one_to_one_within_their_class():
    from dcn.export.certificate import matches

    own = (
        np.array([[0, 0, 99, 99], [0, 0, 99, 99.2], [50, 50, 80, 90.0]]),
        np.array([0.9, 0.8, 0.7]),
        np.array([1, 1, 2]),
    )
    others = own[0][[1, 0, 2]] + 0.01, own[1][[1, 0, 2]], np.array([1, 1, 1])
    assert [pair[:2] for pair in matches(own, others)] in ([(0, 1), (1, 0)], [(1, 0), (0, 1)])
    thin = np.array([[5, 0, 3.9, 40.0]])  # no width, so no IoU
    for distance, same in ((0.009, 1), (0.011, 0)):
        assert len(matches((thin, own[1][:1], own[2][:1]), (thin + distance, own[1][:1], own[2][:1]))) == same
    none = np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)
    assert matches(own, none) == matches(none, own) == []


def test_copies_of_a_box_that_has_its_counterpart_do_not_count():
    from dcn.export.certificate import _Boxes

    thin, scores = np.array([[5, 0, 3.9, 40.0]] * 3 + [[7, 7, 9, 9]]), np.array([0.9, 0.9, 0.8, 0.7])
    own = thin, scores, np.array([1, 1, 1, 2])
    others = thin[:1], scores[:1], np.array([1])
    boxes = _Boxes(0.001)
    row = boxes.add(own, others)
    # the third has another score, the fourth is another box
    assert (row['matched'], row['copies'], row['unmatched']) == (1, 1, 2)
    assert boxes.add(others, own)['copies'] == 1 and boxes.counts['copies'] == 2


def test_the_commands_of_the_page_are_understood(repository):
    import shlex

    from dcn.cli import export, verify

    text = (repository / 'docs' / 'export.md').read_text()
    code = '\n'.join(line[4:] for line in text.splitlines() if line.startswith('    ')).replace('\\\n', ' ')
    lines = [shlex.split(line, comments=True)[1:] for line in code.splitlines() if line.startswith('dcn ')]
    assert {line[0] for line in lines} == {'export', 'verify'}
    for command, *arguments in lines:
        given = {'export': export, 'verify': verify}[command].parser().parse_args(arguments)
        assert all((repository / path).is_file() for path in (given.cfg, given.params) if path)


def example(repository, runtime):
    """The code of docs/export.md that imports ``runtime``."""
    text = (repository / 'docs' / 'export.md').read_text()
    (found,) = [part for part in re.findall(r'```python\n(.*?)```', text, re.DOTALL) if f'import {runtime}' in part]
    assert len([line for line in found.splitlines() if line]) <= 10
    return found


@pytest.mark.parametrize('runtime, ending', [('onnxruntime', '.onnx'), ('openvino', '.xml')])
def test_the_examples_of_the_docs_run_without_this_project(repository, tmp_path, runtime, ending):
    """In the runtime's own environment, which has neither MXNet nor the project, where DCN_PEERS names one."""
    need_runtime(runtime)
    python = runtime_python(runtime, PEERS)
    if subprocess.run([str(python), '-c', 'import cv2'], stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f'{python} has no OpenCV, which the examples read photos with')
    photo = make_scene(generator(0, 'docs', 4), 160).image
    cv2.imwrite(str(tmp_path / 'photo.png'), photo)
    to = ['--to', 'openvino', '--force'] if ending == '.xml' else []
    target = str(tmp_path / f'shapes{ending}')
    command = ['export', *shipped('rfcn', '_dcn'), *to, '--preprocessing', 'inside', *peers(), '--images', '1', target]
    assert main(command) == 0
    done = subprocess.run(
        [str(python), '-I', '-c', example(repository, runtime)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0

    from dcn.config import load_config
    from dcn.engine import Detector

    _, cfg, _, params = shipped('rfcn', '_dcn')
    found = Detector(load_config(cfg), params).detect(photo)
    names = ('__background__', *SHAPES_CLASSES)
    expected = [names[label] for label, score in zip(found.classes, found.scores) if score > 0.5]
    assert len(expected) > 0 and [line.split()[0] for line in done.stdout.splitlines()] == expected
