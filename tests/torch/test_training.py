"""Updates: the PyTorch engine's Trainer beside MXNet's, on the same batches."""

import numpy as np
import pytest

from tests.graphs.conftest import DEEPLAB_DCN, FASTER_DCN, FPN_DCN, VOC_DCN, network  # noqa: F401
from tests.graphs.steps import small
from tests.torch.both import CASES, IDS, MODULATED, TRAINED, training_inputs

torch = pytest.importorskip('torch')
FIXED = ('conv1', 'bn_conv1', 'res2', 'bn2', 'gamma', 'beta')


def parameters(cfg, made, inputs):
    """First parameters as NDArrays."""
    made.infer_shape({name: value.shape for name, value in inputs.items()})
    args, auxs = {}, {}
    getattr(made, 'init_weights' if hasattr(made, 'init_weights') else 'init_weight')(cfg, args, auxs)
    return {name: args[name] for name in made.arg_shape_dict if name not in inputs}, auxs


def trainers(made, params, devices=1, fixed=FIXED, **options):
    """(MXNet's, PyTorch's) of a training graph."""
    from dcn.engine.training.trainer import Trainer as InMXNet
    from dcn.torch.trainer import Trainer as InTorch

    import mxnet as mx

    args, auxs = params
    return (
        InMXNet(made.sym, [mx.cpu(i) for i in range(devices)], args, auxs, fixed, **options),
        InTorch(made.sym, [torch.device('cpu')] * devices, args, auxs, fixed, **options),
    )


def arrays(trainer):
    """{name: array} of all parameters and auxiliary states."""
    args, auxs = trainer.params()
    return {name: array.asnumpy() if hasattr(array, 'asnumpy') else array for name, array in {**args, **auxs}.items()}


def assert_together(one, other, before, tolerance=1e-3):
    """Parameters have moved by the same, within ``tolerance`` of how far they have moved."""
    assert set(one) == set(other)
    moved, apart = 0.0, 0.0
    for name in one:
        error = np.linalg.norm(one[name].astype(np.float64) - other[name])
        norm = np.linalg.norm(one[name].astype(np.float64))
        assert error <= tolerance * norm + 1e-7, f'{name}: error {error:.3g}, norm {norm:.3g}'
        moved += np.linalg.norm(one[name].astype(np.float64) - before[name]) ** 2
        apart += error**2
    assert moved > 0 and apart <= tolerance**2 * moved


@pytest.mark.parametrize('clip_norm', [None, 1.0])
def test_a_gradient_that_is_not_finite_updates_nothing(network, clip_norm):
    """A norm that is no number would switch clipping off and spread through all parameters."""
    from dcn.errors import NonFinite

    import mxnet as mx

    cfg, made = network(DEEPLAB_DCN, [*small(DEEPLAB_DCN), *TRAINED[-1:]])
    inputs = training_inputs(made, DEEPLAB_DCN)
    in_mxnet, in_torch = trainers(made, parameters(cfg, made, inputs), clip_norm=clip_norm)
    for trainer, grads in ((in_mxnet, in_mxnet.devices[0].grads), (in_torch, in_torch.grads[0])):
        before = arrays(trainer)
        trainer.forward_backward([inputs])
        mx.nd.waitall()
        grads.flat[3:4] = float('nan')
        with pytest.raises(NonFinite, match='the gradient is not finite'):
            trainer.update(0.1)
        after = arrays(trainer)
        assert all(np.array_equal(before[name], after[name]) for name in before if 'moving' not in name)
        assert trainer.updater.count == 0


@pytest.mark.parametrize(
    'stem', [VOC_DCN, DEEPLAB_DCN, *(pytest.param(stem, marks=pytest.mark.full) for stem in (FASTER_DCN, FPN_DCN))]
)
def test_twenty_sgd_updates_stay_together(stem, network):
    """Momentum, weight decay, multipliers of the graph, and a change of the learning rate on the way."""
    import mxnet as mx

    cfg, made = network(stem, [*small(stem), *(TRAINED[-1:] if stem == DEEPLAB_DCN else TRAINED)])
    inputs = training_inputs(made, stem)
    both = trainers(made, parameters(cfg, made, inputs), momentum=0.9, wd=0.0005)
    before = arrays(both[1])
    for update in range(20):
        for trainer in both:
            trainer.forward_backward([inputs])
            trainer.update(0.002 if update < 12 else 0.0002)
            mx.nd.waitall()  # what MXNet still computes must not meet NumPy in another thread
    assert_together(*map(arrays, both), before)
    assert both[0].updater.count == both[1].updater.count == 20


