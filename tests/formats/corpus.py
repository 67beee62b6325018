"""How the ``.params`` files of tests/corpus are made; GOOD_PARAMS are read, BAD_PARAMS give a line of sentences.txt.

``python -m tests.formats.corpus`` writes all files of tests/corpus, and sentences.txt from what the readers say now:
look at its changes.
"""

import io
import os
import pickle
import struct
import zipfile

from dcn.formats import params, symbol_json
from dcn.formats.errors import FormatError
from tests.formats.corpus_symbols import BAD_SYMBOLS, GOOD_SYMBOLS
from tests.formats.layout import FLOAT32, GPU3, ONE_TWO, V2, V3, checkpoint, csr, row_sparse, shape64, v0, v1, v2, v3

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'corpus')
HTML = b'<!DOCTYPE html>\n<html><head><title>Sign in - OneDrive</title></head><body></body></html>\n'
SAFETENSORS = struct.pack('<Q', 76) + b'{"conv1":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(76) + ONE_TWO
PLAIN = checkpoint([v2((2,)), v2((1, 2))], ['arg:conv1_bias', 'aux:bn_conv1_moving_mean'])


def _zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr(zipfile.ZipInfo('conv1_weight.npy', (2017, 3, 17, 0, 0, 0)), b'')
    return stream.getvalue()


def _numbers(*values):
    return struct.pack(f'<{len(values)}q', *values)


GOOD_PARAMS = {
    'v0.params': checkpoint([v0((2,)), v0((1, 2), device=GPU3), v0((), ONE_TWO[:4])], ['arg:a', 'arg:b', 'arg:scalar']),
    'v1.params': checkpoint([v1((2,)), v1((2, 1), device=GPU3)], ['arg:a', 'arg:b']),
    'v2.params': PLAIN,
    'v2_without_names.params': checkpoint([v2((2,)), v2((1, 2))]),
    'v2_empty_array.params': checkpoint(
        [v2((2,)), struct.pack('<Iii', V2, 0, 0)], ['arg:a', 'arg:never_given_a_shape']
    ),
    'v2_zero_size.params': checkpoint([v2((0, 3), b'')], ['arg:a']),
    'v3.params': checkpoint([v3((), ONE_TWO[:4]), v3((0, 4), b''), v3((2,))], ['scalar', 'nothing', 'pair']),
    'v3_unknown_size.params': checkpoint([struct.pack('<Ii', V3, 0) + shape64(2, -1), v3((2,))], ['unknown', 'pair']),
    'mixed_versions.params': checkpoint([v0((2,)), v1((2,)), v2((2,))], ['arg:a', 'arg:b', 'arg:c']),
    'row_sparse.params': checkpoint([row_sparse((3, 2), (1, 2), (1,), ONE_TWO + _numbers(2))], ['arg:a']),
    'csr.params': checkpoint([csr((2, 3), (2,), (3,), (2,), ONE_TWO + _numbers(0, 1, 2) + _numbers(2, 0))], ['arg:a']),
    'csr_without_values.params': checkpoint([csr((2, 3), (0,), (0,), (0,), b'')], ['arg:a']),
    'empty_list.params': checkpoint([]),
}

