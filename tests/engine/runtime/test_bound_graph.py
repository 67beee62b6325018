"""The engine binds a rewritten graph, gives the published one where it is asked to, and saves neither."""

import numpy as np
import pytest

from dcn.config import load_config
from dcn.config.overriding import graph_argument, override_argument

pytestmark = pytest.mark.usefixtures('operators')


def normed():
    """A test graph: convolution, frozen batch norm, ReLU; its parameters."""
    import mxnet as mx

    layer = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(1, 1), num_filter=1, no_bias=True, name='conv')
    layer = mx.sym.BatchNorm(layer, fix_gamma=False, use_global_stats=True, eps=1e-5, name='bn')
    args = {'conv_weight': mx.nd.ones((1, 1, 1, 1)), 'bn_gamma': mx.nd.full(1, 2.0), 'bn_beta': mx.nd.ones(1)}
    auxs = {'bn_moving_mean': mx.nd.full(1, 3.0), 'bn_moving_var': mx.nd.full(1, 4.0)}
    return mx.sym.Activation(layer, act_type='relu', name='relu'), args, auxs


@pytest.mark.parametrize('rewrite, names', [(True, {'conv_weight', 'conv_bias'}), (False, None)])
def test_predictor(rewrite, names):
    """1 * 2 / 2 * (x - 3) + 1, and nothing below zero."""
    from dcn.engine import Predictor

    import mxnet as mx

    symbol, args, auxs = normed()
    predictor = Predictor(symbol, mx.cpu(), {**args, 'surplus': mx.nd.ones(3)}, auxs, rewrite=rewrite)
    assert set(predictor.executors.params) == (names or set(args))
    (found,) = predictor.predict({'data': np.array([1.0, 3.0, 5.0]).reshape(1, 1, 1, 3)}).values()
    np.testing.assert_allclose(found.ravel(), [0, 1, 3], atol=1e-4)
    assert list(predictor.predict({'data': np.ones((1, 1, 2, 2))})) == ['relu_output']
    assert args['conv_weight'].asscalar() == 1


def test_checkpoints_keep_the_published_parameters():
    from dcn.engine import Trainer

    import mxnet as mx

    symbol, args, auxs = normed()
    trainer = Trainer(mx.sym.MakeLoss(symbol), [mx.cpu()], args, auxs, fixed=['gamma', 'beta'])
    trainer.forward_backward([{'data': np.full((1, 1, 2, 2), 5.0)}])
    trainer.update(0.1)
    saved_args, saved_auxs = trainer.params()
    assert set(saved_args) == set(args) and set(saved_auxs) == set(auxs)
    # four cells of gradient 2 / 2 * 5 each, and weight decay of 0.0005
    np.testing.assert_allclose(saved_args['conv_weight'].asscalar(), 1 - 0.1 * 20.0005, rtol=1e-5)


def test_plain_graph_is_short_for_the_key(repository):
    import argparse

    parser = argparse.ArgumentParser()
    override_argument(parser)
    graph_argument(parser)
    overrides = parser.parse_args(['--set', 'TRAIN.lr=1', '--plain-graph']).overrides
    cfg = load_config(str(next(repository.glob('experiments/rfcn/cfgs/shapes*.yaml'))), overrides)
    assert cfg.engine.rewrite is False and cfg.TRAIN.lr == 1
    assert load_config(str(next(repository.glob('experiments/rfcn/cfgs/shapes*.yaml')))).engine.rewrite is True
