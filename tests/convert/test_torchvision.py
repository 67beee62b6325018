"""Plain ResNets and the pyramid under torchvision's names: the examples of the docs, run, give equal features."""

import re
import subprocess
import sys

import numpy as np
import pytest

from dcn.cli import main as dcn
from dcn.cli.convert import main
from dcn.convert import containers, resnets
from dcn.convert.torchvision import to_torchvision
from dcn.formats import params
from tests.graphs.filling import parameter, picture

# of the backbone in the plain networks: strides of res2 to res5, and the maps that are compared
DILATED, PYRAMID = (1, 2, 2, 1), (1, 2, 2, 2)
# added to the examples: the four maps
STAGES = """
import numpy
x = torch.from_numpy(numpy.load('data.npy'))
found = []
with torch.no_grad():
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = stage(x)
        found.append(x)
"""
MAPS = """
import numpy
with torch.no_grad():
    maps = net(torch.from_numpy(numpy.load('data.npy')))
found = [maps[str(level)] for level in range(4)]
"""
SAVED = """
numpy.savez('found.npz', *(x.numpy() for x in found))
"""


def backbone(mx, strides, levels):
    """The symbol of ResNet-101's res2 to res5, or with ``levels`` of P2 to P5 on them."""
    from dcn.symbols.pyramid import pyramid
    from dcn.symbols.resnet import resnet
    from dcn.symbols.resnet_plan import plan

    with mx.name.NameManager():
        stages, _ = resnet(mx.sym.Variable('data'), plan(101, strides=strides))
        maps = pyramid(stages) if levels else stages
        return mx.sym.Group([maps[f'p{level}' if levels else f'res{level}'] for level in (2, 3, 4, 5)])


def filled(symbol, data):
    """{'arg:...' or 'aux:...': array}, each by its name."""
    shapes, _, states = symbol.infer_shape(data=data.shape)
    args = {f'arg:{k}': parameter(k, v) for k, v in zip(symbol.list_arguments(), shapes) if k != 'data'}
    return {**args, **{f'aux:{k}': parameter(k, v) for k, v in zip(symbol.list_auxiliary_states(), states)}}


def computed(mx, symbol, arrays, data):
    given = {name.split(':')[1]: mx.nd.array(array) for name, array in arrays.items()}
    given['data'] = mx.nd.array(data)
    executor = symbol.bind(
        mx.cpu(),
        {name: given[name] for name in symbol.list_arguments()},
        aux_states={name: given[name] for name in symbol.list_auxiliary_states()},
    )
    return [output.asnumpy() for output in executor.forward(is_train=False)]


def examples(repository):
    """The two programs of docs/checkpoints.md: a ResNet, and then the backbone of FPN."""
    text = (repository / 'docs' / 'checkpoints.md').read_text()
    first, second = (part for part in re.findall(r'```python\n(.*?)```', text, re.DOTALL) if 'torchvision' in part)
    return first, second


@pytest.mark.parametrize('levels', [False, True], ids=['resnet', 'fpn'])
def test_features_are_equal_in_torchvision(operators, repository, tmp_path, levels):
    pytest.importorskip('torch', reason='PyTorch is not installed')
    pytest.importorskip('torchvision', reason='torchvision is not installed')
    pytest.importorskip('safetensors', reason='the package safetensors is not installed')
    import mxnet as mx

    data = picture(64, 96)
    symbol = backbone(mx, PYRAMID if levels else DILATED, levels)
    arrays = filled(symbol, data)
    expected = computed(mx, symbol, arrays, data)
    mx.nd.waitall()
    arrays['arg:rpn_conv_3x3_weight'] = np.ones((2, 2), np.float32)  # as in a whole detector
    if levels:
        arrays['arg:fpn_p6_weight'] = np.ones((2, 2), np.float32)
    params.write(str(tmp_path / 'net-0000.params'), arrays)
    first, second = examples(repository)
    # what makes the network, to the letter; of the first example the second needs what stands before its network
    program = first[: first.index('net = ')] + second + MAPS if levels else first + STAGES
    name = 'fpn.safetensors' if levels else 'resnet101.safetensors'
    assert not main([str(tmp_path / 'net-0000.params'), str(tmp_path / name), '--names', 'torchvision'])
    np.save(tmp_path / 'data.npy', data)
    subprocess.run([sys.executable, '-c', program + SAVED], cwd=tmp_path, check=True)
    with np.load(tmp_path / 'found.npz') as arrays:
        found = [arrays[f'arr_{k}'] for k in range(4)]
    for ours, theirs in zip(expected, found):
        assert theirs.shape == ours.shape and np.abs(ours).max() > 0.1
        assert np.abs(theirs - ours).max() < 1e-4 * np.abs(ours).max()


