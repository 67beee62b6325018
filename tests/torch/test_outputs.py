"""Networks of all families: the PyTorch engine's outputs and gradients beside MXNet's."""

import numpy as np
import pytest

from tests.graphs.conftest import DEEPLAB_DCN, FASTER_DCN, FPN_DCN, VOC_DCN, network  # noqa: F401
from tests.graphs.runs import pictured
from tests.graphs.runs import run as run_mxnet
from tests.graphs.steps import small
from tests.torch.both import CASES, IDS, TRAINED, predicted, run, training_inputs

pytest.importorskip('torch')
# DESIGN.md: RoIs in pixels, probabilities, box deltas
TOLERANCES = {'rois_output': 0.01, 'bbox_pred_reshape_output': 5e-4}


@pytest.fixture(autouse=True)
def own(operators):
    if set(operators.status().values()) != {'own'}:
        pytest.skip('stock MXNet has no sampling rule v2 and no modulated layers that learn')


def compare(found, expected, tolerances=TOLERANCES):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=tolerances.get(name, 1e-4), err_msg=name)


@pytest.mark.parametrize('stem, rule', CASES, ids=IDS)
def test_outputs(stem, rule, network, monkeypatch):
    """Of the published graph, and of the rewritten one that is tested by default; small layers go to Winograd too."""
    monkeypatch.setattr('dcn.rewrite.winograd.FEWEST', 1)
    _, made = network(stem, [*small(stem), *rule], False)
    inputs = pictured(96, 128)
    if stem.startswith('deeplab'):
        inputs = {'data': inputs['data']}
    expected = run_mxnet(made, inputs)[0]
    compare(run(made, inputs)[0], expected)
    compare(predicted(made, inputs), expected)


@pytest.mark.parametrize('stem, rule', CASES, ids=IDS)
def test_outputs_and_gradients_of_a_training_step(stem, rule, network):
    overrides = TRAINED[-1:] if stem.startswith('deeplab') else TRAINED
    _, made = network(stem, [*small(stem), *overrides, *rule])
    same_step(made, training_inputs(made, stem))


def same_step(made, inputs):
    found, gradients = run(made, inputs, gradients=True)
    expected, expected_gradients = run_mxnet(made, inputs, gradients=True)
    compare(found, expected, {'rpn_bbox_loss_output': 1e-3, 'bbox_loss_reshape_output': 1e-3})
    assert set(gradients) == set(expected_gradients)
    for name, gradient in expected_gradients.items():
        error, norm = np.linalg.norm(gradients[name] - gradient), np.linalg.norm(gradient)
        assert error <= 2e-3 * norm + 1e-7, f'{name}: error {error:.3g}, norm {norm:.3g}'


def test_a_training_step_on_drawn_rois(network):
    """Faster R-CNN without hard examples: the draws are keyed by the RoIs, which therefore are given."""
    import mxnet as mx

    cfg, made = network(FASTER_DCN, [*small(FASTER_DCN), 'TRAIN.BATCH_ROIS=16'])
    made._proposals = lambda *args, **kwargs: mx.sym.Variable('rois')
    made.get_symbol(cfg, True)
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 1, (30, 2, 2)) * (127, 95)
    rois = np.column_stack([np.zeros(30), corners.min(axis=1), corners.max(axis=1)]).astype(np.float32)
    inputs = {'data': pictured(96, 128)['data'], 'rois': rois, 'gt_boxes': np.float32([[[20, 10, 90, 70, 7]]])}
    made.infer_shape({name: value.shape for name, value in inputs.items()})
    shapes = {name: made.arg_shape_dict[name] for name in ('label', 'bbox_target', 'bbox_weight')}
    more = {name: draw.uniform(0, 1, shape).round(1).astype(np.float32) for name, shape in shapes.items()}
    more['label'] = draw.integers(-1, 2, shapes['label']).astype(np.float32)
    same_step(made, {**inputs, **more})


@pytest.mark.parametrize(
    'stem', [VOC_DCN, *(pytest.param(stem, marks=pytest.mark.full) for stem in (FASTER_DCN, FPN_DCN, DEEPLAB_DCN))]
)
def test_resnet_101_against_stock_mxnet(stem, network, monkeypatch):
    """The golden numbers that stock MXNet's operators gave, see tests/graphs/make_outputs.py."""
    import json

    from tests.graphs import make_outputs
    from tests.graphs.test_outputs import TOLERANCES as ALLOWED

    monkeypatch.setattr(make_outputs, 'run', run)
    golden = json.loads(make_outputs.GOLDEN.read_text())[stem]
    overrides, _ = make_outputs.NETWORKS[stem]
    found = make_outputs.measure(stem, lambda is_train: network(stem, overrides, is_train)[1])
    assert set(found) == set(golden)
    for name in set(golden) & set(ALLOWED):
        np.testing.assert_allclose(found[name], golden[name], rtol=0, atol=ALLOWED[name], err_msg=name)
    for name, norm in golden['gradient_norms'].items():
        assert found['gradient_norms'][name] == pytest.approx(norm, rel=2e-3), name
