"""Shapes, first values and their errors."""

import numpy as np
import pytest

from dcn.errors import UserError
from tests.graphs.conftest import SMALL, VOC, VOC_DCN

INPUTS = {'data': (1, 3, 64, 96), 'im_info': (1, 3)}


@pytest.fixture
def filled(network):
    """A small deformable network with first values: cfg, network, arg_params, aux_params."""
    cfg, made = network(VOC_DCN, SMALL, False)
    made.infer_shape(INPUTS)
    args, auxs = {}, {}
    made.init_weight(cfg, args, auxs)
    return cfg, made, args, auxs


def test_from_scratch_everything_gets_a_value(filled):
    _, made, args, auxs = filled
    made.check_parameter_shapes(args, auxs, INPUTS, is_train=False)
    assert set(args) == set(made.arg_shape_dict) - set(INPUTS)
    assert set(auxs) == set(made.aux_shape_dict)


def test_first_values(filled):
    _, _, args, auxs = filled
    value = {name: array.asnumpy() for name, array in {**args, **auxs}.items()}
    for name, array in value.items():
        if name.endswith(('_gamma', '_moving_var')):
            # frozen batch norm stands in for what training would have learned: pixels of deviation 60, sums of blocks
            known = {'bn_conv1_moving_var': 3600, name.partition('_')[0] + '_branch2c_gamma': 0.2}.get(name, 1)
            assert (array == np.float32(known)).all(), name
        elif name.endswith(('_beta', '_bias', '_moving_mean')) or 'offset' in name:
            assert (array == 0).all(), name
        elif name.startswith(('rpn_', 'conv_new_1', 'rfcn_')):
            assert abs(array.std() / 0.01 - 1) < 0.1, name
    cfg, made, _, _ = filled
    cfg.network.train_bn, args, auxs = True, {}, {}
    made.init_weight(cfg, args, auxs)
    assert all((args[name].asnumpy() == 1).all() for name in args if name.endswith('_gamma'))
    assert (auxs['bn_conv1_moving_var'].asnumpy() == 1).all()
    # He et al., ICCV 2015, eq. 10: variance 2 / (channels * kernel area), over the 9216 values of the widest layers
    for name, fan_in in (('conv1_weight', 3 * 49), ('res4b1_branch2b_weight', 16 * 9), ('res5a_branch1_weight', 64)):
        assert abs(value[name].std() / np.sqrt(2 / fan_in) - 1) < 0.1, name


def test_the_same_name_gets_the_same_values_in_every_variant(network, filled):
    _, _, deformable, _ = filled
    cfg, plain = network(VOC, SMALL)
    plain.infer_shape(
        {**INPUTS, 'gt_boxes': (1, 3, 5), 'label': (1, 216), 'bbox_target': (1, 36, 4, 6), 'bbox_weight': (1, 36, 4, 6)}
    )
    args = {}
    plain.init_weight(cfg, args, {})
    assert set(args) < set(deformable)
    assert all((args[name].asnumpy() == deformable[name].asnumpy()).all() for name in args)


def test_the_seed_changes_the_values(network, filled):
    cfg, made, first, _ = filled
    cfg.TRAIN.seed = 1
    second = {}
    made.init_weight(cfg, second, {})
    assert (second['conv1_weight'].asnumpy() != first['conv1_weight'].asnumpy()).any()


def test_a_pretrained_model_is_only_completed(network):
    import mxnet as mx

    cfg, made = network(VOC_DCN, [*SMALL, 'network.pretrained=model'], False)
    made.infer_shape(INPUTS)
    own = mx.nd.ones(made.arg_shape_dict['rpn_conv_3x3_weight'])
    args, auxs = {'rpn_conv_3x3_weight': own}, {}
    made.init_weight(cfg, args, auxs)
    assert args['rpn_conv_3x3_weight'] is own
    assert 'res5a_branch2b_offset_weight' in args and 'rfcn_cls_weight' in args
    assert 'conv1_weight' not in args and not auxs  # these must come from the file
    with pytest.raises(UserError, match=r'parameter conv1_weight: expected shape \(8, 3, 7, 7\), found none'):
        made.check_parameter_shapes(args, auxs, INPUTS, is_train=False)


def test_a_wrong_shape_is_named(filled):
    import mxnet as mx

    _, made, args, auxs = filled
    args['rfcn_cls_weight'] = mx.nd.zeros((49 * 81, 16, 1, 1))  # a COCO head in a VOC network
    with pytest.raises(UserError, match=r'rfcn_cls_weight: expected shape \(1029, 16, 1, 1\), found shape \(3969,'):
        made.check_parameter_shapes(args, auxs, INPUTS, is_train=False)


def test_a_missing_auxiliary_state_is_named(filled):
    _, made, args, auxs = filled
    del auxs['bn_conv1_moving_var']
    with pytest.raises(UserError, match=r'auxiliary state bn_conv1_moving_var: expected shape \(8,\), found none'):
        made.check_parameter_shapes(args, auxs, INPUTS, is_train=False)


def test_further_parameters_do_no_harm(filled):
    import mxnet as mx

    _, made, args, auxs = filled
    args['fc1000_weight'] = mx.nd.zeros((1000, 2048))  # what an ImageNet model has on top
    made.check_parameter_shapes(args, auxs, INPUTS, is_train=False)
    assert 'fc1000_weight' not in made.arg_shape_dict


@pytest.mark.parametrize(
    'shapes, words',
    [
        ({'data': (1, 3, 64, 96), 'image': (1, 3)}, 'no input "image"; its inputs are '),
        ({'data': (1, 3, 64, 96)}, 'cannot be inferred without gt_boxes'),
        ({**INPUTS, 'gt_boxes': (1, 2, 5), 'label': (1, 7)}, 'Error in operator rpn_cls_prob'),
    ],
)
def test_wrong_inputs_are_an_error(shapes, words, network):
    _, made = network(VOC, SMALL)
    with pytest.raises(UserError) as error:
        made.infer_shape(shapes)
    assert words in str(error.value) and '\n' not in str(error.value)
