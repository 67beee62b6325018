"""The tables of dcn.formats.operators against the operators of the installed MXNet."""

import ctypes
import json

import pytest

from dcn.formats import operators

import mxnet as mx
from mxnet.base import _LIB, OpHandle, SymbolHandle, c_str, c_str_array, check_call, mx_uint, py_str

CASES = [
    ('BatchNorm', {}),
    ('BatchNorm_v1', {}),
    ('_contrib_SyncBatchNorm', {'key': 'k'}),
    ('_contrib_BatchNormWithReLU', {}),
    ('IdentityAttachKLSparseReg', {}),
    ('InstanceNorm', {}),
    ('LayerNorm', {}),
    ('GroupNorm', {}),
    ('Convolution', {'kernel': '(1,1)', 'num_filter': '1'}),
    ('Convolution', {'kernel': '(1,1)', 'num_filter': '1', 'no_bias': 'True'}),
    ('Convolution_v1', {'kernel': '(1,1)', 'num_filter': '1', 'no_bias': '1'}),
    ('Deconvolution', {'kernel': '(1,1)', 'num_filter': '1'}),
    ('Deconvolution', {'kernel': '(1,1)', 'num_filter': '1', 'no_bias': '0'}),
    ('_contrib_DeformableConvolution', {'kernel': '(1,1)', 'num_filter': '1'}),
    ('_contrib_DeformableConvolution', {'kernel': '(1,1)', 'num_filter': '1', 'no_bias': 'true'}),
    ('_contrib_ModulatedDeformableConvolution', {'kernel': '(1,1)', 'num_filter': '1'}),
    ('FullyConnected', {'num_hidden': '1'}),
    ('FullyConnected', {'num_hidden': '1', 'no_bias': 'True'}),
    ('Embedding', {'input_dim': '2', 'output_dim': '2'}),
    ('LeakyReLU', {'act_type': 'prelu'}),
    ('LeakyReLU', {'act_type': 'rrelu'}),
    ('RNN', {'state_size': '2', 'num_layers': '1', 'mode': 'lstm'}),
    ('RNN', {'state_size': '2', 'num_layers': '1', 'mode': 'gru'}),
    ('RNN', {'state_size': '2', 'num_layers': '1', 'mode': 'rnn_relu', 'use_sequence_length': 'True'}),
    ('Correlation', {}),
    ('BilinearSampler', {}),
    ('ROIPooling', {'pooled_size': '(2,2)', 'spatial_scale': '1'}),
    ('SpatialTransformer', {'target_shape': '(2,2)', 'transform_type': 'affine', 'sampler_type': 'bilinear'}),
    ('_contrib_PSROIPooling', {'spatial_scale': '1', 'output_dim': '2', 'pooled_size': '2'}),
    (
        '_contrib_DeformablePSROIPooling',
        {'spatial_scale': '1', 'output_dim': '2', 'pooled_size': '2', 'group_size': '2'},
    ),
    (
        '_contrib_DeformablePSROIPooling',
        {'spatial_scale': '1', 'output_dim': '2', 'pooled_size': '2', 'group_size': '2', 'no_trans': 'True'},
    ),
    ('_contrib_Proposal', {}),
    ('_contrib_MultiProposal', {}),
    ('_contrib_MultiBoxTarget', {}),
    ('_contrib_MultiBoxDetection', {}),
    ('SoftmaxOutput', {}),
    ('SVMOutput', {}),
    ('LinearRegressionOutput', {}),
    ('LogisticRegressionOutput', {}),
    ('MAERegressionOutput', {}),
    ('softmax_cross_entropy', {}),
    ('UpSampling', {'scale': '2', 'sample_type': 'bilinear', 'num_filter': '1', 'num_args': '2'}),
]
OUTPUTS_ONLY = [
    ('RNN', {'state_size': '2', 'num_layers': '1', 'mode': 'lstm', 'state_outputs': 'True'}),
    ('RNN', {'state_size': '2', 'num_layers': '1', 'mode': 'gru', 'state_outputs': 'True'}),
    ('LeakyReLU', {}),
    ('Dropout', {}),
    ('L2Normalization', {}),
    ('LRN', {'nsize': '3'}),
    ('GridGenerator', {'transform_type': 'affine'}),
    ('CTCLoss', {}),
    ('Pooling', {'kernel': '(2,2)'}),
    ('Pooling', {'kernel': '(2,2)', 'pool_type': 'avg'}),
    ('SliceChannel', {'num_outputs': '5'}),
    ('Activation', {'act_type': 'relu'}),
    ('Concat', {'num_args': '2'}),
    ('Flatten', {}),
    ('MakeLoss', {}),
    ('BlockGrad', {}),
]


