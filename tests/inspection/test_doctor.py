"""dcn doctor: every network of the original recognised from names and shapes; every fault named; the right advice."""

import json
import re
import shlex

import numpy as np
import pytest

from dcn.cli import convert, diff, inspect
from dcn.cli.doctor import main
from dcn.config import load_config
from dcn.convert import fitting
from dcn.errors import UserError
from dcn.formats import params as params_file
from dcn.inspection.checkpoint import checks, known, pooling
from dcn.inspection.checkpoint.advice import yaml_for
from dcn.inspection.checkpoint.diagnosis import examine
from dcn.inspection.checkpoint.known import Backbone, tables
from dcn.inspection.checkpoint.recognise import recognise, stranger
from dcn.inspection.render.diagnosis import report_lines, sentence
from dcn.symbols.resnet_plan import FILTERS, plan
from tests.inspection.graphs import GOLDEN, golden
from tests.inspection.make_networks import collect

SMALL = Backbone(plan(units=(1, 1, 2, 1)).units, (4, 4, 8, 8))
SIZES = {'C': 21, 'K': 2, 'A': 9, 'P2': 49, 'F1': 4, 'F2': 4, 'F3': 8, 'F4': 8, 'R': 16, 'H': 16, 'W': 16, 'S': 16}


def shapes_of(network):
    """{parameter: shape} of a described graph."""
    return {p.name: p.shape for p in network.parameters()}


@pytest.mark.parametrize('name', [name for name in GOLDEN if name.endswith('test') and not name.startswith('alt')])
def test_every_network_of_the_golden_file_is_recognised(name):
    from dcn.inspection.graph.network import describe

    graph, inputs, _ = golden(name)
    wanted = shapes_of(describe(graph, name, inputs))
    found = recognise(wanted)
    symbol = GOLDEN[name]['symbol']
    # rfcn_demo has the parameters of the plain network
    assert found.table.symbol == symbol or 'rfcn_demo' in name and found.table.symbol == 'resnet_v1_101_rfcn'
    assert found.wanted == wanted
    classes = 81 if 'coco' in name else 19 if 'cityscapes' in name else 21
    anchors = {'deeplab': None, 'fpn': 3}.get(found.table.family, 12 if classes == 81 else 9)
    assert (found.sizes['C'], found.sizes['A']) == (classes, anchors)
    path, changes = yaml_for(found)
    assert changes == [] and ('coco' in path) == ('coco' in name)


def test_the_tables_are_those_of_the_golden_graphs():
    with open(known._FILE, encoding='utf-8') as stream:
        stored = json.load(stream)
    assert stored == json.loads(json.dumps(collect()))


@pytest.mark.parametrize('depth, count', [(50, 23454912), (101, 42394816 + 105344), (152, 58087488 + 56320)])
def test_backbones_have_the_published_size(depth, count):
    # torchvision's totals without the last layer: 25557032, 44549160 and 60192808 less 2049000
    backbone = Backbone(plan(depth).units, FILTERS)
    total = sum(int(np.prod(shape)) for shape in backbone.shapes()[0].values())
    assert total == {50: 25557032, 101: 44549160, 152: 60192808}[depth] - 2049000
    assert known.backbone_of(backbone.shapes()[0]) == backbone and backbone.depth == depth


def checkpoint(symbol='resnet_v1_101_rfcn_dcn', groups=4, changes=None, pooled=None, taps=18, **sizes):
    """{prefixed name: array} of a sound small checkpoint; ``changes``: {bare name: array, or None to leave it out};
    ``pooled``: kind of RoI pooling other than the symbol's; ``taps``: numbers for each deformable group."""
    table = next(table for table in tables() if table.symbol == symbol)
    sizes = dict(SIZES, **sizes)
    rng, args = (
        np.random.default_rng(0),
        dict(
            SMALL.shapes()[0], **table.evaluate(sizes), **pooling.layers(table.family, pooled or table.pooling, sizes)
        ),
    )
    if table.deformable:
        args['res5a_branch2b_offset_weight'] = (taps * groups, 8, 3, 3)
        args['res5a_branch2b_offset_bias'] = (taps * groups,)
    arrays = {f'arg:{name}': rng.normal(0, 1, shape).astype(np.float32) for name, shape in args.items()}
    arrays.update(
        {f'aux:{name}': rng.uniform(1, 2, shape).astype(np.float32) for name, shape in SMALL.shapes()[1].items()}
    )
    if 'arg:rfcn_bbox_weight' in arrays:
        std = np.repeat(np.tile(checks.DEFAULT_STDS, sizes['K']), sizes['P2'])
        arrays['arg:rfcn_bbox_weight_test'] = (arrays['arg:rfcn_bbox_weight'] * std[:, None, None, None]).astype('f4')
        arrays['arg:rfcn_bbox_bias_test'] = (arrays['arg:rfcn_bbox_bias'] * std).astype('f4')
    for name, value in (changes or {}).items():
        key = next((key for key in arrays if key.split(':')[1] == name), 'arg:' + name)
        if value is None:
            del arrays[key]
        else:
            arrays[key] = value
    return arrays


