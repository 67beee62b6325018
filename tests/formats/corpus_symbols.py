"""How the symbol files of tests/corpus are made; GOOD_SYMBOLS are read, BAD_SYMBOLS give a line of sentences.txt."""

import json


def variable(name, **fields):
    return {'op': 'null', 'name': name, 'inputs': [], **fields}


def node(op, name, inputs, **fields):
    return {
        'op': op,
        'name': name,
        'inputs': [entry if isinstance(entry, list) else [entry, 0, 0] for entry in inputs],
        **fields,
    }


def symbol(nodes, version=None, **fields):
    """A file of these nodes, the last of which is the output; ``version`` None: from before 0.9."""
    whole = {
        'nodes': nodes,
        'arg_nodes': [i for i, n in enumerate(nodes) if n['op'] == 'null'],
        'heads': [[len(nodes) - 1, 0]],
    }
    if version is not None:
        whole['attrs'] = {'mxnet_version': ['int', version]}
    whole.update(fields)
    return json.dumps(whole, ensure_ascii=False).encode('utf-8')


_CONVOLUTION = {'kernel': '(3,3)', 'num_filter': '8', 'no_bias': 'True'}
# what pickle.dumps(EasyDict(a=1), protocol=0) of 2017 looks like; never opened here either
_PICKLED = (
    "ccopy_reg\n_reconstructor\np1\n(ceasydict\nEasyDict\np2\nc__builtin__\ndict\np3\n(dp4\nS'a'\nI1\nstp5\nRp6\n."
)


def _conv_bn(attr_key, version, aux, *, conv_extra=None, bn_extra=None):
    """Convolution and batch norm; attributes under ``attr_key``, auxiliary states in the file if ``aux``."""
    nodes = [
        variable('data'),
        variable('conv_weight'),
        node('Convolution', 'conv', [0, 1], **{attr_key: {**_CONVOLUTION, **(conv_extra or {})}}),
        variable('bn_gamma'),
        variable('bn_beta'),
    ]
    inputs = [2, 3, 4]
    if aux:
        nodes += [variable('bn_moving_mean'), variable('bn_moving_var')]
        inputs += [[5, 0, 1], [6, 0, 1]]
    nodes.append(
        node('BatchNorm', 'bn', inputs, **{attr_key: {'eps': '2e-05', 'fix_gamma': 'False', **(bn_extra or {})}})
    )
    return symbol(nodes, version)


def _mxnet_07():
    """As MXNet 0.7 wrote: param beside attr, two numbers for an input, no auxiliary states, backward_source_id."""
    old = {'backward_source_id': -1}
    nodes = [
        {'op': 'null', 'param': {}, 'name': 'data', 'inputs': [], **old},
        {'op': 'null', 'param': {}, 'name': 'conv_weight', 'inputs': [], 'attr': {'lr_mult': '2.0'}, **old},
        {
            'op': 'Convolution',
            'param': dict(_CONVOLUTION, workspace='512'),
            'name': 'conv',
            'inputs': [[0, 0], [1, 0]],
            'attr': {'ctx_group': 'stage1', 'weight_wd_mult': '0.5'},
            **old,
        },
        variable('bn_gamma'),
        variable('bn_beta'),
        {
            'op': 'BatchNorm',
            'param': {'eps': '0.001', 'momentum': '0.9'},
            'name': 'bn',
            'inputs': [[2, 0], [3, 0], [4, 0]],
            **old,
        },
        {
            'op': 'LeakyReLU',
            'param': {'act_type': 'prelu', 'slope': '0.25'},
            'name': 'prelu',
            'inputs': [[5, 0], [6, 0]],
            **old,
        },
    ]
    nodes.insert(6, variable('prelu_gamma'))
    nodes[7]['inputs'] = [[5, 0], [6, 0]]
    return symbol(nodes)


def _hidden_keys():
    """Keys that became __key__: of the node itself, of the variable at a named input, and some that look alike."""
    attrs = {
        'num_hidden': '4',
        'lr_mult': '3',
        'weight_lr_mult': '10',
        'bias_wd_mult': '0',
        'mirror_stage': 'True',
        'force_mirroring': '1',
    }
    alike = {'lr_mult': '0.1', 'weight_lr_mult': '7', 'ctx_group_of_mine': 'dev1', '_wd_mult': '3', '__wd_mult__': '0'}
    return symbol(
        [
            variable('data', attr=alike),
            variable('fc_weight'),
            variable('fc_bias'),
            node('FullyConnected', 'fc', [0, 1, 2], attr=attrs),
        ],
        901,
    )


