"""dcn.inspection.show: a symbol of Python as text and as an HTML table."""

import re

from dcn.inspection import show
from tests.inspection.graphs import VOC_DCN, convolution, golden, make


def test_a_graph_as_text_and_table():
    shown = show(make([('data', '', {}, []), *convolution('c<b>\x1b', 'data', 2)]), data=(1, 3, 5, 7))
    assert re.search(r'c<b>\\x1b +Convolution 3x3, 2 +1 x 2 x 3 x 5 +54 ', repr(shown))
    page = shown._repr_html_()
    assert 'c&lt;b&gt;\\x1b' in page and '<td style="text-align:right' in page and '54 parameters, 810' in page
    assert page.count('<tr>') == 2


def test_rows_are_those_of_the_command():
    graph, inputs, _ = golden(VOC_DCN + 'test')
    folded, every = (show(graph, every=every, **inputs) for every in (False, True))
    page = folded._repr_html_()
    assert '<td colspan="7"' in page and '<b>Backbone / res5</b>' in page and '<b>* res5a</b>' in page
    assert 'input data 1 x 3 x 600 x 1000' in page and '* deformable' in page
    assert 'res5b ... res5c (2)' in repr(folded) and 'res5b_branch2a_relu' in repr(every)
    assert folded.network.totals['params']['total'] == 54007111


def test_a_symbol_of_mxnet(operators):
    import mxnet as mx

    data = mx.sym.Variable('data')
    symbol = mx.sym.LeakyReLU(mx.sym.FullyConnected(data, num_hidden=4, name='fc'), act_type='prelu', name='act')
    shown = show(symbol, data=(2, 3))
    assert shown.network.label == 'act' and shown.network.totals['params']['total'] == 4 * 3 + 4 + 4