class Told:
    """The sentences of a Report."""

    def __init__(self, report):
        self.facts, self.problems, self.notes, self.steps = (
            [sentence(finding) for finding in report.of(*levels)]
            for levels in (('fact',), ('wrong',), ('ok', 'note'), ('step',))
        )


@pytest.fixture
def diagnose(tmp_path):
    """A function: arrays -> Told."""

    def run(arrays):
        path = str(tmp_path / 'net-0000.params')
        params_file.write(path, arrays)
        return Told(examine(params_file.open_params(path), path))

    return run


def test_a_sound_checkpoint(diagnose):
    report = diagnose(checkpoint())
    assert report.problems == []
    assert report.facts[0].startswith('this is resnet_v1_101_rfcn_dcn (R-FCN) on a ResNet of its own sizes')
    assert (
        report.notes[1] == 'weights for testing are there and right: rfcn_bbox_weight_test = weights x '
        '(0.1, 0.1, 0.2, 0.2)'
    )
    assert any('network.units=[1,1,2,1]' in step and 'network.filters=[4,4,8,8]' in step for step in report.steps)


@pytest.mark.parametrize(
    'stem, cfg',
    [
        # stride 8, where the paper's network has 16
        ('deeplab/shapes/shapes_deeplab', 'shapes_deeplab.yaml'),
        # deformable in the last blocks of res3 and res4, which are others than in ResNet-101
        ('fpn/shapes/shapes_fpn_dcn', 'shapes_fpn_dcn_end2end_ohem.yaml'),
        ('rfcn/shapes/shapes_rfcn_dcn', 'shapes_rfcn_dcn_end2end_ohem.yaml'),
    ],
)
def test_the_shipped_networks_are_sound(stem, cfg, repository):
    """They are stored in half precision, weights for testing too, which are then no exact multiples."""
    path = str(repository / 'experiments' / f'{stem}-0000.params')
    report = examine(params_file.open_params(path), path)
    told = Told(report)
    assert report.sound, told.problems
    assert told.steps[0].endswith(cfg) and not any('keys changed' in step for step in told.steps)


@pytest.mark.parametrize(
    'name, sizes, words',
    [
        ('resnet_v1_101_rfcn', {'A': 15}, '15 anchors per cell'),
        ('resnet_v1_101_rfcn', {'C': 6}, '6 classes'),
        ('resnet_v1_101_rfcn', {'K': 21}, 'boxes for each class'),
        ('resnet_v1_101_rfcn_dcn', {'P2': 25}, '5 x 5 bins'),
        ('deform_psroi_demo', {'P2': 9}, '3 x 3 bins'),
    ],
)
def test_relatives(name, sizes, words, diagnose):
    report = diagnose(checkpoint(name, **sizes))
    assert words in ' '.join(report.facts) and report.problems == []
    assert f'this is {name} ' in report.facts[0]


@pytest.mark.parametrize('groups', [1, 2, 4, 8])
@pytest.mark.parametrize('taps', [18, 27])
def test_masks_are_told_from_more_groups(groups, taps):
    # 4 groups of 27 are as many channels as 6 of 18, of which 8 channels have no 6 groups
    shapes = {name.split(':')[1]: array.shape for name, array in checkpoint(groups=groups, taps=taps).items()}
    found = recognise(shapes)
    assert (found.groups, found.modulated) == (groups, taps == 27)


