"""What must hold for any bytes whatever: shared by the property tests and the coverage-guided run."""

import tracemalloc

from dcn.formats import params, symbol_json
from dcn.formats.errors import FormatError

# What an error and the reader's own objects cost, however short the file; and what a node costs (30 to 300 bytes of
# a file)
_FIXED, _PER_NODE = 40_000, 2500
# What the densest symbol costs for each byte: an old BatchNorm of 70 bytes becomes five nodes with attributes of their
# own. Networks as MXNet saves them need less than 2 (test_symbol_memory.py)
_DENSEST = 48


def open_checkpoint(data):
    """Open and look at every array: the number of arrays; 0 where it is refused."""
    try:
        file = params.ParamsFile(data, 'x.params')
    except FormatError as error:
        check_sentence(error)
        return 0
    for entry in file:
        try:
            entry.array()
        except FormatError as error:
            check_sentence(error)
    return len(file)


def open_symbol(data):
    """Read a symbol, write it, read it again: the number of nodes; 0 where it is refused."""
    try:
        graph = symbol_json.loads(data, 'x-symbol.json')
    except FormatError as error:
        check_sentence(error)
        return 0
    text = symbol_json.dumps(graph)
    again = symbol_json.loads(text)
    assert again.nodes == graph.nodes and symbol_json.dumps(again) == text
    graph.arguments(), graph.auxiliary()
    return len(graph.nodes)


def read_symbol(data):
    """Read a symbol and nothing else."""
    try:
        return symbol_json.loads(data, 'x-symbol.json')
    except FormatError:
        return None


def check_sentence(error):
    text = str(error)
    assert '\n' not in text and 'expected' in text and 'found' in text and len(text) < 600, text


def peak_of(reader, data):
    """Bytes that ``reader`` held at its worst."""
    tracemalloc.start()
    try:
        count = reader(data)
        return tracemalloc.get_traced_memory()[1], count
    finally:
        tracemalloc.stop()


def allowed_for_checkpoint(data):
    return 2 * len(data) + _FIXED


def allowed_for_symbol(data, count):
    return 2 * len(data) + _FIXED + _PER_NODE * (count or data.count(b'{'))


def allowed_for_reading(data):
    return _DENSEST * len(data) + _FIXED
