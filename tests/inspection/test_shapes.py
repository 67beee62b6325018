"""Shapes inferred without MXNet equal those that MXNet reported for the original's graphs."""

import pytest

from dcn.errors import UserError
from dcn.formats.attributes import parse
from dcn.inspection.shape_inference import free_inputs, infer_shapes
from tests.inspection.graphs import GOLDEN, convolution, golden, make

ESSENTIAL = ('data', 'im_info', 'gt_boxes', 'rois')


@pytest.mark.parametrize('name', GOLDEN)
def test_every_node_of_the_original_graphs(name):
    graph, inputs, expected = golden(name)
    found = infer_shapes(graph, inputs)
    assert found.unknown == () and found.outputs == expected


@pytest.mark.parametrize('name', [name for name in GOLDEN if not name.startswith(('alt', 'deeplab'))])
def test_labels_and_targets_follow_from_the_image(name):
    graph, inputs, expected = golden(name)
    assert infer_shapes(graph, {key: inputs[key] for key in ESSENTIAL if key in inputs}).outputs == expected


def one(op, attrs, *shapes):
    """Shape of the output of one operator on inputs of these shapes."""
    names = [f'x{i}' for i in range(len(shapes))]
    graph = make([(name, '', {}, []) for name in names] + [('y', op, attrs, names)])
    return infer_shapes(graph, dict(zip(names, shapes))).outputs[-1][0]


@pytest.mark.parametrize(
    'attrs, shape, expected',
    [
        # MXNet's documentation of Reshape
        ('(4, 0, 2)', (2, 3, 4), (4, 3, 2)),
        ('(2, 0, 0)', (2, 3, 4), (2, 3, 4)),
        ('(6, 1, -1)', (2, 3, 4), (6, 1, 4)),
        ('(-1,)', (2, 3, 4), (24,)),
        ('(-2,)', (2, 3, 4), (2, 3, 4)),
        ('(2, -2)', (2, 3, 4), (2, 3, 4)),
        ('(-3, 4)', (2, 3, 4), (6, 4)),
        ('(0, -3)', (2, 3, 4), (2, 12)),
        ('(-4, 1, 2, -2)', (2, 3, 4), (1, 2, 3, 4)),
        ('(2, -4, -1, 3, -2)', (2, 3, 4), (2, 1, 3, 4)),
    ],
)
def test_reshape_codes(attrs, shape, expected):
    assert one('Reshape', {'shape': attrs}, shape) == expected


def test_pooling_rounds_up_under_full_and_down_otherwise():
    attrs = {'kernel': '(3, 3)', 'stride': '(2, 2)', 'pool_type': 'max'}
    assert one('Pooling', attrs, (1, 2, 300, 500)) == (1, 2, 149, 249)
    assert one('Pooling', {**attrs, 'pooling_convention': 'full'}, (1, 2, 300, 500)) == (1, 2, 150, 250)
    assert one('Pooling', {'global_pool': 'True', 'pool_type': 'avg'}, (1, 2, 9, 7)) == (1, 2, 1, 1)


def test_modulated_convolution_wants_offsets_and_masks():
    attrs = {'kernel': '(3, 3)', 'num_filter': '8', 'pad': '(1, 1)', 'num_deformable_group': '2', 'no_bias': 'True'}
    found = one(
        '_contrib_ModulatedDeformableConvolution', attrs, (1, 4, 5, 6), (1, 36, 5, 6), (1, 18, 5, 6), (8, 4, 3, 3)
    )
    assert found == (1, 8, 5, 6)
    with pytest.raises(UserError, match=r'node y \(Modulated.*a mask of shape \(1, 18, 5, 6\), found \(1, 9, 5, 6\)'):
        one('_contrib_ModulatedDeformableConvolution', attrs, (1, 4, 5, 6), (1, 36, 5, 6), (1, 9, 5, 6), (8, 4, 3, 3))


@pytest.mark.parametrize(
    'op, attrs, shapes, words',
    [
        (
            'Convolution',
            {'kernel': '(3, 3)', 'num_filter': '8', 'no_bias': 'True'},
            [(1, 3, 2, 9), (8, 3, 3, 3)],
            r'expected data of at least the kernel \(3, 3\), found \(1, 3, 2, 9\)',
        ),
        (
            'Convolution',
            {'kernel': '(3, 3)', 'num_filter': '8', 'no_bias': 'True'},
            [(1, 3, 9, 9), (8, 4, 3, 3)],
            r'expected a weight of shape \(8, 3, 3, 3\), found \(8, 4, 3, 3\)',
        ),
        ('Convolution', {'kernel': '(3, x)', 'num_filter': '8'}, [(1, 3, 9, 9), (8, 3, 3, 3)], 'attribute kernel'),
        ('Convolution', {'kernel': '(3, 3)'}, [(1, 3, 9, 9), (8, 3, 3, 3)], 'expected attributes and inputs that fit'),
        ('elemwise_add', {}, [(1, 3), (1, 4)], 'expected inputs of one shape'),
        (
            '_contrib_PSROIPooling',
            {'output_dim': '21', 'pooled_size': '7', 'group_size': '7'},
            [(1, 98, 9, 9), (5, 5)],
            '21 x 7 x 7 = 1029 channels',
        ),
    ],
)
def test_a_misfit_names_the_node(op, attrs, shapes, words):
    with pytest.raises(UserError, match=words) as error:
        one(op, attrs, *shapes)
    assert 'node y' in str(error.value)


def test_unknown_operators_leave_shapes_unknown():
    graph = make(
        [
            ('data', '', {}, []),
            ('odd', 'SomethingNew', {}, ['data']),
            *convolution('conv', 'odd'),
            ('out', 'Activation', {'act_type': 'relu'}, ['conv']),
        ]
    )
    found = infer_shapes(graph, {'data': (1, 3, 9, 9)})
    assert found.unknown == ('SomethingNew',)
    assert found.outputs == [[(1, 3, 9, 9)], [None], [None], [None], [None]]


def test_inputs_are_told_from_parameters_by_their_slot():
    graph, inputs, _ = golden('rfcn__resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem__train')
    assert set(free_inputs(graph)) == set(inputs)  # bbox_weight among them
    with pytest.raises(UserError, match='no variable of that name; the graph has data'):
        infer_shapes(graph, {'image': (1, 3, 9, 9)})


@pytest.mark.parametrize(
    'text, value',
    [
        ('3', 3),
        ('0.5', 0.5),
        ('1e-05', 1e-5),
        ('(3, 3)', (3, 3)),
        ('[2L,1L]', (2, 1)),
        ('(8,)', (8,)),
        ('()', ()),
        ('max', None),
        ("__import__('os')", None),
    ],
)
def test_attribute_texts(text, value):
    assert parse(text) == value