def test_the_border_rule_is_asked_for_where_there_is_a_choice(diagnose):
    for symbol, taps, choice in (
        ('resnet_v1_101_rcnn_dcn', 18, True),
        ('resnet_v1_101_rcnn_dcn', 27, False),
        ('resnet_v1_101_rcnn', 18, False),
    ):
        assert ('network.deform_rule=v2' in ' '.join(diagnose(checkpoint(symbol, taps=taps)).steps)) == choice


@pytest.mark.parametrize(
    'symbol',
    [
        'resnet_v1_101_rfcn_dcn',
        'resnet_v1_101_rcnn_dcn',
        'resnet_v1_101_fpn_dcn_rcnn',
        'resnet_v1_101_rcnn',
        'resnet_v1_101_fpn_rcnn',
    ],
)
@pytest.mark.parametrize('kind', ['integer', 'deformable', 'modulated'])
def test_any_roi_pooling(symbol, kind, diagnose):
    if kind == 'integer' and symbol == 'resnet_v1_101_rfcn_dcn':
        symbol = 'deform_conv_demo'
    report = diagnose(checkpoint(symbol, groups=1 if 'demo' in symbol else 4, pooled=kind, P2=36, W=10, H=22))
    assert f'this is {symbol} ' in report.facts[0]
    assert f'{"plain" if kind == "integer" else kind} pooling in 6 x 6 bins' in report.facts[1]
    assert [problem for problem in report.problems if 'testing needs them' not in problem] == []
    steps = ' '.join(report.steps)
    if kind == 'modulated' or 'dcn' not in symbol:
        assert ('network.roi_pooling=' in steps) == (kind != 'integer')
    # sizes that no YAML file here has
    assert 'network.pooled_size=6' in steps and 'network.head_filters=22' in steps
    assert ('network.roi_filters=10' in steps) == ('rfcn' not in symbol and 'conv' not in symbol)


def test_fifteen_anchors_are_explained(diagnose):
    steps = ' '.join(diagnose(checkpoint('resnet_v1_101_rfcn', A=15)).steps)
    assert 'network.NUM_ANCHORS=15' in steps and 'scales [2, 4, 8, 16, 32]' in steps


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'rpn_conv_3x3_weight': None, 'rfcn_cls_bias': None}, '2 of 118 parameters are missing: rpn_conv_3x3_weight'),
        ({'rpn_conv_3x3_bias': ones(7)}, 'rpn_conv_3x3_bias: expected shape 16, found 7'),
        ({'rfcn_bbox_bias_test': None}, 'no rfcn_bbox_bias_test: testing needs them'),
        ({'conv_new_1_bias': np.full(16, np.nan, np.float32)}, 'conv_new_1_bias: 16 NaN and 0 infinite values'),
        ({'bn_conv1_moving_var': -ones(4)}, 'bn_conv1_moving_var: a variance of -1'),
        ({'conv1_weight': 0 * ones(4, 3, 7, 7)}, '1 weights have one value everywhere: conv1_weight'),
        ({'conv1_weight': 1e9 * np.random.default_rng(0).normal(size=(4, 3, 7, 7))}, 'expected below a million'),
    ],
)
def test_faults_are_named(changes, words, diagnose):
    problems = diagnose(checkpoint(changes=changes)).problems
    assert any(words in problem for problem in problems), problems


def told(findings):
    """Sentences on what is wrong."""
    return [sentence(finding) for finding in findings if finding.level == 'wrong']


def test_wrong_weights_for_testing():
    weight = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    stds = np.tile([0.1, 0.1, 0.2, 0.3], 2)
    arrays = {
        'bbox_pred_weight': weight,
        'bbox_pred_bias': weight[:, 0],
        'bbox_pred_weight_test': weight * stds[:, None],
        'bbox_pred_bias_test': weight[:, 0] * stds,
    }
    assert told(checks.test_weights(arrays, 2)) == [
        'bbox_pred_weight_test: expected weights x (0.1, 0.1, 0.2, 0.2), found weights x (0.1, 0.1, 0.2, 0.3); was it '
        'trained with other TRAIN.BBOX_STDS?'
    ]
    assert told(checks.test_weights(arrays, 2, (0.1, 0.1, 0.2, 0.3))) == []
    other = dict(arrays, bbox_pred_weight_test=weight[::-1])
    assert 'they come from different epochs' in told(checks.test_weights(other, 2))[0]
    shifted = dict(arrays, bbox_pred_bias_test=arrays['bbox_pred_bias_test'] + 0.5)
    assert told(checks.test_weights(shifted, 2, (0.1, 0.1, 0.2, 0.3), (0.5,) * 4)) == []


