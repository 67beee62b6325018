"""Variants are arguments: sizes, deformable layers, poolings and several images a device come from one builder."""

import numpy as np
import pytest

from dcn.errors import UserError
from tests.graphs.conftest import DEEPLAB, DEEPLAB_DCN, FASTER, FASTER_DCN, FPN, FPN_DCN, SMALL, VOC, VOC_DCN
from tests.graphs.steps import TEST_INPUTS, attributes, nodes, segmentation_step, step


@pytest.mark.parametrize(
    'depth, blocks',
    [
        # Caffe's names: letters in ResNet-50, numbers in the middle stages of the deeper ones
        (50, {'res3d', 'res4f', 'res5c'}),
        (101, {'res3b3', 'res4b22', 'res5c'}),
        (152, {'res3b7', 'res4b35', 'res5c'}),
    ],
)
def test_depth_chooses_the_blocks(depth, blocks, network):
    _, made = network(VOC, [f'network.depth={depth}'], False)
    found = nodes(made, 'broadcast_add')
    assert blocks <= set(found)
    assert len(found) == (depth - 2) // 3  # three weighted layers a block, besides the first and the last layer


def test_small_networks_come_out_of_the_same_builder(network):
    _, made = network(VOC, SMALL, False)
    assert nodes(made, 'broadcast_add') == ['res2a', 'res3a', 'res4a', 'res4b1', 'res5a']
    made.infer_shape(TEST_INPUTS)
    # stem of filters[0]; outputs of a stage have four times its middle width
    assert made.arg_shape_dict['conv1_weight'] == (8, 3, 7, 7)
    assert made.arg_shape_dict['res4b1_branch2c_weight'] == (64, 16, 1, 1)
    assert made.arg_shape_dict['rpn_conv_3x3_weight'] == (16, 64, 3, 3)
    assert made.out_shape_dict == {
        'rois_output': (20, 5),
        'cls_prob_reshape_output': (1, 20, 21),
        'bbox_pred_reshape_output': (1, 20, 8),
    }


