"""Totals, receptive fields and folding of the original's graphs."""

import math
from fractions import Fraction

import pytest

from dcn.inspection.graph.counting import Field
from dcn.inspection.graph.network import describe
from dcn.inspection.render.overview import rows
from tests.graphs.normal_form import multipliers, variables
from tests.graphs.test_totals import TABLE
from tests.inspection.graphs import GOLDEN, VOC_DCN, convolution, golden, make


def network(name):
    graph, inputs, _ = golden(name)
    return describe(graph, name, inputs)


@pytest.mark.parametrize('name', GOLDEN)
def test_totals_equal_the_golden_counts(name):
    found = network(name)
    for kind, counts in (('params', GOLDEN[name]['params']), ('macs', GOLDEN[name]['macs'])):
        assert found.totals[kind] == {'heads' if part == 'head' else part: n for part, n in counts.items()}
    assert found.notes == []


@pytest.mark.parametrize('name', TABLE)
def test_totals_equal_the_published_table(name):
    totals = network(name + '__test').totals
    kinds = ('total', 'backbone', 'offset', 'heads')
    assert tuple(round(totals['params'][kind] / 1e6, 3) for kind in kinds) == TABLE[name][:4]
    assert tuple(round(totals['macs'][kind] / 1e9, 2) for kind in kinds) == TABLE[name][4:]


@pytest.mark.parametrize('name', [name for name in GOLDEN if GOLDEN[name]['family'] != 'rfcn'])
def test_multipliers_and_auxiliary_states_of_every_family(name):
    records = GOLDEN[name]['records']
    arguments, states = variables(records)
    found = network(name)
    assert found.auxiliary == sum(math.prod(shape) for shape in states.values())
    wanted = {name: factor for name, factor in multipliers(records).items() if name in arguments}
    assert {p.name: p.lr_mult for p in found.parameters() if p.lr_mult} == wanted


def test_receptive_fields_by_hand():
    found = {layer.name: layer.field for layer in network(VOC_DCN + 'test').layers}
    assert found['conv1'] == Field((7, 7), (2, 2))
    assert found['pool1'] == Field((11, 11), (4, 4))  # 7 + 2 * 2
    assert found['res2a_relu'] == Field((19, 19), (4, 4))  # 11 + 2 * 4
    assert found['res4b22_relu'].stride == (16, 16)
    # 23 blocks from 8 pixels apart to 16, each 3x3 adds two cells; res5 dilates by 2
    assert found['res4b22_relu'].size == (99 + 2 * 16 * 23,) * 2
    assert found['res5c_relu'].size == (835 + 3 * 4 * 16,) * 2
    assert found['psroipooled_cls_rois'].size_word == 'region'


def test_receptive_field_of_asymmetric_and_growing_layers():
    graph = make(
        [
            ('data', '', {}, []),
            *convolution('a', 'data', kernel=3, stride='(2, 1)'),
            ('b_weight', '', {}, []),
            (
                'b',
                'Deconvolution',
                {'kernel': '(4, 4)', 'stride': '(2, 2)', 'num_filter': '8', 'no_bias': 'True'},
                ['a', 'b_weight'],
            ),
            ('c', 'UpSampling', {'scale': '2', 'sample_type': 'nearest'}, ['b']),
            ('d', 'Pooling', {'global_pool': 'True', 'pool_type': 'avg'}, ['c']),
        ]
    )
    found = {layer.name: layer.field for layer in describe(graph, 'x', {'data': (1, 3, 32, 32)}).layers}
    assert found['a'] == Field((3, 3), (2, 1))
    assert found['b'] == Field((5, 4), (1, Fraction(1, 2)))  # two of the four taps meet an output: one more cell
    assert found['c'].stride == (Fraction(1, 2), Fraction(1, 4))
    assert found['d'].size_word == 'image'