def test_offsets_of_zero_are_no_fault(diagnose):
    zero = {
        'res5a_branch2b_offset_weight': 0 * ones(72, 8, 3, 3),
        'rfcn_cls_offset_t_weight': 0 * ones(2058, 16, 1, 1),
        'rfcn_bbox_offset_t_weight': 0 * ones(98, 16, 1, 1),
    }
    report = diagnose(checkpoint(changes=zero))
    assert report.problems == [] and any('all offset layers are zero' in note for note in report.notes)


def test_an_imagenet_backbone(diagnose):
    args, auxs = Backbone(plan(50).units, (2, 2, 2, 2)).shapes()
    arrays = {
        **{f'arg:{name}': np.random.default_rng(0).normal(size=shape) for name, shape in args.items()},
        **{f'aux:{name}': 2 * np.ones(shape) for name, shape in auxs.items()},
        'arg:fc1000_weight': np.eye(3),
    }
    report = diagnose(arrays)
    assert 'the backbone of these networks alone' in report.facts[0] and report.problems == []
    assert 'model/pretrained_model/resnet_v1_50-0000.params' in report.steps[0]


@pytest.mark.parametrize(
    'names, words',
    [
        (['features.0.weight', 'features.1.gamma', 'output.weight'], 'a Gluon network saved by save_parameters'),
        (['arg:resnetv10_conv0_weight', 'aux:resnetv10_batchnorm0_running_mean'], 'with its full names'),
        (['arg:stage1_unit1_conv1_weight', 'arg:bn_data_gamma'], 'pre-activation'),
        ([f'arg:conv{n}_{k}_weight' for n in (1, 2, 3) for k in (1, 2)] + ['arg:fc6_weight'], 'a VGG network'),
        # https://github.com/msracver/FCIS and its sisters
        (['arg:conv_new_1_weight', 'arg:fcis_cls_seg_weight', 'arg:fcis_bbox_weight'], 'FCIS'),
        (['arg:flow_conv1_weight', 'arg:Convolution5_scale_weight', 'arg:rfcn_cls_weight'], 'Deep Feature Flow'),
        (
            ['arg:flow_conv1_weight', 'arg:conv3_1_weight', 'arg:em_conv1_weight', 'arg:rfcn_cls_weight'],
            'Flow-Guided Feature Aggregation',
        ),
        (['arg:flow_conv1_weight', 'arg:conv3_1_weight', 'arg:conv4_1_weight'], 'FlowNet'),
        (['arg:pair_pos_fc1_1_weight', 'arg:query_1_weight', 'arg:key_1_weight'], 'Relation Networks'),
        (['arg:feat_conv_3x3_weight', 'arg:rfcn_cls_weight'], 'single frames'),
        (['resnetv1b0_conv0_weight', 'resnetv1b0_layers1_conv0_weight'], 'save_parameters()'),
        (['counter:epoch', 'metric:loss'], 'a training state of this project'),
    ],
)
def test_strangers(names, words, diagnose):
    report = diagnose({name: ones(2) for name in names})
    assert words in report.facts[0] and report.problems


@pytest.mark.parametrize(
    'names',
    [
        # MTCNN's last stage; FlowNet's layers without the rest; a U-Net's names but for one
        ['conv1_weight', 'conv2_weight', 'conv3_weight', 'conv4_1_weight', 'conv4_2_weight', 'prelu1_gamma'],
        ['conv3_1_weight', 'conv4_1_weight', 'conv5_1_weight', 'conv6_1_weight'],
        ['conv1_1_weight', 'conv2_1_weight', 'conv3_1_weight', 'fc6_weight', 'fc7_weight'],
    ],
)
def test_numbered_convolutions_alone_are_no_vgg(names, diagnose):
    report = diagnose({f'arg:{name}': ones(2, 2) for name in names})
    assert 'VGG' not in ' '.join(report.facts) and 'an unknown network' in report.problems[-1]


