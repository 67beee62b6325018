"""Each kind of operator beside stock MXNet's: outputs, gradients and auxiliary states of graphs of one or two nodes."""

import numpy as np
import pytest

from dcn.errors import UserError

torch = pytest.importorskip('torch')


def in_mxnet(symbol, arrays, auxs, is_train=True):
    """(outputs, gradients, auxiliary states afterwards) as NumPy arrays."""
    import mxnet as mx

    args = {name: mx.nd.array(array) for name, array in arrays.items()}
    grads = {name: mx.nd.zeros(array.shape) for name, array in arrays.items()}
    aux = {name: mx.nd.array(array) for name, array in auxs.items()}
    executor = symbol.bind(mx.cpu(), args, args_grad=grads, aux_states=aux)
    outputs = [output.asnumpy() for output in executor.forward(is_train=is_train)]
    if is_train:
        executor.backward([mx.nd.array(_head_gradient(output)) for output in outputs])
    return outputs, {k: v.asnumpy() for k, v in grads.items()}, {k: v.asnumpy() for k, v in aux.items()}


def in_torch(symbol, arrays, auxs, is_train=True):
    from dcn.formats import symbol_json
    from dcn.torch import Network

    network = Network(symbol_json.loads(symbol.tojson()), arrays, auxs).train(is_train)
    outputs = list(network().values())
    if is_train:
        heads = [output for output in outputs if output.requires_grad]
        torch.autograd.backward(heads, [torch.from_numpy(_head_gradient(head.detach().numpy())) for head in heads])
    grads = {
        name: np.zeros(tuple(p.shape), np.float32) if p.grad is None else p.grad.numpy()
        for name, p in network.named_parameters()
    }
    states = {name: array.numpy() for name, array in network.named_buffers()}
    return [output.detach().numpy() for output in outputs], grads, states


def _head_gradient(output):
    """Of no special form, the same in both engines."""
    return np.cos(np.arange(output.size)).reshape(output.shape).astype(np.float32)