def random_network(**others):
    """A ResNet-50 with random values, as a checkpoint has it, and ``others`` {name: shape}."""
    from tests.convert.test_resnets import random_resnet

    return {**random_resnet().arrays, **{f'arg:{name}': np.ones(shape, np.float32) for name, shape in others.items()}}


def test_the_names_come_back_as_they_were():
    """torchvision's names are read by another module than the one that writes them."""
    arrays = random_network(fc1000_weight=(9, 2048), fc1000_bias=(9,))
    renamed, notes = to_torchvision(arrays)
    assert {'conv1.weight', 'bn1.running_var', 'layer2.3.conv2.weight', 'layer4.0.downsample.1.bias'} < set(renamed)
    assert resnets.kind_of(renamed) == 'torchvision' and not any('left out' in note for note in notes)
    back = resnets.convert(renamed, 'torchvision').arrays
    assert set(back) == set(arrays)
    same = [name for name in arrays if np.array_equal(arrays[name], back[name])]
    assert len(same) == len(arrays) - 1  # conv1 is for images of another range, and then divided


def test_what_is_left_out_is_named():
    renamed, notes = to_torchvision(random_network(rpn_conv_3x3_weight=(2, 2), rpn_conv_3x3_bias=(2,)))
    assert not any('rpn' in name for name in renamed)
    assert notes[-1] == 'left out: rpn_conv_3x3_bias, rpn_conv_3x3_weight'


@pytest.mark.parametrize(
    'change, words',
    [
        ({'arg:res5a_branch2b_offset_weight': (18, 512, 3, 3)}, 'found deformable layers (res5a)'),
        ({'arg:conv1_weight': None}, 'a ResNet of 50, 101 or 152 layers, found none'),
        ({'arg:res2c_branch2a_weight': None}, 'found one with 2, 4, 6, 3 blocks of 64, 128, 256, 512 channels'),
        ({'aux:bn3a_branch1_moving_var': None}, 'bn3a_branch1_moving_var: expected a tensor for it'),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, words, tmp_path, capsys):
    arrays = random_network()
    arrays.update({name: np.ones(shape, np.float32) if shape else None for name, shape in change.items()})
    source = tmp_path / 'net-0000.params'
    params.write(str(source), {name: array for name, array in arrays.items() if array is not None})
    assert dcn(['convert', str(source), str(tmp_path / 'net.npz'), '--names', 'torchvision']) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0] and not (tmp_path / 'net.npz').exists()


def test_the_networks_own_names_are_those_of_a_state_dict(tmp_path, capsys):
    source, target = str(tmp_path / 'net-0000.params'), str(tmp_path / 'net.safetensors')
    arrays = random_network()
    params.write(source, arrays)
    assert not main([source, target, '--names', 'mxnet'])
    found = containers.read(target)
    assert set(found) == {name.split(':')[1] for name in arrays}
    assert np.array_equal(found['bn2a_branch1_moving_var'], arrays['aux:bn2a_branch1_moving_var'])
    assert dcn(['convert', source, str(tmp_path / 'other.params'), '--names', 'mxnet']) == 2
    assert 'expected a file that PyTorch reads' in capsys.readouterr().err