GOOD_SYMBOLS = {
    'mxnet_0_7-symbol.json': _mxnet_07(),
    'attr_0_9_0-symbol.json': _conv_bn('attr', 900, True),
    'attr_0_9_5-symbol.json': _conv_bn('attr', 905, True),
    'attrs_1_0-symbol.json': _conv_bn('attrs', 10000, True),
    'attrs_1_9_1-symbol.json': _conv_bn('attrs', 10901, True),
    'attrs_2_0-symbol.json': _conv_bn('attrs', 20000, True),
    'no_auxiliary-symbol.json': _conv_bn('attr', None, False, bn_extra={'lr_mult': '0', 'momentum': '0.9'}),
    'hidden_keys-symbol.json': _hidden_keys(),
    'argmax_0_9_4-symbol.json': symbol(
        [variable('a'), node('argmax', 'm', [0], attr={'axis': '-1', 'keepdims': 'True'})], 904
    ),
    'argmax_0_9_5-symbol.json': symbol([variable('a'), node('argmax', 'm', [0], attr={'axis': '-1'})], 905),
    'argmin_0_8-symbol.json': symbol([variable('a'), node('argmin', 'm', [0], param={'axis': '-1'})]),
    'upsampling_0_8-symbol.json': symbol(
        [
            variable('a'),
            variable('up_weight'),
            node(
                'UpSampling',
                'up',
                [0, 1],
                param={'scale': '2', 'sample_type': 'bilinear', 'num_filter': '1', 'num_args': '2'},
            ),
        ]
    ),
    'initializer_kept_0_8-symbol.json': symbol(
        [
            variable('a'),
            variable('g', attr={'__init__': '["one", {}]'}),
            node('LeakyReLU', 'p', [0, 1], param={'act_type': 'prelu'}),
        ]
    ),
    'old_names_0_8-symbol.json': symbol(
        [
            variable('a'),
            variable('b'),
            node('_Plus', 'sum', [0, 1]),
            node('ElementWiseSum', 'more', [2, 0], param={'num_args': '2'}),
            node('_MulScalar', 'twice', [3], param={'scalar': '2'}),
            node('Softmax', 'softmax', [4, 0]),
        ]
    ),
    'any_order-symbol.json': symbol(
        [
            node('Activation', 'relu', [1], attrs={'act_type': 'relu'}),
            variable('a'),
            variable('unused'),
            node('Flatten', 'flat', [0]),
        ],
        10901,
    ),
    'escapes-symbol.json': symbol([variable('a', attrs={'__note__': 'tab\tquote"line\nslash\\ é \U0001f600'})], 10901),
}
# MXNet needs the class of a Custom operator to read these; the reader does not
GOOD_SYMBOLS_WITH_CUSTOM = {
    'pickled_cfg-symbol.json': symbol(
        [
            variable('rois'),
            variable('gt_boxes'),
            node(
                'Custom',
                'proposal_target',
                [0, 1],
                attrs={'op_type': 'proposal_target', 'num_classes': '81', 'cfg': _PICKLED},
            ),
        ],
        904,
        node_row_ptr=[0, 1, 2, 6],
    )
}
GOOD_SYMBOLS.update(GOOD_SYMBOLS_WITH_CUSTOM)

_A, _RELU = variable('a'), node('Activation', 'relu', [0], attrs={'act_type': 'relu'})
_TEXT = symbol([_A, _RELU], 10901).decode()
_DEEP = '{"nodes": [{"op": "_foreach", "name": "f", "inputs": [], "subgraphs": ['

