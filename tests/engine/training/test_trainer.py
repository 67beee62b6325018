"""One step: the update rule, fixed names, devices and batches."""

import numpy as np
import pytest

from dcn.engine.training.trainer import Trainer, fixed_names
from dcn.engine.training.updater import multipliers
from dcn.errors import NonFinite, UserError
from tests.engine import tiny

import mxnet as mx

NET = tiny.symbol()


def trainer(devices=1, images=1, net=NET, **options):
    options = dict(dict(momentum=0.9, wd=0.1), **options)
    return Trainer(net, [mx.cpu(i) for i in range(devices)], *tiny.parameters(net, images), **options)


def gradients(run):
    return {name: grad.asnumpy() for name, grad in run.devices[0].grads.views.items()}


def test_sgd_by_hand():
    """m = .9 m - lr (g + wd w); w += m: wd on *_weight only, lr three times as large where lr_mult says so."""
    run = trainer()
    momentum = dict.fromkeys(gradients(run), 0.0)
    for step in range(2):
        before = {name: array.asnumpy() for name, array in run.params()[0].items()}
        run.forward_backward([tiny.inputs(step)])
        grads = gradients(run)
        run.update(lr=0.5)
        after = {name: array.asnumpy() for name, array in run.params()[0].items()}
        for name, weight in before.items():
            lr = 0.5 * (3.0 if name.startswith('cls') else 1.0)
            wd = 0.1 if name.endswith('_weight') else 0.0
            momentum[name] = 0.9 * momentum[name] - lr * (grads[name] + wd * weight)
            np.testing.assert_allclose(after[name], weight + momentum[name], rtol=1e-5, atol=1e-6)


def test_offset_layers_may_learn_at_a_pace_of_their_own():
    data, offset = mx.sym.Variable('data'), mx.sym.Variable('res5a_branch2b_offset_weight', lr_mult=2.0)
    net = mx.sym.FullyConnected(data * mx.sym.sum(offset), num_hidden=2, name='fc')
    names = ['fc_weight', 'fc_bias', 'res5a_branch2b_offset_weight']
    assert multipliers(net, names, 0.25) == {(1.0, 1.0): names[:1], (1.0, 0.0): names[1:2], (0.5, 1.0): names[2:]}
    assert (2.0, 1.0) in multipliers(net, names)


def test_first_step_of_adam_by_hand():
    """The first step moves every value by lr against the sign of its gradient: mean / sqrt(variance) is one after bias
    correction.
    """
    run = trainer(kind='adam', wd=0.0)
    before = run.params()[0]['conv_weight'].asnumpy()
    run.forward_backward([tiny.inputs(0)])
    grad = gradients(run)['conv_weight']
    run.update(lr=0.01)
    np.testing.assert_allclose(run.params()[0]['conv_weight'].asnumpy(), before - 0.01 * np.sign(grad), atol=1e-5)


def one_move(**options):
    """How every parameter but cls moves at learning rate 1, without momentum and decay; the norm of all gradients."""
    run = trainer(momentum=0.0, wd=0.0, **options)
    before = {name: array.asnumpy() for name, array in run.params()[0].items() if not name.startswith('cls')}
    run.forward_backward([tiny.inputs(0)])
    norm = np.sqrt(sum((grad**2).sum() for grad in gradients(run).values()))
    run.update(lr=1.0)
    return {name: run.params()[0][name].asnumpy() - array for name, array in before.items()}, norm


def test_clipping_by_the_global_norm():
    (free, norm), (clipped, _) = one_move(), one_move(clip_norm=0.01)
    assert norm > 0.02
    for name in free:
        np.testing.assert_allclose(clipped[name], free[name] * 0.01 / norm, rtol=1e-3, atol=1e-7)


