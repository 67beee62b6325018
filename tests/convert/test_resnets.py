"""Foreign ResNets computed in their own framework and, converted, by the builder of these networks: equal outputs."""

import json

import numpy as np
import pytest

from dcn.cli.convert import main
from dcn.convert import containers, resnets
from dcn.errors import UserError
from dcn.formats import params as params_file

MEANS = 255 * np.array(resnets.MEAN, np.float32).reshape(1, 3, 1, 1)
STDS = 255 * np.array(resnets.STD, np.float32).reshape(1, 3, 1, 1)


@pytest.fixture(scope='module')
def frameworks(operators, gluoncv):
    """(mxnet, gluoncv.model_zoo.get_model)"""
    import mxnet

    return mxnet, gluoncv('model_zoo').get_model


def source(frameworks, name, seed=0):
    """A network of Gluon with random parameters, biases and batch norms that matter."""
    mx, get_model = frameworks
    net = get_model(name, pretrained=False)
    net.initialize(mx.init.Zero())
    net(mx.nd.zeros((1, 3, 32, 32)))  # shapes are known after the first image
    rng = np.random.default_rng(seed)
    for key, parameter in net._collect_params_with_prefix().items():
        shape = parameter.shape
        if key.endswith(('running_var', 'gamma')):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = rng.normal(0, 0.2, shape)
        else:
            value = rng.normal(0, np.sqrt(1.5 / np.prod(shape[1:])), shape)
        parameter.set_data(mx.nd.array(value))
    return net


def features(frameworks, converted, image, changes):
    """res5 of the builder's network on ``image``; ``changes``: {node: {attribute: value}}."""
    mx, _ = frameworks
    from dcn.symbols.resnet import resnet
    from dcn.symbols.resnet_plan import plan

    with mx.name.NameManager():
        outputs, _ = resnet(mx.sym.Variable('data'), plan(converted.depth, strides=(1, 2, 2, 2)))
    graph = json.loads(outputs['res5'].tojson())
    for node in graph['nodes']:
        node.get('attrs', {}).update(changes.get(node['name'], {}))
    symbol = mx.sym.load_json(json.dumps(graph))
    arrays = {key.split(':')[1]: mx.nd.array(value) for key, value in converted.arrays.items()}
    arrays['data'] = mx.nd.array(image)
    executor = symbol.bind(
        mx.cpu(),
        {name: arrays[name] for name in symbol.list_arguments()},
        aux_states={name: arrays[name] for name in symbol.list_auxiliary_states()},
    )
    return executor.forward()[0].asnumpy()


def image(seed=1, side=64):
    """RGB values less the means, as the networks here get them."""
    return np.random.default_rng(seed).uniform(0, 255, (1, 3, side, side)).astype(np.float32) - MEANS


AS_GLUON = {'pool1': {'pad': '(1, 1)', 'pooling_convention': 'valid'}}
STRIDE_ON_3X3 = {
    f'res{stage}a_branch2{branch}': {'stride': stride}
    for stage in (3, 4, 5)
    for branch, stride in (('a', '(1, 1)'), ('b', '(2, 2)'))
}


def assert_equal(found, expected):
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    'name, saved',
    [
        ('resnet50_v1', 'save_parameters'),
        ('resnet101_v1', 'export'),
        pytest.param('resnet152_v1', 'save_parameters', marks=pytest.mark.full),
    ],
)
def test_gluon_version_1(name, saved, frameworks, tmp_path):
    mx, _ = frameworks
    net, data = source(frameworks, name), image()
    path = str(tmp_path / 'net')
    if saved == 'export':
        net.hybridize()
        net(mx.nd.zeros((1, 3, 32, 32)))
        net.export(path)
        path += '-0000.params'
    else:
        net.save_parameters(path)
    arrays = containers.read(path)
    converted = resnets.convert(arrays, resnets.kind_of(arrays))
    assert converted.depth == int(name[6:].split('_')[0])
    assert any('PIXEL_MEANS to [103.53, 116.28, 123.675]' in note for note in converted.notes)
    assert not any('stride' in note for note in converted.notes)
    assert {'arg:fc1000_weight', 'arg:fc1000_bias'} <= set(converted.arrays)
    expected = net.features[:8](mx.nd.array(data / STDS)).asnumpy()
    assert_equal(features(frameworks, converted, data, AS_GLUON), expected)


def test_biases_are_folded_exactly(frameworks, tmp_path):
    net, data = source(frameworks, 'resnet50_v1'), image()
    net.save_parameters(str(tmp_path / 'net'))
    arrays = containers.read(str(tmp_path / 'net'))
    assert np.abs(arrays['features.4.0.body.0.bias']).max() > 0.1
    without = {name: 0 * array if name.endswith('body.0.bias') else array for name, array in arrays.items()}
    one, two = (resnets.convert(which, 'gluon') for which in (arrays, without))
    first, second = (features(frameworks, which, data, AS_GLUON) for which in (one, two))
    assert np.abs(first - second).max() > 0.01 * np.abs(first).max()  # they matter