def test_a_few_foreign_names_do_not_make_a_stranger(diagnose):
    """Layers of somebody's own beside those of the network: they are told as such."""
    own = {f'features.{k}.weight': np.eye(2, dtype=np.float32) for k in range(6)}
    own.update({f'arg:vgg0_conv{k}_weight': np.eye(2, dtype=np.float32) for k in range(6)})
    report = diagnose({**checkpoint(), **{f'arg:{name.split(":")[-1]}': array for name, array in own.items()}})
    assert 'this is resnet_v1_101_rfcn_dcn' in report.facts[0] and report.problems == []
    assert any('12 tensors that the network does not use' in note for note in report.notes)


def commands(steps, word):
    """The arguments of the commands ``dcn WORD`` among steps."""
    found = (re.search(rf'\bdcn {word} (.*)', step) for step in steps)
    return [shlex.split(match.group(1)) for match in found if match]


@pytest.fixture
def in_project(repository, monkeypatch):
    """Commands are printed for the project's folder."""
    monkeypatch.chdir(repository)


def sister():
    """FCIS: R-FCN but for its last layers, in one file with what R-FCN has."""
    gone = ('rfcn_cls', 'rfcn_bbox')
    kept = {name: array for name, array in checkpoint('resnet_v1_101_rfcn').items() if not any(w in name for w in gone)}
    new = {f'arg:fcis_{kind}_{w}': ones(4, 16, 1, 1) for kind in ('cls_seg', 'bbox') for w in ('weight', 'bias')}
    return {**kept, **new}


@pytest.mark.parametrize(
    'arrays, kept',
    [
        (sister(), 108),
        (checkpoint(changes={'rpn_conv_3x3_weight': None}), 117),
        (checkpoint(changes={'rpn_conv_3x3_weight': np.eye(3, dtype=np.float32)}), 117),
        (checkpoint('resnet_v1_101_rfcn', A=15, changes={'rpn_conv_3x3_weight': None}), 111),
    ],
)
def test_what_does_not_fit_is_fitted_and_trained(arrays, kept, diagnose, in_project):
    """No advice to detect or test with it: both would stop at the missing tensor."""
    steps = diagnose(arrays).steps
    assert not commands(steps, 'detect') and not commands(steps, 'test')
    ((_, cfg, _, source, *changes),) = commands(steps, 'train')
    _, notes = fitting.fit_to(fitting.read_network(source)[0], cfg, changes[1:])
    assert int(re.match(r'(\d+) of \d+ parameters kept', notes[0]).group(1)) == kept
    assert load_config(cfg, changes[1:]).symbol.startswith('resnet_v1_101_rfcn')


@pytest.mark.parametrize(
    'arrays',
    [
        checkpoint(changes={'rfcn_bbox_bias_test': None, 'rfcn_bbox_weight_test': None}),
        {name.split(':')[1]: array for name, array in checkpoint().items()},
        {name.replace('aux:', 'arg:'): array for name, array in checkpoint().items()},
        checkpoint('resnet_v1_101_rcnn'),
    ],
)
def test_what_can_be_repaired_is_repaired_first(arrays, diagnose, in_project):
    report = diagnose(arrays)
    assert len(report.problems) == 1
    ((source, target, *flags),) = commands(report.steps, 'convert')
    convert.main([source, target, *flags])
    again = examine(params_file.open_params(target), target)
    assert again.sound
    for detect in (commands(report.steps, 'detect')[0], commands(map(sentence, again.of('step')), 'detect')[0]):
        assert detect[detect.index('--params') + 1] == target


def test_names_without_a_prefix_hide_no_missing_weights(diagnose):
    """One repair mends both."""
    arrays = {name.split(':')[1]: array for name, array in checkpoint().items() if not name.endswith('_test')}
    report = diagnose(arrays)
    assert len(report.problems) == 2 and 'no rfcn_bbox_weight_test' in ' '.join(report.problems)
    ((*_, flag),) = commands(report.steps, 'convert')
    assert flag == '--test-weights'


def test_values_that_cannot_be_right_lead_to_an_earlier_checkpoint(diagnose):
    steps = diagnose(checkpoint(changes={'conv_new_1_bias': np.full(16, np.nan, np.float32)})).steps
    assert 'take an earlier checkpoint' in steps[-1] and not any('dcn ' in step for step in steps)