def _operator_names():
    size, names = ctypes.c_uint(), ctypes.POINTER(ctypes.c_char_p)()
    check_call(_LIB.MXListAllOpNames(ctypes.byref(size), ctypes.byref(names)))
    return [py_str(names[i]) for i in range(size.value)]


def _handle(op):
    handle = OpHandle()
    check_call(_LIB.NNGetOpHandle(c_str(op), ctypes.byref(handle)))
    return handle


def _real_name(op):
    name, rest = ctypes.c_char_p(), ctypes.c_char_p()
    count, pointers = mx_uint(), [ctypes.POINTER(ctypes.c_char_p)() for _ in range(3)]
    check_call(
        _LIB.NNGetOpInfo(
            _handle(op),
            ctypes.byref(name),
            ctypes.byref(rest),
            ctypes.byref(count),
            *map(ctypes.byref, pointers),
            ctypes.byref(rest),
        )
    )
    return py_str(name.value)


def _composed(op, attrs):
    """The operator as a symbol named x, every input a new variable."""
    handle = SymbolHandle()
    check_call(
        _LIB.MXSymbolCreateAtomicSymbol(
            _handle(op),
            mx_uint(len(attrs)),
            c_str_array(list(attrs)),
            c_str_array(list(attrs.values())),
            ctypes.byref(handle),
        )
    )
    symbol = mx.sym.Symbol(handle)
    symbol._compose(name='x')
    return symbol


def test_every_name_is_the_one_that_mxnet_saves():
    names = [
        name for name in _operator_names() if not name.startswith('_contrib_Own')
    ]  # the project's operators register beside the stock ones
    assert len(names) > 1000
    wrong = {name: operators.present_name(name) for name in names if operators.present_name(name) != _real_name(name)}
    # one of the project's may stand in for a stock one: its real name is private then
    assert {name: found for name, found in wrong.items() if not _real_name(name).startswith('_contrib_Own')} == {}


@pytest.mark.parametrize('op,attrs', CASES)
def test_inputs_and_auxiliary_states(op, attrs):
    symbol = _composed(op, attrs)
    names = [f'x_{name}' for name in operators.input_names(op, attrs)]
    auxiliary = [names[i] for i in operators.auxiliary_inputs(op)]
    assert [name for name in names if name not in auxiliary] == symbol.list_arguments()
    assert auxiliary == symbol.list_auxiliary_states()


@pytest.mark.parametrize('op,attrs', CASES + OUTPUTS_ONLY)
def test_number_of_outputs(op, attrs):
    ends = json.loads(_composed(op, attrs).tojson())['node_row_ptr']
    assert operators.num_outputs(op, attrs) == ends[-1] - ends[-2]


@pytest.mark.parametrize('op,attrs', CASES)
def test_initializers(op, attrs):
    symbol = _composed(op, attrs)
    given = {
        name: attributes['__init__'] for name, attributes in symbol.attr_dict().items() if '__init__' in attributes
    }
    names = [f'x_{name}' for name in operators.input_names(op, attrs)]
    ours = {
        name: operators.initializer(op, i) for i, name in enumerate(names) if operators.initializer(op, i) is not None
    }
    assert ours == given
