"""dcn diff: pairs of nodes, what is told of a difference, checkpoints, status."""

import numpy as np
import pytest

from dcn.cli.diff import main
from dcn.errors import UserError
from dcn.formats import params as params_file
from dcn.formats.symbol_json import write_symbol
from dcn.inspection.checkpoint.compare import change
from dcn.inspection.graph.network import describe
from dcn.inspection.graph.pairing import pair
from dcn.inspection.render.differences import graph_lines
from tests.inspection.graphs import GOLDEN, VOC_DCN, convolution, golden, make

PLAIN = VOC_DCN.replace('_dcn', '')


def network(name):
    graph, inputs, _ = golden(name)
    return describe(graph, name, inputs)


@pytest.mark.parametrize('name', list(GOLDEN)[::4])
def test_a_graph_equals_itself(name):
    assert graph_lines(network(name), network(name)) == []


def test_plain_against_deformable():
    lines = graph_lines(network(PLAIN + 'test'), network(VOC_DCN + 'test'))
    assert [line.split(':')[0] for line in lines if line[0] in '<>'] == [
        '> res5a_branch2b_offset',
        '> res5b_branch2b_offset',
        '> res5c_branch2b_offset',
        '> rfcn_cls_offset_t',
        '> rfcn_cls_offset',
        '> rfcn_bbox_offset_t',
        '> rfcn_bbox_offset',
    ]
    assert 'res5b_branch2b: operator Convolution -> DeformableConvolution' in lines
    assert 'res5b_branch2b: attribute num_deformable_group absent -> 4' in lines
    assert 'res5b_branch2b: with input res5b_branch2b_offset' in lines
    assert 'psroipooled_cls_rois: operator PSROIPooling -> DeformablePSROIPooling' in lines
    assert 'parameters: 50,801,667 -> 54,007,111 (+3,205,444; offsets 0 -> 3,205,444)' in lines
    assert not any(line.startswith(('res4', 'conv', 'bn')) for line in lines)


def test_a_trained_copy_differs_in_its_multiplier_alone():
    def graph(multiplier):
        attrs = {'__lr_mult__': multiplier, 'num_filter': '9'}  # the second is inherited, and says nothing
        return make(
            [
                ('data', '', {}, []),
                ('a_weight', '', attrs, []),
                ('a', 'Convolution', {'kernel': '(1, 1)', 'num_filter': '8', 'no_bias': 'True'}, ['data', 'a_weight']),
            ]
        )

    one, two = (describe(graph(m), 'x', {'data': (1, 3, 5, 5)}) for m in ('1.0', '3.0'))
    assert graph_lines(one, two) == ['a_weight: learning rate multiplier 1.0 -> 3.0']


def test_made_up_names_are_paired_by_topology():
    def graph(first, second, third):
        return make(
            [
                ('data', '', {}, []),
                ('label', '', {}, []),
                (first, 'elemwise_sub', {}, ['data', 'label']),
                (second, 'elemwise_mul', {}, [first, 'label']),
                (third, 'elemwise_sub', {}, [second, 'data']),
                ('out', 'BlockGrad', {}, [third]),
            ]
        )

    one, two = graph('_minus0', '_mul0', '_minus1'), graph('_minus1', '_mul4', '_minus0')
    assert pair(one, two) == {i: i for i in range(6)}
    assert graph_lines(describe(one, 'x', {'data': (1, 2)}), describe(two, 'x', {'data': (1, 2)})) == []


def test_a_renamed_layer_keeps_its_pair():
    one, two = (
        make([('data', '', {}, []), *convolution(name, 'data'), ('out', 'BlockGrad', {}, [name])])
        for name in ('conv_a', 'conv_b')
    )
    lines = graph_lines(describe(one, 'x', {'data': (1, 3, 9, 9)}), describe(two, 'x', {'data': (1, 3, 9, 9)}))
    assert lines == [
        'conv_a_weight (now conv_b_weight): name conv_a_weight -> conv_b_weight',
        'conv_a (now conv_b): name conv_a -> conv_b',
    ]