def test_paths_with_spaces_in_commands(tmp_path, repository):
    path = str(tmp_path / 'my net.params')
    params_file.write(path, checkpoint())
    steps = [sentence(step) for step in examine(params_file.open_params(path), path).of('step')]
    assert commands(steps, 'detect')[0][4] == path


def test_a_torchvision_resnet_is_converted_only_where_that_works(diagnose):
    names = {f'layer{n}.{k}.conv1.weight': np.ones((4, 4, 3, 3), np.float32) for n in (1, 2, 3, 4) for k in (0, 1)}
    assert not commands(diagnose(names).steps, 'convert')  # ResNet-18 has no bottlenecks
    shapes = {f'layer1.{k}.conv1.weight': (64, 64, 1, 1) for k in range(49)}
    shapes.update({'conv1.weight': (64, 3, 7, 7), **{f'layer4.{k}.conv3.weight': (2048, 512, 1, 1) for k in range(3)}})
    assert stranger(shapes).depth == 50


def test_control_characters_never_reach_the_terminal(tmp_path, capsys):
    path = str(tmp_path / 'x.params')
    params_file.write(path, {'arg:\x1b[31mconv1_weight\n\u202ex': np.array([np.nan], np.float32)})
    for command in (main, inspect.main):
        command([path])
        text = capsys.readouterr().out
        assert '\\x1b[31mconv1_weight\\n\\u202ex' in text and all(c.isprintable() or c == '\n' for c in text)
    other = str(tmp_path / 'y.params')
    params_file.write(other, {'arg:a': np.ones(1)})
    assert diff.main([path, other]) == 1
    assert all(c.isprintable() or c == '\n' for c in capsys.readouterr().out)


def test_unknown_and_nameless_files(diagnose):
    assert 'its names fit none of those known here' in diagnose({'arg:something': ones(2)}).problems[-1]
    assert 'have no names' in diagnose([ones(2)]).problems[0]


def test_the_command(tmp_path, capsys):
    path = str(tmp_path / 'net-0000.params')
    params_file.write(path, checkpoint())
    assert main([path]) == 0
    assert '  ok:    all 118 parameters are there, with the right shapes' in capsys.readouterr().out
    params_file.write(path, checkpoint(changes={'conv1_weight': None}))
    assert main([path]) == 1
    with pytest.raises(UserError, match='expected a checkpoint'):
        symbol = tmp_path / 'a-symbol.json'
        symbol.write_text('{"nodes": [{"op": "null", "name": "x", "inputs": []}], "arg_nodes": [0], "heads": [[0, 0]]}')
        main([str(symbol)])


def test_against_an_experiment_file(repository, tmp_path):
    cfg = str(repository / 'experiments' / 'rfcn' / 'cfgs' / 'resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml')
    path = str(tmp_path / 'net-0000.params')
    params_file.write(path, checkpoint())
    sizes = [
        'network.units=[1,1,2,1]',
        'network.filters=[4,4,8,8]',
        'network.rpn_filters=16',
        'network.head_filters=16',
    ]
    good = examine(params_file.open_params(path), path, cfg, sizes)
    assert good.sound and Told(good).problems == []
    report = examine(params_file.open_params(path), path, cfg, sizes + ['dataset.NUM_CLASSES=81'])
    bad = Told(report)
    assert 'rfcn_cls_weight: expected shape 3969 x 16 x 1 x 1, found 1029 x 16 x 1 x 1' in bad.problems
    assert 'better' in bad.steps[0] and 'wrong: rfcn_cls_weight' in '\n'.join(report_lines(path, report))


def test_programs_get_code_data_and_sentence(tmp_path, capsys):
    path = str(tmp_path / 'net-0000.params')
    params_file.write(path, checkpoint(changes={'rpn_conv_3x3_bias': ones(7)}))
    assert main([path, '--json']) == 1
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {'facts', 'problems', 'notes', 'steps'}
    assert found['problems'] == [
        {
            'level': 'wrong',
            'code': 'shape',
            'data': {'name': 'rpn_conv_3x3_bias', 'expected': [16], 'found': [7]},
            'sentence': 'rpn_conv_3x3_bias: expected shape 16, found 7',
        }
    ]
    assert found['facts'][0]['data']['symbol'] == 'resnet_v1_101_rfcn_dcn'