@pytest.mark.parametrize(
    'options',
    [
        dict(kind='adam', wd=0.01),
        dict(clip_norm=0.5, momentum=0.8, rescale=0.5),
        dict(kind='adam', clip_norm=1.0, offset_lr_mult=0.1),
    ],
)
def test_other_options_of_the_update(options, network):
    cfg, made = network(DEEPLAB_DCN, [*small(DEEPLAB_DCN), *TRAINED[-1:], 'network.train_bn=true'])
    inputs = training_inputs(made, DEEPLAB_DCN)
    both = trainers(made, parameters(cfg, made, inputs), fixed=(), **options)
    before = arrays(both[1])
    for _ in range(4):
        for trainer in both:
            trainer.forward_backward([inputs])
            trainer.update(0.001)
    # Adam divides by the size of a gradient, and rounding decides where that is zero
    assert_together(*map(arrays, both), before, 1e-3 if 'kind' not in options else 1e-2)


def test_two_devices_are_summed_as_with_mxnet(network):
    """Loss normalisation is per device, gradients are summed, running statistics averaged."""
    cfg, made = network(DEEPLAB_DCN, [*small(DEEPLAB_DCN), *TRAINED[-1:], 'network.train_bn=true'])
    inputs = training_inputs(made, DEEPLAB_DCN, 4)
    halves = [{name: value[part] for name, value in inputs.items()} for part in (slice(0, 2), slice(2, 4))]
    both = trainers(made, parameters(cfg, made, halves[0]), devices=2, fixed=())
    before = arrays(both[1])
    for _ in range(3):
        for trainer in both:
            trainer.forward_backward(halves)
            trainer.update(0.0005)
    assert_together(*map(arrays, both), before)


def test_the_state_passes_from_engine_to_engine(network):
    """Two updates in one, two in the other, both ways: as four in one."""
    cfg, made = network(DEEPLAB_DCN, [*small(DEEPLAB_DCN), *TRAINED[-1:]])
    inputs = training_inputs(made, DEEPLAB_DCN)
    params = parameters(cfg, made, inputs)

    def run(trainer, updates):
        for _ in range(updates):
            trainer.forward_backward([inputs])
            trainer.update(0.002)
        return trainer

    import mxnet as mx

    whole = run(trainers(made, params)[0], 4)
    before = {name: array.asnumpy() for name, array in {**params[0], **params[1]}.items()}
    for first, second in ((0, 1), (1, 0)):
        half = run(trainers(made, params)[first], 2)
        known = {name: mx.nd.array(array) for name, array in arrays(half).items()}
        found = [{name: known[name] for name in group} for group in params]
        rest = trainers(made, found)[second]
        rest.updater.load_state(half.updater.state(), half.updater.count)
        assert_together(arrays(whole), arrays(run(rest, 2)), before)


@pytest.mark.parametrize('stem, rule', CASES, ids=IDS)
def test_multipliers_are_those_of_mxnet(stem, rule, network):
    """lr_mult and wd_mult, as MXNet's optimizer reads them from the symbol."""
    from dcn.engine.training.updater import multipliers as of_mxnet
    from dcn.formats import symbol_json
    from dcn.torch.updater import multipliers

    _, made = network(stem, [*small(stem), *rule])
    names = [name for name in made.sym.list_arguments() if name.endswith(('weight', 'bias', 'gamma', 'beta'))]
    expected = of_mxnet(made.sym, names, 0.5)
    assert multipliers(symbol_json.loads(made.sym.tojson()), names, 0.5) == expected
    if rule is MODULATED or stem in (FASTER_DCN, FPN_DCN):
        assert len(expected) > 2


def test_what_is_not_finite_ends_the_training(network):
    from dcn.errors import UserError

    cfg, made = network(DEEPLAB_DCN, [*small(DEEPLAB_DCN), *TRAINED[-1:]])
    inputs = training_inputs(made, DEEPLAB_DCN)
    trainer = trainers(made, parameters(cfg, made, inputs))[1]
    with pytest.raises(UserError, match='update 1: the output softmax_output is not finite'):
        trainer.forward_backward([dict(inputs, data=np.full_like(inputs['data'], np.nan))])


def test_a_state_of_another_network_is_named(network):
    from dcn.errors import UserError

    cfg, made = network(DEEPLAB_DCN, [*small(DEEPLAB_DCN), *TRAINED[-1:]])
    trainer = trainers(made, parameters(cfg, made, training_inputs(made, DEEPLAB_DCN)))[1]
    with pytest.raises(UserError, match='training state: expected momentum:.* found nothing'):
        trainer.updater.load_state({}, 3)


def test_bfloat16_stays_near(network):
    """Probabilities within five points of float32's, parameters in float32."""
    from dcn.torch.trainer import Trainer

    cfg, made = network(DEEPLAB_DCN, [*small(DEEPLAB_DCN), *TRAINED[-1:]])
    inputs = training_inputs(made, DEEPLAB_DCN)
    params = parameters(cfg, made, inputs)
    outputs = []
    for bfloat16 in (False, True):
        trainer = Trainer(made.sym, [torch.device('cpu')], *params, FIXED, bfloat16=bfloat16)
        outputs.append(trainer.forward_backward([inputs])[0][0])
        trainer.update(0.001)
        assert all(array.dtype == np.float32 for array in arrays(trainer).values())
    assert 0 < np.abs(outputs[0] - outputs[1]).max() < 0.05
