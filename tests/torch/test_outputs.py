"""Networks of all families: the PyTorch engine's outputs and gradients beside MXNet's."""

import numpy as np
import pytest

from tests.graphs.conftest import DEEPLAB, DEEPLAB_DCN, FASTER, FASTER_DCN, FPN, FPN_DCN, VOC, VOC_DCN, network  # noqa: F401
from tests.graphs.runs import pictured
from tests.graphs.runs import run as run_mxnet
from tests.graphs.steps import small, train_arrays

torch = pytest.importorskip('torch')
PLAIN = (VOC, FASTER, FPN, DEEPLAB)
DEFORMABLE = (VOC_DCN, FASTER_DCN, FPN_DCN, DEEPLAB_DCN)
V2 = ('network.deform_rule=v2',)
MODULATED = ('network.modulated=true', 'network.deformable=[res3,res4,res5]', 'network.roi_pooling=modulated')
CASES = [(stem, ()) for stem in (*PLAIN, *DEFORMABLE)] + [
    (stem, rule if 'deeplab' not in stem else [text for text in rule if 'roi_pooling' not in text])
    for stem in DEFORMABLE
    for rule in (V2, MODULATED)
]
IDS = [f'{stem}{"-" if rule else ""}{"modulated" if len(rule) > 1 else "v2" if rule else ""}' for stem, rule in CASES]
# DESIGN.md: RoIs in pixels, probabilities, box deltas
TOLERANCES = {'rois_output': 0.01, 'bbox_pred_reshape_output': 5e-4}


@pytest.fixture(autouse=True)
def own(operators):
    if set(operators.status().values()) != {'own'}:
        pytest.skip('stock MXNet has no border rule v2 and no modulated layers that learn')


def compare(found, expected, tolerances=TOLERANCES):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=tolerances.get(name, 1e-4), err_msg=name)


@pytest.mark.parametrize('stem, rule', CASES, ids=IDS)
def test_outputs(stem, rule, network):
    from tests.torch.both import run

    _, made = network(stem, [*small(stem), *rule], False)
    inputs = pictured(96, 128)
    if stem.startswith('deeplab'):
        inputs = {'data': inputs['data']}
    compare(run(made, inputs)[0], run_mxnet(made, inputs)[0])


def training_inputs(made, stem, images=1):
    if stem.startswith('deeplab'):
        rng = np.random.default_rng(0)
        label = rng.integers(0, 21, (images, 1, 50, 70)).astype(np.float32)
        label[:, :, :10] = 255
        return {'data': rng.normal(0, 50, (images, 3, 50, 70)).astype(np.float32), 'label': label}
    made.infer_shape({'data': (images, 3, 64, 96), 'im_info': (images, 3), 'gt_boxes': (images, 3, 5)})
    names = ('data', 'im_info', 'gt_boxes', 'label', 'bbox_target', 'bbox_weight')
    return train_arrays({name: made.arg_shape_dict[name] for name in names})


@pytest.mark.parametrize('stem, rule', CASES, ids=IDS)
def test_outputs_and_gradients_of_a_training_step(stem, rule, network):
    from tests.torch.both import run

    _, made = network(stem, [*small(stem), 'TRAIN.BATCH_IMAGES=2', *rule])
    inputs = training_inputs(made, stem, 2)
    found, gradients = run(made, inputs, gradients=True)
    expected, expected_gradients = run_mxnet(made, inputs, gradients=True)
    compare(found, expected, {'rpn_bbox_loss_output': 1e-3, 'bbox_loss_reshape_output': 1e-3})
    assert set(gradients) == set(expected_gradients)
    for name, gradient in expected_gradients.items():
        error, norm = np.linalg.norm(gradients[name] - gradient), np.linalg.norm(gradient)
        assert error <= 2e-3 * norm + 1e-7, f'{name}: error {error:.3g}, norm {norm:.3g}'
