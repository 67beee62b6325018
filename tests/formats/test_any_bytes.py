"""Property tests: whatever the bytes, the readers give a value or a FormatError, soon and with little memory."""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcn.formats import params, symbol_json
from tests.formats import corpus, harness
from tests.formats.corpus_symbols import BAD_SYMBOLS, GOOD_SYMBOLS
from tests.formats.layout import checkpoint, v2

CHECKED = settings(
    max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
CHECKPOINTS = sorted(corpus.GOOD_PARAMS.values()) + sorted(corpus.BAD_PARAMS.values())
SYMBOLS = sorted(GOOD_SYMBOLS.values()) + sorted(data for data in BAD_SYMBOLS.values() if len(data) < 4000)
# numbers at which something tips over: signs, 32 and 64 bits, multiplication
EDGES = [
    0,
    1,
    2,
    3,
    7,
    12,
    13,
    31,
    32,
    33,
    255,
    256,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
]
PIECES = [
    b'{',
    b'}',
    b'[',
    b']',
    b',',
    b':',
    b'"',
    b'\\',
    b'null',
    b'-1',
    b'9' * 30,
    b'"nodes"',
    b'"inputs": [[0, 0]]',
    b'\xff',
    b'\x00',
    b'\\u0041',
    b'"subgraphs": [',
    b'"attrs": {"a": "b"}',
    b'1e9',
    b'\n',
]


@st.composite
def mutated(draw, files, pieces):
    """A file of the corpus with up to six places changed: pieces put over or between, parts removed, doubled, cut."""
    data = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(['over', 'between', 'remove', 'double', 'cut', 'join']))
        piece = draw(st.sampled_from(pieces) | st.binary(min_size=1, max_size=9))
        length = draw(st.integers(1, 64))
        data = {
            'over': lambda: data[:at] + piece + data[at + len(piece) :],
            'between': lambda: data[:at] + piece + data[at:],
            'remove': lambda: data[:at] + data[at + length :],
            'double': lambda: data[:at] + data[at : at + length] * 2 + data[at + length :],
            'cut': lambda: data[:at],
            'join': lambda: data[:at] + draw(st.sampled_from(files))[at:],
        }[kind]()
    return data


NUMBERS = [
    struct.pack(layout, edge & (1 << 8 * struct.calcsize(layout)) - 1) for layout in ('<I', '<Q') for edge in EDGES
]


@CHECKED
@given(mutated(CHECKPOINTS, NUMBERS) | st.binary(max_size=200))
def test_any_checkpoint(data):
    assert harness.peak_of(harness.open_checkpoint, data)[0] <= harness.allowed_for_checkpoint(data)


@CHECKED
@given(mutated(SYMBOLS, PIECES) | st.binary(max_size=200))
def test_any_symbol(data):
    assert harness.peak_of(harness.read_symbol, data)[0] <= harness.allowed_for_reading(data)
    peak, count = harness.peak_of(harness.open_symbol, data)
    assert peak <= harness.allowed_for_symbol(data, count)


@CHECKED
@given(st.text(max_size=200))
def test_any_text_as_symbol(text):
    harness.open_symbol('{"nodes": [' + text)


ARRAYS = st.builds(
    lambda shape, dtype: (np.arange(int(np.prod(shape))).reshape(shape) % 100).astype(dtype),
    st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple),
    st.sampled_from(['f4', 'f8', 'f2', 'u1', 'i4', 'i1', 'i8', '?']),
)


@CHECKED
@given(
    st.dictionaries(st.text(st.characters(blacklist_characters='\0', blacklist_categories=('Cs',))), ARRAYS, max_size=4)
)
def test_what_is_written_is_read(tmp_path_factory, arrays):
    path = tmp_path_factory.getbasetemp() / 'any.params'
    params.write(path, arrays)
    read = params.read(path)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array) and read[name].shape == array.shape


@CHECKED
@given(
    st.dictionaries(
        st.text(st.characters(blacklist_categories=('Cs',))),
        st.text(st.characters(blacklist_categories=('Cs',))),
        max_size=3,
    )
)
def test_any_attribute_survives(attrs):
    node = symbol_json.Node('null', 'a', attrs)
    graph = symbol_json.Graph((node,), ((0, 0),), (0,))
    read = symbol_json.loads(symbol_json.dumps(graph)).nodes[0].attrs
    assert {key: getattr(value, 'text', value) for key, value in read.items()} == attrs


# Sizes that would hurt if anything were quadratic, recursive or allocated before it is checked
LARGE_CHECKPOINTS = {
    'many small arrays': checkpoint([v2((1,), b'\0\0\0\0')] * 3000, [str(i) for i in range(3000)]),
    'a count of 2^60 and zeros': struct.pack('<QQQ', 0x112, 0, 1 << 60) + bytes(1 << 20),
    'as many arrays as could be, all zero': struct.pack('<QQQ', 0x112, 0, (1 << 18) // 20) + bytes(1 << 18),
    'the same name for all': checkpoint([v2((1,), b'\0\0\0\0')] * 1000, ['n'] * 1000),
    'a long name': checkpoint([v2((2,))], ['n' * (1 << 20)]),
    'one large array': checkpoint([v2((1 << 18,), bytes(1 << 20))], ['a']),
}
LARGE_SYMBOLS = {
    'open lists': b'{"nodes": [' + b'[' * (1 << 20),
    'open objects': b'{"nodes": [' + b'{"op": ' * (1 << 17),
    'open subgraphs': b'{"nodes": [{"subgraphs": [' * (1 << 15),
    'spaces': b'{' + b' ' * (1 << 20),
    'digits': b'{"arg_nodes": [' + b'9' * (1 << 20),
    'one long name': b'{"nodes": [{"op": "null", "name": "' + b'n' * (1 << 20),
    'escapes': b'{"nodes": [{"op": "null", "name": "' + b'\\n' * (1 << 16),
    'arg_nodes': b'{"arg_nodes": [0' + b', 0' * (1 << 16),
    'heads': b'{"heads": [[0, 0]' + b', [0, 0]' * (1 << 14),
}


@pytest.mark.parametrize('name', sorted(LARGE_CHECKPOINTS))
def test_large_checkpoints(name):
    data = LARGE_CHECKPOINTS[name]
    assert harness.peak_of(harness.open_checkpoint, data)[0] <= harness.allowed_for_checkpoint(data)


@pytest.mark.parametrize('name', sorted(LARGE_SYMBOLS))
def test_large_symbols(name):
    peak, count = harness.peak_of(harness.open_symbol, LARGE_SYMBOLS[name])
    assert peak <= max(harness.allowed_for_symbol(LARGE_SYMBOLS[name], count), 12 * len(LARGE_SYMBOLS[name]))