def test_the_pooling_windows_lie_where_the_note_says(frameworks, tmp_path):
    """Our first pooling of an image moved by two pixels is Gluon's of the image, where padding cannot be seen."""
    mx, _ = frameworks
    net = source(frameworks, 'resnet50_v1')
    norm = net.features[1]
    # a black border gives nothing after the relu, as Gluon's padding does
    norm.beta.set_data(-mx.nd.abs(norm.beta.data()) - 0.1)
    norm.running_mean.set_data(mx.nd.abs(norm.running_mean.data()))
    net.save_parameters(str(tmp_path / 'net'))
    converted = resnets.convert(containers.read(str(tmp_path / 'net')), 'gluon')
    data = image()
    data[:, :, :2], data[:, :, :, :2] = 0, 0
    moved = np.pad(data, ((0, 0), (0, 0), (2, 0), (2, 0)))
    expected = net.features[:8](mx.nd.array(data / STDS)).asnumpy()
    assert_equal(features(frameworks, converted, moved, {}), expected)
    assert any('two image pixels' in note for note in converted.notes)


@pytest.mark.parametrize('naming', ['gluon v1b', 'torchvision'])
def test_the_stride_on_the_3x3_is_told(naming, frameworks, tmp_path):
    mx, _ = frameworks
    net, data = source(frameworks, 'resnet50_v1b'), image()
    net.save_parameters(str(tmp_path / 'net'))
    arrays = containers.read(str(tmp_path / 'net'))
    if naming == 'torchvision':  # the same layers under torchvision's names
        arrays = {name.replace('gamma', 'weight').replace('beta', 'bias'): array for name, array in arrays.items()}
        arrays['bn1.num_batches_tracked'] = np.array([5], np.int64)
    assert resnets.kind_of(arrays) == naming
    converted = resnets.convert(arrays, naming)
    assert any('stride of res3a, res4a and res5a on the 3x3' in note for note in converted.notes)
    x = mx.nd.array(data / STDS)
    for part in (net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4):
        x = part(x)
    assert_equal(features(frameworks, converted, data, {**AS_GLUON, **STRIDE_ON_3X3}), x.asnumpy())


def caffe_blobs(converted):
    """The blobs of a Caffe model with the parameters of a Converted, its batch norms with a factor of 2."""
    blobs = {}
    for name, array in converted.arrays.items():
        layer, what = resnets.place(name.split(':')[1]) if 'fc1000' not in name else ('fc1000', name[-6:])
        norm = layer[3:] if layer.startswith('res') else '_' + layer
        place = {
            'weight': f'{layer}/0',
            'gamma': f'scale{norm}/0',
            'beta': f'scale{norm}/1',
            'moving_mean': f'bn{norm}/0',
            'moving_var': f'bn{norm}/1',
        }.get(what, 'fc1000/1')
        blobs[place] = 2 * array if what.startswith('moving') else array
        if what == 'moving_mean':
            blobs[f'bn{norm}/2'] = np.array([2], np.float32)
    blobs['conv1/0'] = blobs['conv1/0'][:, ::-1]
    return blobs


def random_resnet(depth=50):
    """A Converted with random values and no framework."""
    from dcn.inspection.checkpoint.known import Backbone
    from dcn.symbols.resnet_plan import FILTERS, plan

    args, auxs = Backbone(plan(depth).units, FILTERS).shapes()
    rng = np.random.default_rng(0)
    arrays = {
        f'{group}:{name}': rng.normal(size=shape).astype(np.float32)
        for group, shapes in (('arg', args), ('aux', auxs))
        for name, shape in shapes.items()
    }
    return resnets.Converted(arrays, [], depth)


def test_caffe_blobs():
    expected = random_resnet()
    blobs = caffe_blobs(expected)
    assert resnets.kind_of(blobs) == 'caffe'
    found = resnets.convert(blobs, 'caffe')
    assert set(found.arrays) == set(expected.arrays)
    assert all(np.array_equal(found.arrays[name], array) for name, array in expected.arrays.items())


@pytest.mark.parametrize(
    'change, words',
    [
        ({'conv1/0': None}, 'conv1_weight: expected a tensor for it'),
        ({'bn3a_branch1/1': None}, 'bn3a_branch1_moving_var: expected a tensor for it'),
        ({'res2a_branch2b/0': np.zeros((64, 2, 3, 3))}, 'res2a_branch2b_weight: expected shape (64, 64, 3, 3)'),
        (
            {'res5c_branch2a/0': None, 'res5c_branch2b/0': None, 'res5c_branch2c/0': None, 'bn5c_branch2a/0': None},
            'res5c_branch2a_weight: expected a tensor for it',
        ),
    ],
)
def test_incomplete_sources(change, words):
    blobs = {**caffe_blobs(random_resnet()), **change}
    with pytest.raises(UserError) as error:
        resnets.convert({name: array for name, array in blobs.items() if array is not None}, 'caffe')
    assert words in str(error.value)


def test_the_command_writes_what_pretrained_wants(tmp_path, capsys):
    np.savez(tmp_path / 'caffe.npz', **caffe_blobs(random_resnet()))
    target = str(tmp_path / 'resnet_v1_50-0000.params')
    assert not main([str(tmp_path / 'caffe.npz'), target])
    assert 'ResNet-50 with the names of caffe' in capsys.readouterr().out
    from dcn.inspection.checkpoint.diagnosis import examine
    from dcn.inspection.render.diagnosis import sentence

    report = examine(params_file.open_params(target), target)
    assert 'the backbone of these networks alone, ResNet-50' in sentence(report.findings[0])
    assert not {'missing', 'shape'} & {finding.code for finding in report.of('wrong')}
