"""Every file of tests/corpus: the good ones are read, each bad one gives its one sentence."""

import os

import numpy as np
import pytest

from dcn.formats import params, symbol_json
from dcn.formats.errors import FormatError
from tests.formats import corpus
from tests.formats.corpus_symbols import BAD_SYMBOLS, GOOD_SYMBOLS

SENTENCES = corpus.sentences()


@pytest.mark.parametrize('name', sorted(corpus.files()))
def test_corpus_holds_what_the_tables_build(name):
    with open(os.path.join(corpus.FOLDER, name), 'rb') as stream:
        assert stream.read() == corpus.files()[name]


@pytest.mark.parametrize('name', sorted(corpus.BAD_PARAMS))
def test_bad_params_sentence(name):
    path = os.path.join(corpus.FOLDER, name)
    with pytest.raises(FormatError) as caught:
        params.open_params(path)
    assert str(caught.value) == f'{path}: {SENTENCES[name]}'


@pytest.mark.parametrize('name', sorted(BAD_SYMBOLS))
def test_bad_symbol_sentence(name):
    path = os.path.join(corpus.FOLDER, name)
    with pytest.raises(FormatError) as caught:
        symbol_json.read_symbol(path)
    assert str(caught.value) == f'{path}: {SENTENCES[name]}'


def test_sentences_say_place_expected_and_found():
    assert set(SENTENCES) == set(corpus.BAD_PARAMS) | set(BAD_SYMBOLS)
    for name, sentence in SENTENCES.items():
        assert 'expected' in sentence and 'found' in sentence and ';' in sentence, name
        assert '\n' not in sentence and len(sentence) < 360, name
        if name.endswith('.params'):
            assert 'offset' in sentence, name


@pytest.mark.parametrize('name', sorted(GOOD_SYMBOLS))
def test_good_symbol_is_read_and_its_text_read_again(name):
    graph = symbol_json.read_symbol(os.path.join(corpus.FOLDER, name))
    again = symbol_json.loads(symbol_json.dumps(graph))
    assert again.nodes == graph.nodes and again.heads == graph.heads


def _entries(name):
    return params.open_params(os.path.join(corpus.FOLDER, name)).entries


@pytest.mark.parametrize(
    'name', ['v0.params', 'v1.params', 'v2.params', 'v2_without_names.params', 'mixed_versions.params']
)
def test_good_params_values(name):
    for entry in _entries(name):
        expected = [1, 2][: int(np.prod(entry.shape))]
        assert entry.array().shape == entry.shape and entry.array().ravel().tolist() == expected


def test_versions_names_and_devices_are_told():
    assert [(e.name, e.version) for e in _entries('mixed_versions.params')] == [
        ('arg:a', 0),
        ('arg:b', 1),
        ('arg:c', 2),
    ]
    assert [e.context for e in _entries('v1.params')] == [(1, 0), (2, 3)]
    assert [e.name for e in _entries('v2_without_names.params')] == ['0', '1']
    assert [e.shape for e in _entries('v3.params')] == [(), (0, 4), (2,)]


@pytest.mark.parametrize('name,position', [('v2_empty_array.params', 1), ('v3_unknown_size.params', 0)])
def test_empty_array_is_listed_but_has_no_values(name, position):
    entry = _entries(name)[position]
    assert (entry.storage, entry.dtype, entry.shape, entry.nbytes) == ('empty', None, None, 0)
    with pytest.raises(FormatError, match=f"{name}: tensor '{entry.name}': expected a shape, found an empty array"):
        entry.array()


def test_sparse_values():
    rows = _entries('row_sparse.params')[0].array()
    assert rows.dense().tolist() == [[0, 0], [0, 0], [1, 2]]
    matrix = _entries('csr.params')[0].array()
    assert matrix.dense().tolist() == [[0, 0, 1], [2, 0, 0]]
    assert not _entries('csr_without_values.params')[0].array().dense().any()