def test_deformable_layers_are_marked():
    assert [layer.name for layer in network(VOC_DCN + 'test').layers if layer.deformable] == [
        'res5a_branch2b',
        'res5b_branch2b',
        'res5c_branch2b',
        'psroipooled_cls_rois',
        'psroipooled_loc_rois',
    ]
    assert not any(layer.deformable for layer in network(VOC_DCN.replace('_dcn', '') + 'test').layers)


@pytest.mark.parametrize('every', [False, True])
@pytest.mark.parametrize('name', GOLDEN)
def test_rows_hold_every_layer_once(name, every):
    found = network(name)
    held = [layer.index for row in rows(found, every) for layer in row.layers]
    assert sorted(held) == [layer.index for layer in found.layers]
    assert sum(row.params for row in rows(found, every)) == found.totals['params']['total']


def test_equal_blocks_become_one_row():
    texts = {row.name: row.text for row in rows(network(VOC_DCN + 'test'))}
    assert texts['res4b1 ... res4b22 (22)'] == 'block 1x1 256, 3x3 256, 1x1 1024'
    assert texts['res4a'] == 'block 1x1 256, 3x3 256, 1x1 1024, stride 2'
    assert texts['res5b ... res5c (2)'] == 'block 1x1 512, 3x3 512 dilate 2 deformable x 4, 1x1 2048'
    assert len(texts) < 30


def test_without_shapes_a_usual_image_is_taken():
    graph, inputs, _ = golden(VOC_DCN + 'train')
    found = describe(graph, 'x')
    assert found.inputs == inputs
    assert found.notes == ['data taken as 1 x 3 x 600 x 1000; --shape data=1,3,H,W takes another size']


def test_what_is_assumed_is_never_an_error():
    """A variable data that is no image, RoIs of two dimensions: unknown, until they are given."""
    table = make(
        [
            ('data', '', {}, []),
            ('fc_weight', '', {'__shape__': '(4, 7)'}, []),
            ('fc', 'FullyConnected', {'num_hidden': '4', 'no_bias': 'True', 'flatten': 'False'}, ['data', 'fc_weight']),
        ]
    )
    found = describe(table, 'x')
    assert found.inputs == {'data': None} and found.outputs == [('fc_output', None)]
    assert 'the shapes of data are unknown' in found.notes[0] and describe(table, 'x', {'data': (2, 7)}).notes == []
    pooled = make(
        [
            ('data', '', {}, []),
            ('rois', '', {}, []),
            ('pool', 'ROIPooling', {'pooled_size': '(7, 7)', 'spatial_scale': '1'}, ['data', 'rois']),
        ]
    )
    assert describe(pooled, 'x', {'data': (1, 3, 20, 20)}).inputs['rois'] is None
    assert describe(pooled, 'x', {'data': (1, 3, 20, 20), 'rois': (9, 5)}).outputs[0][1] == (9, 3, 7, 7)


@pytest.mark.parametrize('kernel', ['(3,)', '(3, 3, 3)'])
def test_layers_of_one_and_three_dimensions(kernel):
    """Names of residual blocks on windows that are no image's: described, without a receptive field."""
    size = kernel.count('3')
    window = {'kernel': kernel, 'num_filter': '4', 'no_bias': 'True', 'stride': str((2,) * size)}
    graph = make(
        [
            ('data', '', {}, []),
            ('w', '', {}, []),
            ('res2a_branch2a', 'Convolution', {**window, 'dilate': str((1, 2, 1)[:size])}, ['data', 'w']),
            ('v', '', {}, []),
            ('res2a_branch2b', 'Deconvolution', window, ['res2a_branch2a', 'v']),
        ]
    )
    found = describe(graph, 'x', {'data': (1, 2, *(9,) * size)})
    assert rows(found)[0].text.startswith('block 3') and found.layers[1].field is None
    assert [p.shape for p in found.parameters()] == [(4, 2, *(3,) * size), (4, 4, *(3,) * size)]


def test_a_pyramid_takes_multiples_of_32():
    graph, _, _ = golden('fpn__resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem__test')
    assert describe(graph, 'x').inputs['data'] == (1, 3, 608, 1024)
