"""What reading an old symbol needs to know about operators: present names, inputs, auxiliary states, outputs.

Facts of MXNet 1.9.1, checked against it by tests/formats/test_operators.py. Only what files of 2015 to 2017 can lack is
listed: an operator that is not here has no input that could be missing, and as many outputs as the graph uses.
"""

from typing import Mapping, Optional, Tuple

from dcn.formats.attributes import Attributes

_PAIRS = """
    ElementWiseSum add_n  Softmax SoftmaxOutput  identity _copy  stop_gradient BlockGrad  choose_element_0index pick
    broadcast_axes broadcast_axis  broadcast_minus broadcast_sub  broadcast_plus broadcast_add  cast Cast
    concat Concat  crop slice  ctc_loss CTCLoss  _contrib_ctc_loss CTCLoss  _contrib_CTCLoss CTCLoss
    cumsum _np_cumsum  flatten Flatten  flip reverse  max_axis max  min_axis min  sum_axis sum  pad Pad
    reshape Reshape  split SliceChannel  swapaxes SwapAxis  normal _random_normal  uniform _random_uniform
    shuffle _shuffle  ravel_multi_index _ravel_multi_index  unravel_index _unravel_index  _Plus elemwise_add
    _plus elemwise_add  _add elemwise_add  _Minus elemwise_sub  _minus elemwise_sub  _sub elemwise_sub
    _Mul elemwise_mul  _mul elemwise_mul  _Div elemwise_div  _div elemwise_div  _crop_assign _slice_assign
    _crop_assign_scalar _slice_assign_scalar  _contrib_box_non_maximum_suppression _contrib_box_nms
    _np_amax _np_max  _np_amin _np_min  _np_product _np_prod  _np_repeat repeat  _np_sometrue _np_any
    _npi_Custom Custom  _npi_abs _npi_absolute  _npi_argsort argsort  _npi_boolean_mask _contrib_boolean_mask
    _npi_cast Cast  _npi_clip clip  _npi_copyto _copyto  _npi_cvimdecode _cvimdecode  _npi_cvimread _cvimread
    _npi_cvimresize _cvimresize  _npi_det _linalg_det  _npi_expand_dims expand_dims  _npi_full _full
    _npi_gather_nd gather_nd  _npi_histogram _histogram  _npi_hypot_scalar _hypot_scalar  _npi_inv _linalg_inverse
    _npi_linspace _linspace  _npi_maximum broadcast_maximum  _npi_maximum_scalar _maximum_scalar
    _npi_minimum broadcast_minimum  _npi_minimum_scalar _minimum_scalar  _npi_nonzero _npx_nonzero
    _npi_random_randint _random_randint  _npi_reshape _npx_reshape  _npi_rnn_param_concat _rnn_param_concat
    _npi_scatter_set_nd _scatter_set_nd  _npi_shuffle _shuffle  _npi_slice slice  _npi_slice_assign _slice_assign
    _npi_slice_assign_scalar _slice_assign_scalar  _npi_slogdet _linalg_slogdet  _npi_sort sort
    _npi_split _split_v2  _npi_swapaxes SwapAxis  _npi_take take  _npi_tile tile  _npx_activation Activation
    _npx_arange_like _contrib_arange_like  _npx_batch_dot batch_dot  _npx_batch_flatten Flatten
    _npx_batch_norm BatchNorm  _npx_cast Cast  _npx_convolution Convolution  _npx_deconvolution Deconvolution
    _npx_dropout Dropout  _npx_embedding Embedding  _npx_erf erf  _npx_erfinv erfinv
    _npx_fully_connected FullyConnected  _npx_gamma gamma  _npx_gammaln gammaln  _npx_gather_nd gather_nd
    _npx_layer_norm LayerNorm  _npx_leaky_relu LeakyReLU  _npx_log_softmax log_softmax
    _npx_multibox_detection _contrib_MultiBoxDetection  _npx_multibox_prior _contrib_MultiBoxPrior
    _npx_multibox_target _contrib_MultiBoxTarget  _npx_one_hot one_hot  _npx_pick pick  _npx_pooling Pooling
    _npx_reshape_like reshape_like  _npx_rnn RNN  _npx_roi_pooling ROIPooling  _npx_sequence_mask SequenceMask
    _npx_shape_array shape_array  _npx_slice slice  _npx_smooth_l1 smooth_l1  _npx_softmax softmax  _npx_topk topk
"""
_PRESENT_NAMES = dict(zip(_PAIRS.split()[::2], _PAIRS.split()[1::2]))
# _GreaterEqualScalar is _greater_equal_scalar, _Greater_Equal is _greater_equal
_WORDS = (
    'Div Equal Greater GreaterEqual Hypot Lesser LesserEqual LogicalAnd LogicalOr LogicalXor Maximum Minimum Minus Mod '
    'Mul NotEqual Plus Power RDiv RMinus RMod RPower'
)
_SNAKE = {
    'GreaterEqual': 'greater_equal',
    'LesserEqual': 'lesser_equal',
    'LogicalAnd': 'logical_and',
    'LogicalOr': 'logical_or',
    'LogicalXor': 'logical_xor',
    'NotEqual': 'not_equal',
}
for _word in _WORDS.split():
    _snake = _SNAKE.get(_word, _word.lower())
    if _word != 'Equal' and not _word.startswith('R'):
        _PRESENT_NAMES.setdefault('_' + '_'.join(part.capitalize() for part in _snake.split('_')), f'_{_snake}')
    _PRESENT_NAMES[f'_{_word}Scalar'] = f'_{_snake}_scalar'