@pytest.mark.parametrize('stem', [VOC, VOC_DCN, 'deform_conv_demo', 'deform_psroi_demo', FASTER, FASTER_DCN])
def test_every_parameter_gets_a_gradient(stem, network):
    _, gradients = step(network, stem)
    assert all(np.isfinite(gradient).all() and gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize('stem', [FPN, FPN_DCN])
def test_every_level_of_a_pyramid_learns(stem, network):
    # most of the RoIs have sides of 28 to 44 pixels, so that this size spreads them over the levels
    outputs, gradients = step(network, stem, ['network.roi_size=34', 'TRAIN.RPN_POST_NMS_TOP_N=60'])
    cells = sum(-(-64 // stride) * -(-96 // stride) for stride in (4, 8, 16, 32, 64))
    assert outputs[0].shape == (1, 2, 3 * cells) and outputs[1].shape == (1, 12, cells)
    assert outputs[3].shape == (1, 63, 324)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    # each level's own layers; those of the finest may have no RoI
    own = [name for name in gradients if name.startswith(('fpn_p', 'offset_p')) and '_p2' not in name]
    assert len(own) == {FPN: 14, FPN_DCN: 20}[stem]
    assert [name for name in own if not gradients[name].any()] == []


def test_a_pyramid_of_other_sizes(network):
    overrides = [
        'network.roi_filters=24',
        'network.pooled_size=5',
        'network.strides=[2,2,2,2]',
        'network.RPN_FEAT_STRIDE=[8,16,32,64,128]',
    ]
    _, made = network(FPN_DCN, [*SMALL, *overrides], False)
    made.infer_shape({'data': (1, 3, 128, 192), 'im_info': (1, 3)})
    assert made.arg_shape_dict['fc_new_1_weight'] == (16, 24 * 25)
    assert made.arg_shape_dict['offset_p3_weight'] == (50, 24 * 25)
    found = attributes(made, 'fpn_roi_pooling')
    assert (found['feat_strides'], found['pooled_width'], found['output_dim']) == ('(8, 16, 32, 64)', '5', '24')


def test_the_deformable_pyramid_chooses_the_last_blocks_of_its_stages(network):
    chosen = {(): ['res3b3', 'res4b22', 'res5a', 'res5b', 'res5c'], SMALL: ['res3a', 'res4b1', 'res5a']}
    for overrides, layers in chosen.items():
        _, made = network(FPN_DCN, overrides, False)
        assert nodes(made, '_contrib_DeformableConvolution') == [layer + '_branch2b' for layer in layers]


@pytest.mark.parametrize(
    'overrides, words',
    [
        (['network.strides=[1,2,2,1]'], 'a pyramid needs 2 for res3 to res5'),
        (['network.RPN_FEAT_STRIDE=[64,32,16,8,4]'], 'the levels of this pyramid have [4, 8, 16, 32, 64]'),
        (['network.roi_pooling=bilinear'], 'resnet_v1_101_fpn_rcnn has integer, deformable'),
        (['TRAIN.CXX_PROPOSAL=true'], 'set it to false'),
    ],
)
def test_what_a_pyramid_cannot_do_is_an_error(overrides, words, network):
    with pytest.raises(UserError) as error:
        network(FPN, overrides)
    assert words in str(error.value)


@pytest.mark.parametrize(
    'part, mode, outputs',
    [
        ('_rpn', True, ['rpn_cls_prob_output', 'rpn_bbox_loss_output']),
        ('_rpn', False, ['rois_output', 'rois_score']),
        ('_rcnn', True, ['cls_prob_reshape_output', 'bbox_loss_reshape_output', 'blockgrad0_output']),
        ('_rcnn', False, ['cls_prob_reshape_output', 'bbox_pred_reshape_output']),
    ],
)
def test_the_parts_of_a_pyramid_network(part, mode, outputs, network):
    _, made = network(FPN_DCN, SMALL, mode, part)
    assert made.sym.list_outputs() == outputs


@pytest.mark.parametrize(
    'layers, expected',
    [
        ('[]', []),
        ('[res5]', ['res5a', 'res5b', 'res5c']),
        ('[res5c]', ['res5c']),
        ('[res5, res4b22, res3b3]', ['res3b3', 'res4b22', 'res5a', 'res5b', 'res5c']),
    ],
)
def test_any_layer_can_be_deformable(layers, expected, network):
    for stem in (VOC, VOC_DCN, FASTER, FPN_DCN, DEEPLAB):
        _, made = network(stem, [f'network.deformable={layers}'], False)
        assert nodes(made, '_contrib_DeformableConvolution') == [name + '_branch2b' for name in expected]


@pytest.mark.parametrize('dilate', [4, 6, 8])
@pytest.mark.parametrize('stem', [VOC, FASTER, DEEPLAB])
def test_table_3_dilates_res5(dilate, stem, network):
    """Dai et al., ICCV 2017, table 3: plain networks with a larger dilation in the 3x3 convolutions of res5. No shape
    changes, and no other layer."""
    _, usual = network(stem, (), False)
    _, made = network(stem, [f'network.res5_dilate={dilate}'], False)
    dilated = [f'res5{block}_branch2b' for block in 'abc']
    for name in dilated:
        assert attributes(made, name)['dilate'] == attributes(made, name)['pad'] == f'({dilate}, {dilate})'
    for name in nodes(made, 'Convolution'):
        assert name in dilated or attributes(made, name) == attributes(usual, name)
    shapes = {'data': (1, 3, 96, 128), **({'im_info': (1, 3)} if stem != DEEPLAB else {})}
    for built in (usual, made):
        built.infer_shape(shapes)
    assert made.arg_shape_dict == usual.arg_shape_dict and made.out_shape_dict == usual.out_shape_dict


def test_a_deformable_layer_keeps_the_dilation_of_its_stage(network):
    _, made = network(VOC, ['network.deformable=[res5, res4b22]', 'network.deformable_groups=2'], False)
    assert attributes(made, 'res5a_branch2b')['dilate'] == '(2, 2)'
    assert attributes(made, 'res5a_branch2b_offset')['dilate'] == '(2, 2)'
    assert attributes(made, 'res4b22_branch2b')['pad'] == '(1, 1)'
    assert attributes(made, 'res4b22_branch2b').get('dilate', '(1, 1)') == '(1, 1)'
    assert attributes(made, 'res4b22_branch2b_offset')['num_filter'] == '36'  # 2 groups, 9 taps, y and x
    _, made = network(VOC, ['network.deformable=[res5]', 'network.res5_dilate=6'], False)
    assert (
        attributes(made, 'res5a_branch2b')['dilate'] == attributes(made, 'res5a_branch2b_offset')['dilate'] == '(6, 6)'
    )


@pytest.mark.parametrize(
    'overrides, words',
    [
        (['network.deformable=[res6]'], 'names "res6"; expected stages (res2, res3, res4, res5)'),
        (['network.deformable=[res5]', 'network.deformable_groups=3'], 'does not divide the 512 channels'),
        (['network.strides=[1,2,1,1]'], 'network.RPN_FEAT_STRIDE is 16; a backbone of strides [1, 2, 1, 1] has 8'),
        (['TRAIN.ENABLE_OHEM=false'], 'TRAIN.BATCH_ROIS is -1'),
        (['network.modulated=true'], 'but no layer is deformable'),
    ],
)
def test_a_contradiction_is_an_error(overrides, words, network):
    with pytest.raises(UserError) as error:
        network(VOC, overrides)
    assert words in str(error.value)


def test_feature_stride_8(network):
    strides = ['network.strides=[1,2,1,1]', 'network.RPN_FEAT_STRIDE=8', 'network.RCNN_FEAT_STRIDE=8']
    outputs, _ = step(network, VOC_DCN, strides)
    assert outputs[1].shape == (1, 36, 8, 12)
    _, made = network(VOC, [*SMALL, *strides])
    assert attributes(made, 'psroipooled_cls_rois')['spatial_scale'] == '0.125'


def test_the_third_row_pools_bilinearly_without_offsets(network):
    _, made = network(VOC, ['network.roi_pooling=bilinear'], False)
    assert nodes(made, '_contrib_DeformablePSROIPooling') == ['psroipooled_cls_rois', 'psroipooled_loc_rois']
    found = attributes(made, 'psroipooled_cls_rois')
    assert (found['no_trans'], found['sample_per_part'], found['part_size']) == ('True', '4', '7')
    _, plain = network(VOC, (), False)
    assert set(made.sym.list_arguments()) == set(plain.sym.list_arguments())  # same checkpoints


@pytest.mark.parametrize(
    'pooling, used, shape',
    [
        ('integer', {'ROIPooling': 1}, None),
        ('bilinear', {'_contrib_DeformablePSROIPooling': 1}, None),
        ('deformable', {'_contrib_DeformablePSROIPooling': 2}, (50, 6400)),  # 2 * 5 * 5 offsets from 256 * 5 * 5 values
        ('modulated', {'_contrib_DeformablePSROIPooling': 2}, (75, 16)),
    ],
)  # and a weight, from the hidden layer
def test_roi_pooling_of_faster_rcnn(pooling, used, shape, network):
    overrides = [f'network.roi_pooling={pooling}', 'network.pooled_size=5', 'TRAIN.BG_THRESH_LO=0']
    _, gradients = step(network, FASTER, overrides)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    assert gradients['conv_new_1_weight'].any() and gradients['fc_new_1_weight'].any()
    assert gradients['fc_new_1_weight'].shape == (16, 256 * 5 * 5)
    _, made = network(FASTER, [*SMALL, *overrides])
    assert {operator: len(nodes(made, operator)) for operator in used} == used
    assert ('offset_weight' in gradients) == (shape is not None)
    if shape:
        assert gradients['offset_weight'].shape == shape and gradients['offset_weight'].any()


def test_pooled_size_replaces_seven_everywhere(network):
    _, made = network(VOC_DCN, ['network.pooled_size=5'], False)
    for name in ('psroipooled_cls_rois', 'psroipooled_loc_rois', 'rfcn_cls_offset', 'rfcn_bbox_offset'):
        found = attributes(made, name)
        assert {found[key] for key in ('group_size', 'pooled_size', 'part_size')} == {'5'}
    assert attributes(made, 'ave_cls_scors_rois')['kernel'] == '(5, 5)'
    made.infer_shape(TEST_INPUTS)
    assert {
        name: made.arg_shape_dict[name + '_weight'][0]
        for name in ('rfcn_cls', 'rfcn_bbox', 'rfcn_cls_offset_t', 'rfcn_bbox_offset_t')
    } == {'rfcn_cls': 25 * 21, 'rfcn_bbox': 25 * 8, 'rfcn_cls_offset_t': 25 * 42, 'rfcn_bbox_offset_t': 25 * 2}


def test_class_specific_boxes(network):
    outputs, _ = step(network, VOC, ['CLASS_AGNOSTIC=false'])
    assert outputs[3].shape == (1, 23, 84)


@pytest.mark.parametrize('trained', [True, False])
def test_train_bn_uses_batch_statistics(trained, network):
    _, made = network(VOC, [*SMALL, f'network.train_bn={trained}'])
    assert {attributes(made, name)['use_global_stats'] for name in nodes(made, 'BatchNorm')} == {str(not trained)}


def test_cxx_proposal_uses_the_built_in_operator(network):
    for images, operator in ((1, '_contrib_Proposal'), (2, '_contrib_MultiProposal')):
        _, made = network(VOC, [*SMALL, 'TRAIN.CXX_PROPOSAL=true', f'TRAIN.BATCH_IMAGES={images}'])
        assert nodes(made, operator) == ['rois']
    _, rpn = network(VOC, ['TEST.CXX_PROPOSAL=true'], False, '_rpn')  # the original left its outputs undefined here
    assert rpn.sym.list_outputs() == ['rois_output', 'rois_score']


@pytest.mark.parametrize('stem', [VOC, VOC_DCN, FASTER_DCN, FPN_DCN])
@pytest.mark.parametrize(
    'overrides, wide',
    [
        (('TRAIN.ENABLE_OHEM=true', 'TRAIN.BATCH_ROIS=-1'), 1),
        # a fixed number of RoIs is for the device: two images need twice as many for as many each
        (('TRAIN.ENABLE_OHEM=false', 'TRAIN.BATCH_ROIS=12'), 2),
    ],
)
def test_two_equal_images_on_a_device_give_twice_the_gradient(stem, overrides, wide, network):
    more = [*overrides, 'TRAIN.BATCH_ROIS=24'] if wide == 2 else overrides
    outputs, one = step(network, stem, overrides)
    both, two = step(network, stem, more, images=2)
    for single, double in zip(outputs, both):
        np.testing.assert_allclose(double, np.repeat(single, 2, axis=0), rtol=1e-4, atol=1e-5)
    for name, gradient in one.items():
        size = np.abs(gradient).max()
        np.testing.assert_allclose(two[name], 2 * gradient, rtol=0, atol=1e-3 * size, err_msg=name)


@pytest.mark.parametrize('stem', [DEEPLAB, DEEPLAB_DCN])
def test_segmentation_learns_at_any_size_and_batch(stem, network):
    output, one = segmentation_step(network, stem)
    assert output.shape == (1, 21, 50, 70)  # no multiple of the stride 16
    assert all(np.isfinite(gradient).all() and gradient.any() for gradient in one.values())
    both, two = segmentation_step(network, stem, images=2)
    np.testing.assert_allclose(both, np.repeat(output, 2, axis=0), rtol=1e-4, atol=1e-6)
    for name, gradient in one.items():
        np.testing.assert_allclose(two[name], 2 * gradient, rtol=0, atol=1e-3 * np.abs(gradient).max(), err_msg=name)


def test_segmentation_at_feature_stride_8(network):
    output, gradients = segmentation_step(network, DEEPLAB, overrides=['network.strides=[1,2,1,1]'])
    assert output.shape == (1, 21, 50, 70) and gradients['upsampling_weight'].shape == (21, 1, 16, 16)


def test_upsampling_starts_as_bilinear_interpolation(network):
    """Scores of a slope stay one: y = x at the cells' centres."""
    from dcn.symbols.initialise import bilinear_kernel

    import mxnet as mx

    kernel = mx.nd.array(bilinear_kernel(8)[np.newaxis, np.newaxis])
    cells = mx.nd.array(np.arange(6.0) + np.zeros((1, 1, 6, 1)))
    pixels = mx.nd.Deconvolution(cells, kernel, kernel=(8, 8), stride=(4, 4), num_filter=1, no_bias=True).asnumpy()
    # one pixel is a quarter of a cell; pixel 8 is 4.5 pixels beyond the centre of cell 0 at 3.5
    np.testing.assert_allclose(pixels[0, 0, 12, 8:20], np.arange(4.5, 16.5) / 4, atol=1e-6)


def test_two_equal_images_give_equal_detections(network):
    from tests.graphs.runs import pictured, run

    images = {name: np.repeat(value, 2, axis=0) for name, value in pictured(64, 96).items()}
    _, made = network(VOC_DCN, [*SMALL, 'TEST.BATCH_IMAGES=2'], False)
    outputs, _ = run(made, images)
    assert (outputs['rois_output'][:, 0] == np.repeat([0, 1], 20)).all()  # the image of each RoI
    for name in ('cls_prob_reshape_output', 'bbox_pred_reshape_output'):
        assert outputs[name].shape[:2] == (2, 20)
        np.testing.assert_allclose(outputs[name][1], outputs[name][0], rtol=0, atol=1e-5)
