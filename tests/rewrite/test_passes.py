"""Every pass on every family: the rewritten graph computes what the published one does, and has lost what it should."""

import collections

import pytest

from dcn import rewrite
from dcn.formats.graph import Graph
from dcn.rewrite.batch_norm import folded
from dcn.rewrite.onednn import FUSED, fused
from dcn.rewrite.sums import sums_by_element

pytestmark = pytest.mark.usefixtures('operators')
NAMES = [
    f'{family}{kind}'
    for family in ('rfcn', 'faster_rcnn', 'fpn', 'deeplab')
    for kind in ('', ' deformable', ' modulated')
]
SUMS = 5  # residual blocks


@pytest.fixture(scope='module', params=NAMES)
def filled(request, network):
    """A network and what its published graph computes."""
    from tests.rewrite.networks import Filled, computed

    made = Filled(network, request.param)
    made.expected, _ = computed(made.graph, made.parameters, made.inputs)
    return made


def counts(graph):
    return collections.Counter(node.op for node in graph.nodes)


def test_sums_by_element(filled):
    from tests.rewrite.networks import assert_close, computed

    graph, parameters = sums_by_element(filled.graph, filled.parameters)
    assert counts(graph)['broadcast_add'] == counts(graph)['add_n'] == 0
    assert (
        counts(graph)['elemwise_add'] == counts(filled.graph)['broadcast_add'] + counts(filled.graph)['add_n'] >= SUMS
    )
    assert_close(computed(graph, parameters, filled.inputs)[0], filled.expected)


def test_batch_norm_is_folded(filled):
    from tests.rewrite.networks import assert_close, computed

    graph, parameters = folded(filled.graph, filled.parameters)
    assert counts(graph)['BatchNorm'] == 0 < counts(filled.graph)['BatchNorm']
    assert set(graph.arguments()) == set(parameters) | set(filled.inputs)
    assert_close(computed(graph, parameters, filled.inputs)[0], filled.expected)


def test_fused_after_the_others(filled):
    from tests.rewrite.networks import assert_close, computed

    graph, parameters = rewrite.for_inference(filled.graph, filled.parameters, onednn=True)
    assert counts(graph)[FUSED] == counts(filled.graph)['Convolution']
    assert counts(graph)['Convolution'] == 0
    # only sums of what no plain convolution made alone are left: none
    assert counts(graph)['elemwise_add'] == 0
    assert_close(computed(graph, parameters, filled.inputs)[0], filled.expected)


def test_fused_alone(filled):
    """Without folded batch norm a convolution is followed by it, and takes nothing."""
    from tests.rewrite.networks import assert_close, computed

    graph, parameters = fused(filled.graph, filled.parameters)
    assert_close(computed(graph, parameters, filled.inputs)[0], filled.expected)


def test_passes_leave_what_they_were_given(filled):
    nodes, names = filled.graph.nodes, set(filled.parameters)
    rewrite.for_inference(filled.graph, filled.parameters, onednn=True)
    assert isinstance(filled.graph, Graph) and filled.graph.nodes is nodes and set(filled.parameters) == names


def test_inner_outputs_come_out_right(network):
    """Those that are asked for by name: MXNet's own fusion gives them with the batch norm and ReLU that follow."""
    from tests.rewrite.networks import Filled, assert_close, computed

    watch = [
        'res2a_branch2a_output',
        'bn2a_branch2b_output',
        'res3a_output',
        'res4b1_branch2c_output',
        'res5a_branch2b_offset_output',
        'res5a_branch2b_output',
        'rpn_conv_3x3_output',
    ]
    made = Filled(network, 'rfcn deformable', watch=watch)
    graph, parameters = rewrite.for_inference(made.graph, made.parameters, onednn=True)
    expected, _ = computed(made.graph, made.parameters, made.inputs)
    assert_close(computed(graph, parameters, made.inputs)[0], expected)
    assert counts(graph)['BatchNorm'] == 3  # behind the convolutions that were asked for


@pytest.mark.parametrize('which', NAMES)
def test_training(which, network):
    from tests.rewrite.networks import Filled, assert_close, computed

    made = Filled(network, which, is_train=True)
    trained = [name for name in made.graph.arguments() if name in made.parameters and 'upsampling' not in name]
    outputs, gradients = computed(made.graph, made.parameters, made.inputs, trained)
    graph, parameters = rewrite.for_training(made.graph, made.parameters, own=False)
    assert counts(graph)['broadcast_add'] == 0 and counts(graph)[FUSED] == 0
    found, found_gradients = computed(graph, parameters, made.inputs, trained)
    assert_close(found, outputs)
    assert_close([found_gradients[name] for name in trained], [gradients[name] for name in trained])