_PRESENT_NAMES['_Equal'] = '_equal'


def present_name(op: str) -> str:
    """The name under which MXNet 1.9.1 saves the operator that a file calls ``op``."""
    if op.startswith('_sparse_') and op not in ('_sparse_retain', '_sparse_adagrad_update'):
        op = op[len('_sparse_') :]
    elif op.startswith('_npx__image_'):
        op = op[len('_npx_') :]
    elif op.startswith(('random_', 'sample_', 'linalg_')):
        op = '_' + op
    return _PRESENT_NAMES.get(op, op)


_INPUTS = {
    name: tuple(inputs.split())
    for name, inputs in {
        'BatchNorm': 'data gamma beta moving_mean moving_var',
        'BatchNorm_v1': 'data gamma beta moving_mean moving_var',
        'CuDNNBatchNorm': 'data gamma beta moving_mean moving_var',
        '_contrib_SyncBatchNorm': 'data gamma beta moving_mean moving_var',
        '_contrib_BatchNormWithReLU': 'data gamma beta moving_mean moving_var',
        'IdentityAttachKLSparseReg': 'data moving_avg',
        'InstanceNorm': 'data gamma beta',
        'LayerNorm': 'data gamma beta',
        'GroupNorm': 'data gamma beta',
        'Convolution': 'data weight bias',
        'Convolution_v1': 'data weight bias',
        'Deconvolution': 'data weight bias',
        '_contrib_DeformableConvolution': 'data offset weight bias',
        '_contrib_ModulatedDeformableConvolution': 'data offset mask weight bias',
        'FullyConnected': 'data weight bias',
        'Embedding': 'data weight',
        'LeakyReLU': 'data gamma',
        'RNN': 'data parameters state state_cell sequence_length',
        'Correlation': 'data1 data2',
        'BilinearSampler': 'data grid',
        'SpatialTransformer': 'data loc',
        'ROIPooling': 'data rois',
        '_contrib_PSROIPooling': 'data rois',
        '_contrib_DeformablePSROIPooling': 'data rois trans',
        '_contrib_Proposal': 'cls_prob bbox_pred im_info',
        '_contrib_MultiProposal': 'cls_prob bbox_pred im_info',
        '_contrib_MultiBoxTarget': 'anchor label cls_pred',
        '_contrib_MultiBoxDetection': 'cls_prob loc_pred anchor',
        'SoftmaxOutput': 'data label',
        'SVMOutput': 'data label',
        'LinearRegressionOutput': 'data label',
        'LogisticRegressionOutput': 'data label',
        'MAERegressionOutput': 'data label',
        'softmax_cross_entropy': 'data label',
        'UpSampling': 'data weight',
    }.items()
}


