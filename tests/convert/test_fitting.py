"""A plain checkpoint starts a deformable network with equal outputs; other class counts keep what fits."""

import numpy as np
import pytest

from dcn.cli.convert import main
from dcn.convert import fitting
from dcn.errors import UserError
from dcn.formats import params as params_file
from dcn.inspection.render.diagnosis import sentence
from tests.graphs.conftest import SMALL, VOC, VOC_DCN, network  # noqa: F401  a fixture
from tests.graphs.runs import pictured


def test_the_bilinear_filter_of_more_classes():
    old = np.random.default_rng(0).normal(size=(1, 1, 4, 4)).repeat(19, axis=0)
    assert (fitting.first_value('upsampling_weight', (21, 1, 4, 4), 0, old) == old[0]).all()


def test_first_values_are_those_of_training(operators):
    from dcn.symbols.initialise import initial_value

    for name, shape in (
        ('rfcn_cls_weight', (8, 4, 1, 1)),
        ('rfcn_cls_bias', (8,)),
        ('bn_conv1_gamma', (3,)),
        ('res5a_branch2b_offset_weight', (18, 2, 3, 3)),
    ):
        assert np.array_equal(fitting.first_value(name, shape, 7), initial_value(name, shape, 7, ('rfcn_cls',)))


@pytest.fixture
def plain(network, tmp_path):
    """A function: overrides -> (path of a checkpoint of the small plain network with random values, its outputs)."""
    import mxnet as mx

    def make(overrides=()):
        cfg, made = network(VOC, [*SMALL, *overrides], False)
        inputs = pictured(64, 96)
        made.infer_shape({name: value.shape for name, value in inputs.items()})
        args, auxs = {}, {}
        made.init_weight(cfg, args, auxs)
        rng = np.random.default_rng(3)
        for name in args:  # scores and boxes that differ from place to place
            if name.startswith(('rfcn', 'rpn', 'conv_new')) and name.endswith('_weight'):
                args[name] = mx.nd.array(rng.normal(0, 0.3, args[name].shape))
        arrays = {
            **{f'arg:{name}': value.asnumpy() for name, value in args.items()},
            **{f'aux:{name}': value.asnumpy() for name, value in auxs.items()},
        }
        params_file.write(str(tmp_path / 'plain-0000.params'), arrays)
        return str(tmp_path / 'plain-0000.params'), outputs(made, arrays)

    return make


def outputs(made, arrays):
    """{output: array} of a network on the test picture."""
    import mxnet as mx

    inputs = pictured(64, 96)
    made.infer_shape({name: value.shape for name, value in inputs.items()})
    values = {key.split(':', 1)[1]: mx.nd.array(array) for key, array in arrays.items()}
    values.update({name: mx.nd.array(value) for name, value in inputs.items()})
    executor = made.sym.bind(
        mx.cpu(),
        {name: values[name] for name in made.sym.list_arguments()},
        aux_states={name: values[name] for name in made.sym.list_auxiliary_states()},
    )
    return dict(zip(made.sym.list_outputs(), (value.asnumpy() for value in executor.forward())))


@pytest.mark.parametrize(
    'stem, pooling',
    [
        # deformable convolutions alone; with deformable pooling, which without offsets averages bilinear samples
        ('deform_conv_demo', 'integer'),
        (VOC_DCN, 'bilinear'),
    ],
)
def test_a_deformable_network_starts_as_the_plain_one(stem, pooling, plain, network, repository, tmp_path, capsys):
    path, expected = plain([f'network.roi_pooling={pooling}'])
    target = str(tmp_path / 'start-0000.params')
    cfg = str(repository / 'experiments' / 'rfcn' / 'cfgs' / f'{stem}.yaml')
    main([path, target, '--cfg', cfg, '--set', *SMALL])
    assert 'offset parameters are zero' in capsys.readouterr().out
    _, made = network(stem, SMALL, False)
    found = outputs(made, params_file.read(target))
    assert np.ptp(expected['cls_prob_reshape_output']) > 0.01
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-4 * max(1, np.abs(value).max()), err_msg=name)


def test_other_classes_and_a_stranger(plain, repository, tmp_path, capsys):
    path, _ = plain()
    target = str(tmp_path / 'start-0000.params')
    cfg = str(repository / 'experiments' / 'rfcn' / 'cfgs' / f'{VOC}.yaml')
    main([path, target, '--cfg', cfg, '--set', *SMALL, 'dataset.NUM_CLASSES=4', '--test-weights'])
    text = capsys.readouterr().out
    assert '2 start anew: rfcn_cls_weight (shape (1029, 16, 1, 1) -> (196, 16, 1, 1))' in text
    before, after = params_file.read(path), params_file.read(target)
    assert np.array_equal(after['arg:rfcn_bbox_weight'], before['arg:rfcn_bbox_weight'])
    std = np.repeat(np.tile(np.float32([0.1, 0.1, 0.2, 0.2]), 2), 49).reshape(-1, 1, 1, 1)
    assert np.array_equal(after['arg:rfcn_bbox_weight_test'], after['arg:rfcn_bbox_weight'] * std)
    params_file.write(path, {'arg:unknown': np.ones(1)})
    with pytest.raises(UserError, match='found none of its'):
        main([path, target, '--cfg', cfg, '--set', *SMALL])


def test_weights_for_testing_without_an_experiment_file(plain, tmp_path):
    path, _ = plain()
    target = str(tmp_path / 'out.params')
    main([path, target, '--test-weights'])
    from dcn.inspection.checkpoint.diagnosis import examine

    assert any(
        'weights for testing are there and right' in sentence(note)
        for note in examine(params_file.open_params(target), target).of('ok')
    )
    params_file.write(path, {'arg:unknown': np.ones(1)})
    with pytest.raises(UserError, match='--test-weights: expected a detection network'):
        main([path, target, '--test-weights'])
