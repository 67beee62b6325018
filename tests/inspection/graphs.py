"""Graphs for the tests of lib/dcn/inspection, made without MXNet: from the golden records, and small ones by hand."""

from types import MappingProxyType

from dcn.formats.graph import VARIABLE, Graph, Node
from tests.graphs.normal_form import read_golden

GOLDEN = read_golden()
VOC_DCN = 'rfcn__resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem__'


def make(rows, heads=None):
    """A Graph of rows (name, operator or '', attributes, inputs); an input is a name or (name, output)."""
    place, nodes = {}, []
    for name, op, attrs, inputs in rows:
        links = tuple((place[one], 0) if isinstance(one, str) else (place[one[0]], one[1]) for one in inputs)
        place[name] = len(nodes)
        nodes.append(Node(op or VARIABLE, name.split('#')[0], MappingProxyType(attrs), links, (0,) * len(links)))
    heads = ((len(nodes) - 1, 0),) if heads is None else tuple((place[name], 0) for name in heads)
    return Graph(tuple(nodes), heads)


def from_records(records):
    """The Graph of records as :mod:`tests.graphs.normal_form` has them."""
    return make(
        [
            (label, '' if op == 'Variable' else op, attrs, [tuple(link) for link in inputs])
            for label, op, attrs, inputs, _ in records
        ]
    )


def golden(name):
    """(Graph, input shapes, expected output shapes of every node) of an entry of the golden file."""
    entry = GOLDEN[name]
    shapes = {key: tuple(shape) for key, shape in entry['input_shapes'].items()}
    expected = [[tuple(shape) for shape in record[4]] for record in entry['records']]
    return from_records(entry['records']), shapes, expected


def convolution(name, data, filters=8, kernel=3, **attrs):
    """Rows of a convolution without bias and its weight."""
    attrs = {
        'kernel': f'({kernel}, {kernel})',
        'num_filter': str(filters),
        'no_bias': 'True',
        **{key: str(value) for key, value in attrs.items()},
    }
    return [(name + '_weight', '', {}, []), (name, 'Convolution', attrs, [data, name + '_weight'])]
