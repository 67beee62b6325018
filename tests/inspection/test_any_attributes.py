"""Graphs whose attributes and links were damaged: a description or one sentence, no other exception."""

from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcn.errors import UserError
from dcn.formats.graph import Graph
from dcn.inspection.graph.network import describe
from dcn.inspection.render.differences import graph_lines
from dcn.inspection.render.dot import dot
from dcn.inspection.render.page import page_data
from dcn.inspection.render.report import network_json, network_lines
from tests.inspection.graphs import VOC_DCN, golden

GRAPH, INPUTS, _ = golden(VOC_DCN + 'train')
WHOLE = describe(GRAPH, 'whole', INPUTS)
OPERATORS = [i for i, node in enumerate(GRAPH.nodes) if not node.is_variable]
TEXTS = st.sampled_from(
    [
        '',
        '0',
        '-1',
        '(0, 0)',
        '(3,)',
        '(1, 2, 3)',
        '()',
        'None',
        'True',
        '1e999',
        '(((',
        '9' * 40,
        '0.5',
        'max',
        "__import__('os')",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_attributes_and_links(data):
    i = data.draw(st.sampled_from(OPERATORS))
    node = GRAPH.nodes[i]
    if node.attrs and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(node.attrs)))
        attrs = {**node.attrs, key: data.draw(TEXTS)}
        if data.draw(st.booleans()):
            del attrs[key]
        node = node._replace(attrs=MappingProxyType(attrs))
    else:
        inputs = list(node.inputs)
        k = data.draw(st.integers(0, len(inputs) - 1))
        inputs[k] = (data.draw(st.integers(0, i - 1)), data.draw(st.integers(0, 3)))
        inputs = inputs if data.draw(st.booleans()) else inputs[:k]
        node = node._replace(inputs=tuple(inputs), versions=(0,) * len(inputs))
    graph = Graph(GRAPH.nodes[:i] + (node,) + GRAPH.nodes[i + 1 :], GRAPH.heads)
    try:
        network = describe(graph, 'damaged', INPUTS)
        assert network_lines(network) and network_json(network) and dot(network) and page_data(network, {})
        graph_lines(WHOLE, network)
    except UserError as error:
        assert '\n' not in str(error)


def test_an_undamaged_graph_passes():
    assert graph_lines(WHOLE, describe(GRAPH, 'whole', INPUTS)) == []
    with pytest.raises(UserError):
        describe(GRAPH, 'whole', {**INPUTS, 'data': (1, 3, 5, 5)})