def test_how_an_attribute_is_written_does_not_matter():
    one, two = (
        make(
            [
                ('data', '', {}, []),
                ('w', '', {}, []),
                ('a', 'Convolution', {'kernel': kernel, 'num_filter': '8', 'no_bias': flag}, ['data', 'w']),
            ]
        )
        for kernel, flag in (('(3, 3)', 'True'), ('[3L,3L]', 'true'))
    )
    assert graph_lines(describe(one, 'x', {'data': (1, 3, 9, 9)}), describe(two, 'x', {'data': (1, 3, 9, 9)})) == []


def test_status_and_silence(tmp_path, capsys):
    for name, filters in (('a', 4), ('b', 4), ('c', 5)):
        write_symbol(str(tmp_path / name), make([('data', '', {}, []), *convolution('conv', 'data', filters)]))
    assert main([str(tmp_path / 'a'), str(tmp_path / 'b')]) == 0
    assert capsys.readouterr().out == ''
    assert main([str(tmp_path / 'a'), str(tmp_path / 'c'), '--shape', 'data=1,3,5,5']) == 1
    assert capsys.readouterr().out.splitlines() == [
        'conv_weight: shape 4 x 3 x 3 x 3 -> 5 x 3 x 3 x 3',
        'conv: attribute num_filter 4 -> 5',
        'conv: shape 1 x 4 x 3 x 3 -> 1 x 5 x 3 x 3',
        'parameters: 108 -> 135 (+27; heads 108 -> 135)',
        'multiply-adds: 972 -> 1,215 (+243; heads 972 -> 1,215)',
    ]


def test_checkpoints(tmp_path, capsys):
    a, b = str(tmp_path / 'a.params'), str(tmp_path / 'b.params')
    same, moved = np.ones(4, np.float32), np.array([3, 4], np.float32)
    params_file.write(a, {'arg:same': same, 'arg:moved': moved, 'arg:gone': same, 'arg:turned': np.zeros((2, 3))})
    params_file.write(
        b,
        {'arg:moved': moved + np.float32([0.5, 0]), 'arg:same': same, 'aux:new': same, 'arg:turned': np.zeros((3, 2))},
    )
    assert main([a, b]) == 1
    assert capsys.readouterr().out.splitlines() == [
        '1 of 4 tensors have other values; arg:moved the most (relative 0.1); 1 have another shape or type; '
        '1 are only in the first; 1 are only in the second',
        '< arg:gone: float32 4',
        '> aux:new: float32 4',
        # the first tensor's norm is 5
        'arg:moved: 1 of 2 values differ, by 0.5 at most and 0.25 in the mean; relative 0.1',
        'arg:turned: float64 2 x 3 -> float64 3 x 2',
    ]
    assert main([a, a]) == 0
    params_file.write(
        b, {'arg:same': same, 'arg:moved': moved + np.float32(1e-6), 'arg:gone': same, 'arg:turned': np.zeros((2, 3))}
    )
    assert main([a, b, '--tolerance', '1e-5']) == 0


def test_not_a_number_equals_itself_and_nothing_else():
    nan, inf = np.nan, np.inf
    assert change(np.float32([nan, inf, 1]), np.float32([nan, inf, 1])).count == 0
    assert change(np.float32([nan, 1]), np.float32([2, 1]))[:3] == (1, 2, inf)
    assert change(np.float32([inf]), np.float32([-inf])).largest == inf
    assert change(np.zeros(0, np.float32), np.zeros(0, np.float32)).count == 0


def test_two_of_a_kind(tmp_path):
    write_symbol(str(tmp_path / 'a'), make([('data', '', {}, []), *convolution('conv', 'data')]))
    params_file.write(str(tmp_path / 'b'), {'arg:x': np.ones(1)})
    with pytest.raises(UserError, match='found a checkpoint and a network; "dcn doctor'):
        main([str(tmp_path / 'a'), str(tmp_path / 'b')])