def input_names(op: str, attrs: Mapping[str, str]) -> Tuple[str, ...]:
    """Names of the inputs that ``op`` has under ``attrs``, auxiliary states last; () where nothing can be missing."""
    names = _INPUTS.get(op, ())
    known, absent = Attributes(attrs, op), set()
    if 'bias' in names and known.truth('no_bias', op == 'Deconvolution'):
        absent.add('bias')
    if op == 'LeakyReLU' and attrs.get('act_type') != 'prelu':
        absent.add('gamma')
    if op == '_contrib_DeformablePSROIPooling' and known.truth('no_trans'):
        absent.add('trans')
    if op == 'RNN':
        absent.update(() if attrs.get('mode') == 'lstm' else ('state_cell',))
        absent.update(() if known.truth('use_sequence_length') else ('sequence_length',))
    if op == 'UpSampling' and attrs.get('sample_type') != 'bilinear':
        return ()
    return tuple(name for name in names if name not in absent)


def auxiliary_inputs(op: str) -> Tuple[int, ...]:
    """Positions of the inputs that ``op`` writes as well as reads."""
    names = _INPUTS.get(op, ())
    return tuple(i for i, name in enumerate(names) if name.startswith('moving_'))


_INITIALIZERS = {'moving_mean': '["zero", {}]', 'moving_avg': '["zero", {}]', 'moving_var': '["one", {}]'}


def initializer(op: str, index: int) -> Optional[str]:
    """The ``__init__`` that ``op`` gives to a variable at input ``index`` unless it has one; None for most."""
    if op == 'LeakyReLU':
        return '["Constant", {"value": 0.25}]' if index == 1 else None
    if op == 'UpSampling':
        return '["bilinear", {}]' if index == 1 else None
    names = _INPUTS.get(op, ())
    return _INITIALIZERS.get(names[index]) if index < len(names) else None


_OUTPUTS = {
    '_contrib_BatchNormWithReLU': 4,
    'BatchNorm': 3,
    'BatchNorm_v1': 3,
    '_contrib_SyncBatchNorm': 3,
    'InstanceNorm': 3,
    'LayerNorm': 3,
    'GroupNorm': 3,
    'Correlation': 3,
    'SpatialTransformer': 3,
    '_contrib_MultiBoxTarget': 3,
    'Dropout': 2,
    'L2Normalization': 2,
    'LRN': 2,
    'ROIPooling': 2,
    'BilinearSampler': 2,
    'GridGenerator': 2,
    'CTCLoss': 2,
    '_contrib_Proposal': 2,
    '_contrib_MultiProposal': 2,
    '_contrib_DeformablePSROIPooling': 2,
}


def num_outputs(op: str, attrs: Mapping[str, str]) -> int:
    """Outputs of ``op`` under ``attrs``, hidden ones too, as ``node_row_ptr`` counts them; 1 where nothing is known."""
    if op == 'SliceChannel':
        text = attrs.get('num_outputs', '1')
        return int(text) if text.isdecimal() and len(text) < 6 else 1
    if op == 'Pooling':
        return 2 if attrs.get('pool_type', 'max') == 'max' else 1
    if op == 'LeakyReLU':
        return 2 if attrs.get('act_type') == 'rrelu' else 1
    if op == 'RNN' and Attributes(attrs, op).truth('state_outputs'):
        return 3 if attrs.get('mode') == 'lstm' else 2
    return _OUTPUTS.get(op, 1)