BAD_SYMBOLS = {
    # foreign files
    'html-symbol.json': b'<html><body>404: Not Found</body></html>',
    'empty-symbol.json': b'',
    'list-symbol.json': b'[1, 2]',
    'params-symbol.json': b'\x12\x01' + bytes(30),
    'keras-symbol.json': b'{"class_name": "Sequential", "config": []}',
    'bom-symbol.json': b'\xef\xbb\xbf' + _TEXT.encode(),
    # not JSON as MXNet reads it
    'cut-symbol.json': _TEXT[:60].encode(),
    'cut_in_string-symbol.json': _TEXT[:30].encode(),
    'two_graphs-symbol.json': (_TEXT + _TEXT).encode(),
    'no_comma-symbol.json': _TEXT.replace('}, {', '} {').encode(),
    'unicode_escape-symbol.json': _TEXT.replace('relu', '\\u0072elu', 1).encode(),
    'line_end_in_string-symbol.json': _TEXT.replace('relu', 're\nlu', 1).encode(),
    'not_utf8-symbol.json': _TEXT.encode().replace(b'relu', b'rel\xfc', 1),
    'key_twice-symbol.json': _TEXT.replace('"name": "a"', '"name": "a", "name": "b"').encode(),
    'attribute_twice-symbol.json': _TEXT.replace(
        '"act_type": "relu"', '"act_type": "relu", "act_type": "tanh"'
    ).encode(),
    # wrong types
    'nodes_object-symbol.json': _TEXT.replace('"nodes": [', '"nodes": {').encode(),
    'name_number-symbol.json': _TEXT.replace('"name": "a"', '"name": 7').encode(),
    'attribute_number-symbol.json': _TEXT.replace('"act_type": "relu"', '"act_type": 1').encode(),
    'fraction-symbol.json': _TEXT.replace('[[0, 0, 0]]', '[[0.5, 0, 0]]').encode(),
    'negative-symbol.json': _TEXT.replace('[[0, 0, 0]]', '[[-1, 0, 0]]').encode(),
    'huge_number-symbol.json': _TEXT.replace('[[0, 0, 0]]', '[[' + '9' * 5000 + ', 0, 0]]').encode(),
    'one_number-symbol.json': _TEXT.replace('[[0, 0, 0]]', '[[0]]').encode(),
    'four_numbers-symbol.json': _TEXT.replace('[[0, 0, 0]]', '[[0, 0, 0, 0]]').encode(),
    'null_inputs-symbol.json': _TEXT.replace('"inputs": []', '"inputs": null').encode(),
    'unknown_field-symbol.json': _TEXT.replace('"inputs": []', '"inputs": [], "shape": []').encode(),
    'long_unknown_field-symbol.json': _TEXT.replace(
        '"inputs": []', '"inputs": [], "' + 'shape\\n' * 200 + '": []'
    ).encode(),
    'no_name-symbol.json': _TEXT.replace('"name": "a", ', '').encode(),
    'no_heads-symbol.json': _TEXT.replace('"heads": [[1, 0]], ', '').encode(),
    'empty_op-symbol.json': _TEXT.replace('"op": "Activation"', '"op": ""').encode(),
    'version_text-symbol.json': _TEXT.replace('["int", 10901]', '["str", "1.9.1"]').encode(),
    'version_type-symbol.json': _TEXT.replace('["int", 10901]', '["float", 1.9]').encode(),
    # numbers that lead nowhere
    'input_out_of_range-symbol.json': _TEXT.replace('[[0, 0, 0]]', '[[9, 0, 0]]').encode(),
    'head_out_of_range-symbol.json': _TEXT.replace('"heads": [[1, 0]]', '"heads": [[2, 0]]').encode(),
    'heads_empty-symbol.json': _TEXT.replace('"heads": [[1, 0]]', '"heads": []').encode(),
    'arg_nodes_out_of_range-symbol.json': _TEXT.replace('"arg_nodes": [0]', '"arg_nodes": [5]').encode(),
    'arg_nodes_operator-symbol.json': _TEXT.replace('"arg_nodes": [0]', '"arg_nodes": [1]').encode(),
    'own_input-symbol.json': _TEXT.replace('[[0, 0, 0]]', '[[1, 0, 0]]').encode(),
    'circle-symbol.json': symbol([node('relu', 'a', [2]), node('relu', 'b', [0]), node('relu', 'c', [1])], 10901),
    'row_ptr_short-symbol.json': symbol([_A, _RELU], 10901, node_row_ptr=[0, 1]),
    'row_ptr_falls-symbol.json': symbol([_A, _RELU], 10901, node_row_ptr=[0, 2, 1]),
    'output_out_of_range-symbol.json': symbol([_A, node('relu', 'r', [[0, 3, 0]])], 10901, node_row_ptr=[0, 1, 2]),
    # depth
    'deep_lists-symbol.json': b'{"nodes": ' + b'[' * 5000,
    'deep_subgraphs-symbol.json': (_DEEP * 40).encode(),
}