def check(symbol, shapes, is_train=True, fills=None, tolerance=1e-5):
    """Both engines agree on ``symbol``; shapes: of its arguments; fills: {name: array}."""
    draw = np.random.default_rng(5)
    arrays = {name: draw.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    arrays.update(fills or {})
    _, _, aux_shapes = symbol.infer_shape(**{name: array.shape for name, array in arrays.items()})
    auxs = {
        name: draw.uniform(0.5, 1.5, shape).astype(np.float32)
        for name, shape in zip(symbol.list_auxiliary_states(), aux_shapes)
    }
    found, expected = (engine(symbol, arrays, auxs, is_train) for engine in (in_torch, in_mxnet))
    for one, other in zip(found[0], expected[0]):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    for parts in (1, 2):
        if parts == 1 and not is_train:
            continue
        assert set(found[parts]) == set(expected[parts])
        for name, array in expected[parts].items():
            np.testing.assert_allclose(found[parts][name], array, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.fixture
def sym(operators):
    import mxnet as mx

    return mx.sym


LAYERS = {
    'convolution': (
        lambda s: s.Convolution(
            s.Variable('x'),
            kernel=(3, 2),
            stride=(2, 1),
            pad=(1, 0),
            dilate=(2, 1),
            num_filter=6,
            num_group=2,
            name='c',
        ),
        dict(x=(2, 4, 9, 8), c_weight=(6, 2, 3, 2), c_bias=(6,)),
    ),
    'deconvolution': (
        lambda s: s.Deconvolution(
            s.Variable('x'), kernel=(4, 3), stride=(2, 2), pad=(1, 0), adj=(1, 0), num_filter=4, num_group=2, name='d'
        ),
        dict(x=(2, 4, 4, 5), d_weight=(4, 2, 4, 3)),
    ),
    'fully connected': (
        lambda s: s.FullyConnected(s.Variable('x'), num_hidden=5, name='f'),
        dict(x=(3, 2, 2, 3), f_weight=(5, 12), f_bias=(5,)),
    ),
    'fully connected along the last axis': (
        lambda s: s.FullyConnected(s.Variable('x'), num_hidden=5, flatten=False, no_bias=True, name='f'),
        dict(x=(3, 2, 4), f_weight=(5, 4)),
    ),
    'sigmoid': (lambda s: s.Activation(s.Variable('x'), act_type='sigmoid'), dict(x=(2, 3))),
    'tanh': (lambda s: s.Activation(s.Variable('x'), act_type='tanh'), dict(x=(2, 3))),
    'softrelu': (lambda s: s.Activation(s.Variable('x'), act_type='softrelu'), dict(x=(2, 3))),
    'upsampling': (
        lambda s: s.UpSampling(s.Variable('x'), scale=3, sample_type='nearest', num_args=1),
        dict(x=(2, 3, 2, 3)),
    ),
    'crop': (
        lambda s: s.Crop(s.Variable('x'), s.Variable('like'), offset=(2, 1), num_args=2),
        dict(x=(2, 3, 9, 8), like=(1, 1, 5, 6)),
    ),
    'crop to a size': (
        lambda s: s.Crop(s.Variable('x'), h_w=(4, 3), center_crop=True, num_args=1),
        dict(x=(2, 3, 9, 8)),
    ),
    'sum of several uses': (
        lambda s: (lambda x, y: s.add_n(x * 2, s.broadcast_mul(x, y), s.Activation(x, act_type='tanh')))(
            s.Variable('x'), s.Variable('y')
        ),
        None,
    ),
    'broadcasting': (lambda s: s.broadcast_mul(s.Variable('x'), s.Variable('y')), dict(x=(2, 3, 4), y=(2, 1, 4))),
    'difference': (lambda s: (s.Variable('x') - s.Variable('y')) * 3, None),
    'parts': (
        lambda s: s.Group(list(s.SliceChannel(s.Variable('x'), num_outputs=3, axis=1))),
        dict(x=(2, 6, 4)),
    ),
    'parts without their axis': (
        lambda s: s.SliceChannel(s.Variable('x'), num_outputs=3, axis=2, squeeze_axis=True)[1],
        dict(x=(2, 4, 3)),
    ),
    'slice': (lambda s: s.slice_axis(s.Variable('x'), axis=1, begin=2, end=None), dict(x=(2, 6, 4))),
    'slice from the end': (lambda s: s.slice_axis(s.Variable('x'), axis=-1, begin=-3, end=-1), dict(x=(2, 6, 4))),
    'concatenation': (lambda s: s.Concat(s.Variable('x'), s.Variable('y'), dim=2), dict(x=(2, 3, 2), y=(2, 3, 4))),
    'flatten': (lambda s: s.Flatten(s.Variable('x')), dict(x=(2, 3, 2))),
    'copy': (lambda s: s.identity(s.Variable('x')), dict(x=(2, 3))),
    'no gradient': (lambda s: s.Group([s.BlockGrad(s.Variable('x') * 2), s.Variable('x') * 1.5]), dict(x=(2, 3))),
    'softmax': (lambda s: s.softmax(s.Variable('x'), axis=1), dict(x=(2, 3, 4))),
    'softmax of channels': (lambda s: s.SoftmaxActivation(s.Variable('x'), mode='channel'), dict(x=(2, 3, 2, 2))),
    'softmax of rows': (lambda s: s.SoftmaxActivation(s.Variable('x')), dict(x=(2, 5))),
    'smooth L1': (lambda s: s.smooth_l1(s.Variable('x'), scalar=3.0), dict(x=(4, 50))),
    'smooth L1, plain': (lambda s: s.smooth_l1(s.Variable('x')), dict(x=(4, 50))),
    'largest of all': (lambda s: s.Pooling(s.Variable('x'), pool_type='max', global_pool=True), dict(x=(2, 3, 4, 5))),
    'mean of all': (
        lambda s: s.Pooling(s.Variable('x'), pool_type='avg', global_pool=True, kernel=(7, 7)),
        dict(x=(2, 3, 4, 5)),
    ),
}


@pytest.mark.parametrize('name', LAYERS)
def test_layers(name, sym):
    build, shapes = LAYERS[name]
    check(build(sym), shapes or dict(x=(2, 3), y=(2, 3)))


@pytest.mark.parametrize(
    'shape, reverse',
    [
        ((0, 2, -1, 0), False),
        ((-1, 6), False),
        ((0, -2), False),
        ((-3, 0, -1), False),
        ((0, -4, 2, -1, -2), False),
        ((-4, -1, 2, -2), False),
        ((-1, 0), True),
        ((0, -3, 0), True),
    ],
)
def test_reshape(shape, reverse, sym):
    check(sym.Reshape(sym.Variable('x'), shape=shape, reverse=reverse), dict(x=(2, 6, 4, 3)))


@pytest.mark.parametrize('kind', ['max', 'avg'])
@pytest.mark.parametrize('convention', ['valid', 'full'])
@pytest.mark.parametrize('kernel, stride, pad', [((3, 3), (2, 2), (0, 0)), ((3, 2), (2, 1), (1, 0))])
def test_pooling(kind, convention, kernel, stride, pad, sym):
    """Odd and even sizes: with 'full' the last window sticks out."""
    for size in ((9, 8), (8, 10)):
        # gradients of MXNet's mean do not fit its own values where a window sticks out beyond padding
        is_train = not (kind == 'avg' and convention == 'full' and any(pad))
        check(
            sym.Pooling(
                sym.Variable('x'),
                kernel=kernel,
                stride=stride,
                pad=pad,
                pool_type=kind,
                pooling_convention=convention,
            ),
            dict(x=(2, 3, *size)),
            is_train,
        )


def test_a_pooling_window_that_lies_outside_is_refused(sym):
    from dcn.formats import symbol_json
    from dcn.torch import Network

    made = sym.Pooling(
        sym.Variable('x'),
        kernel=(2, 2),
        stride=(2, 2),
        pad=(1, 1),
        pooling_convention='full',
        pool_type='max',
        name='n',
    )
    with pytest.raises(UserError, match='node n, operator Pooling: the last window .* would lie outside'):
        Network(symbol_json.loads(made.tojson()), {}, {})(x=torch.zeros(1, 1, 5, 5))


@pytest.mark.parametrize('is_train', [True, False])
@pytest.mark.parametrize('use_global_stats', [True, False])
@pytest.mark.parametrize('fix_gamma', [True, False])
def test_batch_norm(is_train, use_global_stats, fix_gamma, sym):
    """Frozen, as in the detectors, and learning; the running statistics move as MXNet moves them."""
    made = sym.BatchNorm(
        sym.Variable('x'), fix_gamma=fix_gamma, use_global_stats=use_global_stats, eps=1e-5, momentum=0.8, name='b'
    )
    check(made, dict(x=(3, 4, 5, 2), b_gamma=(4,), b_beta=(4,)), is_train, tolerance=2e-5)


@pytest.mark.parametrize('normalization', ['null', 'batch', 'valid'])
@pytest.mark.parametrize('use_ignore', [True, False])
@pytest.mark.parametrize('multi_output', [True, False])
def test_softmax_output(normalization, use_ignore, multi_output, sym):
    """Labels of -1 and of 2, one of which is ignored where anything is."""
    draw = np.random.default_rng(0)
    for ignored in (-1, 2):
        made = sym.SoftmaxOutput(
            sym.Variable('x'),
            sym.Variable('label'),
            normalization=normalization,
            use_ignore=use_ignore,
            multi_output=multi_output,
            ignore_label=ignored,
            grad_scale=0.7,
        )
        shape = (3, 4, 5) if multi_output else (7, 4)
        label = draw.integers(-1, 4, (3, 5) if multi_output else 7).astype(np.float32)
        if not use_ignore:
            label = np.maximum(label, 0)  # MXNet reads the column -1 there
        check(made, dict(x=shape), fills=dict(label=label))
        check(made, dict(x=shape), fills=dict(label=label), is_train=False)


@pytest.mark.parametrize('normalization', ['null', 'batch', 'valid'])
def test_make_loss(normalization, sym):
    """The gradient from above does not count."""
    loss = sym.MakeLoss(sym.Variable('x') * 2, grad_scale=0.3, normalization=normalization, valid_thresh=0.2)
    check(loss, dict(x=(3, 4)))


def test_a_label_that_nobody_gives(sym):
    """In testing a softmax needs none; the label that MXNet invents is no parameter."""
    from dcn.formats import symbol_json
    from dcn.torch import Network

    made = sym.SoftmaxOutput(sym.Variable('x'), name='p')
    network = Network(symbol_json.loads(made.tojson()), {}, {}).eval()
    assert network.inputs == ['x', 'p_label']
    out = network(x=torch.zeros(2, 4))['p_output']
    assert torch.equal(out, torch.full((2, 4), 0.25))
    with pytest.raises(UserError, match='the input x is missing; the network reads x, p_label'):
        network()


def test_dropout_only_in_training(sym):
    from dcn.formats import symbol_json
    from dcn.torch import Network

    network = Network(symbol_json.loads(sym.Dropout(sym.Variable('x'), p=0.5, name='d').tojson()), {}, {})
    x = torch.ones(50, 50)
    assert torch.equal(network.eval()(x=x)['d_output'], x)
    found = network.train()(x=x)['d_output']
    assert set(found.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(
    'build, sentence',
    [
        (lambda s, x: s.erf(x, name='n'), 'node n: the operator erf is not supported by the PyTorch engine'),
        (
            lambda s, x: s.Pooling(x, kernel=(2, 2), pool_type='sum', name='n'),
            "node n, operator Pooling: attribute pool_type: expected max or avg, found 'sum'",
        ),
        (
            lambda s, x: s.UpSampling(x, scale=2, sample_type='bilinear', num_filter=1, num_args=2, name='n'),
            "node n, operator UpSampling: attribute sample_type: expected nearest, found 'bilinear'",
        ),
    ],
)
def test_what_is_not_known_is_named(build, sentence, sym):
    from dcn.formats import symbol_json
    from dcn.torch import Network

    with pytest.raises(UserError, match=sentence):
        Network(symbol_json.loads(build(sym, sym.Variable('x')).tojson()), {}, {})(x=torch.zeros(1, 1, 5))


@pytest.mark.parametrize('no_bias', [False, True])
def test_wide_convolutions_are_trained_by_winograds_operator(no_bias, sym, operators):
    """Outputs and gradients are MXNet's; half precision is PyTorch's own."""
    from dcn.formats import symbol_json
    from dcn.torch import Network

    build = sym.Convolution(sym.Variable('x'), kernel=(3, 3), pad=(1, 1), num_filter=130, no_bias=no_bias, name='c')
    shapes = dict(x=(2, 128, 9, 7), c_weight=(130, 128, 3, 3), **({} if no_bias else {'c_bias': (130,)}))
    draw = np.random.default_rng(3)
    arrays = {name: draw.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    network = Network(symbol_json.loads(build.tojson()), arrays, {}).train()

    (expected,), slopes, _ = in_mxnet(build, arrays, {})
    found = network()['c_output'].detach().numpy()
    direct = torch.nn.functional.conv2d(*map(torch.from_numpy, arrays.values()), padding=1).numpy()
    assert 0 < np.abs(found - direct).max(), 'another algorithm rounds otherwise'
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())

    network.x.requires_grad_(False)  # what lies below is frozen
    for names in ([*shapes][1:], [*shapes]):
        network.x.requires_grad_('x' in names)
        network.zero_grad()
        network()['c_output'].backward(torch.from_numpy(_head_gradient(expected)))
        for name in names:
            slope = network.get_parameter(name).grad.numpy()
            # the head's numbers, up to 1, nearly cancel in the bias
            largest_slope = max(1, np.abs(slopes[name]).max())
            np.testing.assert_allclose(slope, slopes[name], rtol=0, atol=1e-5 * largest_slope)
        assert 'x' in names or network.x.grad is None

    with torch.no_grad():
        network.c_weight.mul_(2)
    without_bias = 0 if no_bias else arrays['c_bias'][:, None, None]
    doubled = network()['c_output'].detach().numpy() - without_bias
    np.testing.assert_allclose(doubled, 2 * (expected - without_bias), rtol=0, atol=3e-5 * np.abs(expected).max())
    with torch.autocast('cpu', torch.bfloat16):
        assert network()['c_output'].dtype == torch.bfloat16
