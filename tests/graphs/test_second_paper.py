"""Deformable ConvNets v2 (Zhu et al., CVPR 2019) in every family: sampling rule, modulated convolutions and pooling."""

import contextlib

import numpy as np
import pytest

from dcn.errors import UserError
from tests.graphs.conftest import DEEPLAB_DCN, FASTER, FASTER_DCN, FPN, FPN_DCN, SMALL, VOC, VOC_DCN
from tests.graphs.steps import TEST_INPUTS, attributes, nodes, segmentation_step, small, step

# modulated convolutions in three stages, modulated RoI pooling where there is any
CONVOLUTIONS = ('network.modulated=true', 'network.deformable=[res3,res4,res5]')
MODULATED = (*CONVOLUTIONS, 'network.roi_pooling=modulated')


@pytest.fixture
def own(operators):
    """Skips where stock operators run."""
    if set(operators.status().values()) != {'own'}:
        pytest.skip('stock MXNet has no sampling rule v2, and no modulated layers that learn on the CPU')


@pytest.mark.parametrize('stem', [VOC_DCN, FASTER_DCN, FPN_DCN, DEEPLAB_DCN])
@pytest.mark.parametrize(
    'override, operator, words',
    [
        ('network.deform_rule=v2', '_contrib_DeformableConvolution', {'boundary': 'v2'}),
        ('network.modulated=true', '_contrib_ModulatedDeformableConvolution', {}),
    ],
)
def test_the_second_paper_in_every_family(stem, override, operator, words, network, own):
    _, made = network(stem, [*small(stem), override], False)
    _, plain = network(stem, small(stem), False)
    layers = nodes(made, operator)
    assert layers == nodes(plain, '_contrib_DeformableConvolution') != []
    for layer in layers:
        assert words.items() <= attributes(made, layer).items()


@pytest.mark.parametrize('stem', [VOC_DCN, FASTER_DCN, FPN_DCN, DEEPLAB_DCN])
@pytest.mark.parametrize('overrides', [('network.deform_rule=v2',), MODULATED])
def test_the_second_paper_learns_in_every_family(stem, overrides, network, own):
    if stem == DEEPLAB_DCN:
        _, gradients = segmentation_step(network, stem, overrides=[text for text in overrides if 'roi' not in text])
    else:
        _, gradients = step(network, stem, overrides)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    # every offset convolution, and the last layers of RoI pooling, of which not every level may have had a RoI
    offsets = {name: gradient for name, gradient in gradients.items() if 'offset' in name and name.endswith('weight')}
    silent = {name for name, gradient in offsets.items() if not gradient.any()}
    assert offsets and all(name.startswith('offset_p') for name in silent) and len(silent) < 4
    if overrides is MODULATED:
        # offsets and weights alike, of which the last third of the channels are the weights
        for name in set(offsets) - silent:
            by_channel = np.abs(offsets[name]).reshape(3, -1).sum(axis=1)
            assert (by_channel > 0).all(), name


@pytest.mark.parametrize('stem', [VOC_DCN, FASTER_DCN, FPN_DCN])
def test_modulated_layers_on_two_equal_images(stem, network, own):
    overrides = [*MODULATED, 'TRAIN.ENABLE_OHEM=true', 'TRAIN.BATCH_ROIS=-1']
    (_, one), (_, two) = (step(network, stem, overrides, images) for images in (1, 2))
    for name, gradient in one.items():
        size = np.abs(gradient).max()
        np.testing.assert_allclose(two[name], 2 * gradient, rtol=0, atol=1e-3 * size, err_msg=name)


def test_modulated_pooling_predicts_offsets_and_weights(network):
    predicted = {
        VOC: {'rfcn_cls_offset_t': (49 * 3 * 21, 16, 1, 1), 'rfcn_bbox_offset_t': (49 * 3, 16, 1, 1)},
        FASTER: {'deform_fc_1': (16, 256 * 49), 'deform_fc_2': (16, 16), 'offset': (49 * 3, 16)},
        FPN: {
            f'{name}_p{level}': shape
            for level in (2, 3, 4, 5)
            for name, shape in (('deform_fc_1', (16, 256 * 49)), ('deform_fc_2', (16, 16)), ('offset', (49 * 3, 16)))
        },
    }
    for stem, layers in predicted.items():
        _, made = network(stem, [*SMALL, 'network.roi_pooling=modulated'], False)
        _, plain = network(stem, SMALL, False)
        made.infer_shape(TEST_INPUTS)
        assert {
            name: shape for name, shape in made.arg_shape_dict.items() if name not in plain.sym.list_arguments()
        } == {
            **{name + '_weight': shape for name, shape in layers.items()},
            **{name + '_bias': shape[:1] for name, shape in layers.items()},
        }


@pytest.mark.parametrize('stem', [VOC_DCN, FASTER_DCN, FPN_DCN, DEEPLAB_DCN])
def test_learning_rates_of_the_second_paper(stem, network):
    """As in the authors' example: a tenth for what predicts the taps of a convolution, the usual for RoI pooling."""
    from dcn.engine.training.updater import multipliers

    wanted = CONVOLUTIONS if stem == DEEPLAB_DCN else MODULATED
    _, made = network(stem, [*small(stem), *wanted])
    groups = multipliers(made.sym, made.sym.list_arguments())
    rates = {name: lr_mult for (lr_mult, _), names in groups.items() for name in names}
    deforming = {name: rate for name, rate in rates.items() if 'offset' in name or 'deform_fc' in name}
    assert {rate for name, rate in deforming.items() if name.startswith('res')} == {0.1}
    assert {rate for name, rate in deforming.items() if not name.startswith('res')} <= {1.0}


def test_the_sampling_rule_is_an_attribute_that_only_v2_carries(network, operators):
    _, made = network(VOC_DCN, SMALL, False)
    assert 'boundary' not in attributes(made, 'res5a_branch2b')  # stock MXNet reads the default graph
    if operators.status()['DeformableConvolution'] == 'own':
        _, made = network(VOC_DCN, [*SMALL, 'network.deform_rule=v2'], False)
        assert attributes(made, 'res5a_branch2b')['boundary'] == 'v2'


def test_without_own_operators_rule_v2_is_an_error(network):
    from dcn.operators import native

    with native.using('stock') if 'own' in native.status().values() else contextlib.nullcontext():
        with pytest.raises(UserError, match='deform_rule is v2, which stock MXNet does not have'):
            network(VOC_DCN, [*SMALL, 'network.deform_rule=v2'])


def test_modulated_layers_learn(network, own):
    _, gradients = step(network, VOC_DCN, ['network.modulated=true', 'network.deformable_groups=2'])
    # offsets and masks, of which each group has 18 and 9 channels
    by_channel = np.abs(gradients['res5a_branch2b_offset_weight']).sum(axis=(1, 2, 3))
    assert by_channel.shape == (54,) and (by_channel > 0).all()


def test_modulated_layers_predict_offsets_and_masks(network):
    _, made = network(VOC_DCN, [*SMALL, 'network.modulated=true'], False)
    assert nodes(made, '_contrib_ModulatedDeformableConvolution') == ['res5a_branch2b']
    made.infer_shape(TEST_INPUTS)
    assert made.arg_shape_dict['res5a_branch2b_offset_weight'] == (4 * 27, 16, 3, 3)
