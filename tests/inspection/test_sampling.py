"""What the inspection page says of deformable layers: equation, picture, the layer that predicts the offsets."""

import re

import pytest

from dcn.errors import UserError
from dcn.inspection.graph.network import describe
from dcn.inspection.render.page import measured, page_data
from dcn.inspection.render.sampling import MOST, sampling
from tests.inspection.graphs import VOC_DCN, convolution, golden, make


def deformable(attrs):
    """A deformable layer with the attributes ``attrs`` (of 18 offsets, whatever these say)."""
    inputs = [('data', '', {}, []), *convolution('where', 'data', 18), ('w', '', {}, [])]
    op = '_contrib_DeformableConvolution'
    return make([*inputs, ('deform', op, {'num_filter': '4', 'no_bias': 'True', **attrs}, ['data', 'where', 'w'])])


def found_in(graph, shapes=None):
    network = describe(graph, 'net', shapes)
    return {layer.name: sampling(network, layer) for layer in network.layers}, network


def test_layers_of_a_detector():
    graph, inputs, _ = golden(VOC_DCN + 'test')
    found, network = found_in(graph, inputs)
    names = {layer.index: layer.name for layer in network.layers}
    told = {name: each for name, each in found.items() if each}
    assert list(told) == [*(f'res5{block}_branch2b' for block in 'abc'), 'psroipooled_cls_rois', 'psroipooled_loc_rois']
    for name, predictor in (('res5a_branch2b', 'res5a_branch2b_offset'), ('psroipooled_cls_rois', 'rfcn_cls_offset_t')):
        assert names[told[name]['predictor']] == predictor
    layer = told['res5b_branch2b']
    assert 'equation 2' in layer['source'] and '&Delta;p' in layer['equation']
    assert 'Of 72 offset channels, 2 for each of 9 taps and 4 deformable groups' in layer['words'][1]
    # the middle of nine taps of dilation 2 on 7 cells, and the tap above it two cells higher
    centres = re.findall('cx="(.*?)" cy="(.*?)"', layer['picture'])
    assert centres[4] == ('120.0', '120.0') and float(centres[1][1]) == pytest.approx(120 - 2 * 240 / 7, abs=0.1)
    pooling = told['psroipooled_cls_rois']
    assert 'equation 6' in pooling['source'] and pooling['picture'].count('class="part"') == 49
    assert any('position-sensitive' in text for text in pooling['words'])


@pytest.mark.parametrize(
    'attrs, taps',
    [
        ({'kernel': '(3, 2)', 'dilate': '(1, 50)', 'pad': '(1, 0)'}, 6),
        ({'kernel': '(100, 100)'}, 0),  # more than anyone can see
        ({'kernel': '(3,)'}, None),
        ({'kernel': '(3, 3, 3)'}, None),
        ({'kernel': '(x, 3)'}, None),
    ],
)
def test_unusual_attributes_do_no_harm(attrs, taps):
    try:
        found, _ = found_in(deformable(attrs), {'data': (1, 2, 200, 200)})
    except UserError:
        return  # told by what infers shapes
    assert taps is None and found['deform'] is None or found['deform']['picture'].count('<circle') == taps
    assert MOST < 100 * 100


def test_links_lead_to_sections_that_are_there(tmp_path):
    graph, inputs, _ = golden(VOC_DCN + 'test')
    network, page = describe(graph, 'net', inputs), str(tmp_path / 'pages' / 'net.html')
    offsets = tmp_path / 'off#1.html'
    offsets.write_text('<h3 id="res5a_branch2b">')
    links = measured(page, network, str(offsets))
    assert links == {'res5a_branch2b': '../off%231.html#res5a_branch2b'}
    nodes = {node['name']: node for node in page_data(network, {}, links)['nodes']}
    assert nodes['res5a_branch2b']['measured'] == links['res5a_branch2b'] and not nodes['res5b_branch2b']['measured']
    offsets.write_text('<h3 id="res4a_branch2b">')
    with pytest.raises(UserError, match='found nothing on res5a_branch2b, res5b_branch2b'):
        measured(page, network, str(offsets))
    with pytest.raises(UserError, match='cannot be read here'):
        measured(page, network, str(tmp_path / 'none.html'))