BAD_PARAMS = {
    # foreign files
    'html.params': HTML,
    'zip.params': _zip(),
    'safetensors.params': SAFETENSORS,
    'pickle.params': pickle.dumps({'conv1_weight': [1.0, 2.0]}, protocol=2),
    'empty.params': b'',
    'text.params': b'models are on the group drive\n',
    'json.params': b'{"nodes": []}',
    'git_lfs.params': b'version https://git-lfs.github.com/spec/v1\n',
    'zeros.params': bytes(64),
    'noise.params': bytes(range(200, 232)),
    # cut short, at each kind of place
    'cut_in_header.params': PLAIN[:12],
    'cut_before_count.params': PLAIN[:16],
    'cut_in_data.params': PLAIN[:60],
    'cut_in_shape.params': PLAIN[:80],
    'cut_in_names.params': PLAIN[:-10],
    # longer than it should be
    'padded.params': PLAIN + bytes(16),
    'twice.params': PLAIN + PLAIN,
    # numbers that cannot be
    'count_too_large.params': struct.pack('<QQQ', 0x112, 0, 1 << 60) + bytes(64),
    'tensor_too_large.params': checkpoint([v2((1 << 20, 1 << 20))], ['arg:a']),
    'overflow.params': checkpoint([v2((1 << 40, 1 << 40))], ['arg:a']),
    'overflow_times_zero.params': checkpoint([v2((1 << 40, 1 << 40, 0))], ['arg:a']),
    'negative_size.params': checkpoint([v2((-2,))], ['arg:a']),
    'too_many_dimensions.params': checkpoint([struct.pack('<Iii', V2, 0, 1000) + bytes(64)], ['arg:a']),
    'negative_dimensions.params': checkpoint([struct.pack('<Iii', V2, 0, -1) + bytes(64)], ['arg:a']),
    'unknown_mark.params': checkpoint([v2((2,), mark=0xF993FACB)], ['arg:a']),
    'unknown_type.params': checkpoint([v2((2,), flag=13)], ['arg:a']),
    'unknown_storage.params': checkpoint([v2((2,), storage=3)], ['arg:a']),
    'v3_sparse.params': checkpoint([v3((2,), storage=1)], ['arg:a']),
    # names
    'names_too_few.params': checkpoint([v2((2,)), v2((2,))], ['arg:a']),
    'names_too_many.params': checkpoint([v2((2,))], ['arg:a', 'arg:b']),
    'name_twice.params': checkpoint([v2((2,)), v2((2,))], ['arg:a', 'arg:a']),
    'long_name_twice.params': checkpoint([v2((2,)), v2((2,))], ['arg:a\n' * 100] * 2),
    'name_too_long.params': checkpoint([v2((2,))])[:-8] + struct.pack('<QQ', 1, 1 << 50),
    'name_not_utf8.params': checkpoint([v2((2,))], ['arg:a']).replace(b'arg:a', b'arg:\xe9'),
    'name_with_zero.params': checkpoint([v2((2,))], ['arg:\0']),
    # sparse arrays whose parts do not fit
    'row_sparse_misfit.params': checkpoint(
        [row_sparse((3, 2), (1, 3), (1,), ONE_TWO + ONE_TWO[:4] + _numbers(2))], ['arg:a']
    ),
    'row_sparse_float_rows.params': checkpoint(
        [row_sparse((3, 2), (1, 2), (1,), ONE_TWO + ONE_TWO[:4], row_flag=FLOAT32)], ['arg:a']
    ),
    'csr_misfit.params': checkpoint([csr((2, 3), (2,), (9,), (2,), ONE_TWO + bytes(88))], ['arg:a']),
    'csr_one_dimension.params': checkpoint([csr((6,), (2,), (3,), (2,), ONE_TWO + bytes(40))], ['arg:a']),
}


def files():
    """Name and content of every file of the corpus."""
    return {**GOOD_PARAMS, **BAD_PARAMS, **GOOD_SYMBOLS, **BAD_SYMBOLS}


def sentences():
    """Name and expected sentence, without the file's name in front, of every bad file, as the corpus holds them."""
    with open(os.path.join(FOLDER, 'sentences.txt'), encoding='utf-8') as stream:
        return dict(line.rstrip('\n').split(': ', 1) for line in stream)


def _sentence(name, data):
    reader = params.ParamsFile if name.endswith('.params') else symbol_json.loads
    try:
        reader(data, name)
    except FormatError as error:
        return f'{error}\n'
    raise AssertionError(f'{name} was read')


def main():
    for name, data in files().items():
        with open(os.path.join(FOLDER, name), 'wb') as stream:
            stream.write(data)
    with open(os.path.join(FOLDER, 'sentences.txt'), 'w', encoding='utf-8') as stream:
        stream.writelines(_sentence(name, data) for name, data in {**BAD_PARAMS, **BAD_SYMBOLS}.items())


if __name__ == '__main__':
    main()