def test_rescaled_gradients_are_clipped_after_that():
    """FPN's mean over two images, then the norm of that mean."""
    (free, _), (mean, _) = one_move(), one_move(rescale=0.5)
    (clipped, _), (mean_clipped, _) = one_move(clip_norm=0.01), one_move(clip_norm=0.01, rescale=0.5)
    for name in free:
        np.testing.assert_allclose(mean[name], 0.5 * free[name], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(mean_clipped[name], clipped[name], rtol=1e-3, atol=1e-7)


def test_fixed_parameters_are_substrings_and_do_not_move():
    run = trainer(fixed=['conv', 'box_b'])
    assert (
        run.fixed
        == fixed_names(NET, ['conv', 'box_b'])
        == ['conv_weight', 'conv_bias', 'rpn_box_bias', 'rfcn_bbox_bias']
    )
    before = {name: array.asnumpy() for name, array in run.params()[0].items()}
    run.forward_backward([tiny.inputs(0)])
    run.update(lr=0.1)
    moved = {name for name, array in run.params()[0].items() if (array.asnumpy() != before[name]).any()}
    assert moved == set(before) - set(run.fixed)


def test_two_devices_equal_one_with_two_images():
    """With as many counted labels in each image, the batch of two with doubled class losses is the sum over devices;
    here both sums are compared
    through single devices."""
    both = trainer(devices=2)
    singles = []
    for key in (0, 1):
        run = trainer()
        run.forward_backward([tiny.inputs(key)])
        singles.append(gradients(run))
    both.forward_backward([tiny.inputs(0), tiny.inputs(1)])
    both.update(lr=0.1)
    for name, grad in gradients(both).items():
        np.testing.assert_allclose(grad, singles[0][name] + singles[1][name], rtol=1e-5, atol=1e-6)
    for name, array in both.devices[0].params.items():
        np.testing.assert_array_equal(array.asnumpy(), both.devices[1].params[name].asnumpy())


def test_auxiliary_states_are_averaged():
    run = trainer(devices=2, net=tiny.symbol(batch_norm=True))
    run.forward_backward([tiny.inputs(0), tiny.inputs(1)])
    apart = [device.aux['bn_moving_mean'].asnumpy() for device in run.devices]
    assert (apart[0] != apart[1]).all()
    mean = run.params()[1]['bn_moving_mean'].asnumpy()
    np.testing.assert_allclose(mean, (apart[0] + apart[1]) / 2, rtol=1e-6)
    # asking for them changes nothing: how often a run saves must not change what it learns
    for device, before in zip(run.devices, apart):
        np.testing.assert_array_equal(device.aux['bn_moving_mean'].asnumpy(), before)


def test_executors_of_several_shapes_share_parameters():
    run = trainer()
    small = run.forward_backward([tiny.inputs(0)])[0][2]
    run.forward_backward([tiny.inputs(1, images=2)])
    again = run.forward_backward([tiny.inputs(0)])[0][2]
    np.testing.assert_array_equal(small, again)
    grads = gradients(run)
    run.update(lr=0.1)
    fresh = trainer()
    fresh.forward_backward([tiny.inputs(0)])
    for name, grad in gradients(fresh).items():
        np.testing.assert_array_equal(grad, grads[name])


def test_both_engines_say_it_alike():
    """The layer is known to one of them, which can also leave batches out."""
    plain, found = NonFinite.of(7, 'the gradient'), NonFinite.of(7, 'the gradient', 'in the layer conv1', skips=True)
    assert str(plain) == (
        'update 7: the gradient is not finite; the parameters were not updated and no checkpoint was written: lower '
        'TRAIN.lr, set TRAIN.clip_gradient, or check the data with "dcn validate".'
    )
    assert 'is not finite; first in the layer conv1; the parameters' in str(found)
    assert str(found).endswith('"dcn validate", or leave such batches out with --set TRAIN.nonfinite=skip.')


@pytest.mark.parametrize('name, output', [('data', 'rpn_cls_prob_output'), ('bbox_target', 'rpn_bbox_loss_output')])
def test_a_loss_that_is_not_finite_stops_the_run(name, output):
    run = trainer()
    values = tiny.inputs(0)
    values[name][0, 0, 0, 0] = np.nan
    values['bbox_weight'][:] = 1
    before = run.params()[0]['conv_weight'].asnumpy()
    with pytest.raises(UserError, match=f'update 1: the output {output} is not finite'):
        run.forward_backward([values])
    np.testing.assert_array_equal(run.params()[0]['conv_weight'].asnumpy(), before)
