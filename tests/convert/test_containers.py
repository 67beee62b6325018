"""safetensors and .npz: round trips, foreign and broken files."""

import json
import struct
import zipfile

import numpy as np
import pytest

from dcn.cli.convert import main
from dcn.convert import containers
from dcn.errors import UserError
from dcn.formats import dtypes
from dcn.formats import params as params_file

ARRAYS = {
    'arg:a': np.arange(6, dtype=np.float32).reshape(2, 3),
    'aux:b': np.array([1, -2], np.int64),
    'c/d': np.zeros((0, 3), np.float16),
    'e': np.array([True, False]),
}


@pytest.mark.parametrize('ending', containers.ENDINGS)
def test_round_trip(ending, tmp_path):
    path = str(tmp_path / ('x' + ending))
    containers.write(path, ARRAYS)
    found = containers.read(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)


def test_there_and_back_through_the_command(tmp_path):
    start, middle, other, end = (str(tmp_path / name) for name in ('a.params', 'b.safetensors', 'c.npz', 'd.params'))
    params_file.write(start, {'arg:w': np.float32([[1, 2]]), 'aux:m_moving_mean': np.float64([3])})
    main([start, middle])
    main([middle, other])
    main([other, end])
    assert open(start, 'rb').read() == open(end, 'rb').read()


def test_bfloat16(tmp_path):
    values = np.array([(0x3F80,), (0xC000,)], dtypes.BFLOAT16)  # 1 and -2
    containers.write(str(tmp_path / 'x.safetensors'), {'a': values})
    assert containers.read(str(tmp_path / 'x.safetensors'))['a'].dtype == dtypes.BFLOAT16
    containers.write(str(tmp_path / 'x.npz'), {'a': values})
    assert containers.read(str(tmp_path / 'x.npz'))['a'].tolist() == [1, -2]


def test_scalars_and_bare_names_are_given_what_params_needs(tmp_path):
    path = str(tmp_path / 'x.npz')
    np.savez(path, conv1_weight=np.ones((1, 3, 7, 7), np.float32), bn_conv1_moving_var=np.ones(1, np.float32))
    main([path, str(tmp_path / 'x.params')])
    assert sorted(params_file.read(str(tmp_path / 'x.params'))) == ['arg:conv1_weight', 'aux:bn_conv1_moving_var']


def safetensors(header, data=b''):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack('<Q', len(text)) + text + data


@pytest.mark.parametrize(
    'content, words',
    [
        (struct.pack('<Q', 1 << 20) + b'{}' + bytes(40), 'expected at most 42 bytes, found a length of 1048576'),
        (safetensors(b'{"a": [}' + b' ' * 9), 'expected JSON'),
        (
            safetensors({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 4]}}, bytes(8)),
            'expected 8 bytes within',
        ),
        (
            safetensors({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}, bytes(4)),
            'expected 8 bytes within',
        ),
        (
            safetensors({'a': {'dtype': 'F32', 'shape': [-2], 'data_offsets': [0, 8]}}, bytes(8)),
            'expected dtype, shape',
        ),
        (safetensors({'a': {'dtype': 'F31', 'shape': [2], 'data_offsets': [0, 8]}}, bytes(8)), 'expected dtype, shape'),
        (
            safetensors({'a': {'dtype': 'F32', 'shape': [True], 'data_offsets': [0, 4]}}, bytes(8)),
            'expected dtype, shape',
        ),
        (safetensors({'a': {'dtype': 'F32', 'shape': [1 << 40, 1 << 40], 'data_offsets': [0, 4]}}, bytes(8)), 'within'),
        (safetensors({'a': 'text, long enough'}), 'expected dtype, shape'),
        # sound, of types that are younger than the format or no numbers of MXNet's
        *(
            (
                safetensors({'a': {'dtype': kind, 'shape': [2], 'data_offsets': [0, 8]}}, bytes(8)),
                f'found {kind},',
            )
            for kind in ('F8_E4M3', 'F8_E5M2', 'C64', 'F4', 'F6_E2M3', 'I128')
        ),
        (
            safetensors(
                b'{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},'
                b'"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}',
                bytes(2),
            ),
            "found 'a' again",
        ),
        (
            safetensors({name: {'dtype': 'F64', 'shape': [1], 'data_offsets': [0, 8]} for name in 'abc'}, bytes(8)),
            'found some that overlap',
        ),
        (safetensors(b'{"a":{"dtype":"I8","shape":[' + b'9' * 5000 + b'],"data_offsets":[0,2]}}', bytes(2)), 'JSON'),
        (safetensors(b'{"a":' + b'[' * 100000), 'expected JSON'),
    ],
)
def test_broken_safetensors(content, words, tmp_path):
    (tmp_path / 'x.safetensors').write_bytes(content)
    with pytest.raises(UserError) as error:
        containers.read(str(tmp_path / 'x.safetensors'))
    assert words in str(error.value) and 'x.safetensors' in str(error.value)


def test_a_scalar_keeps_its_shape(tmp_path):
    path = str(tmp_path / 'x.safetensors')
    containers.write(path, {'count': np.array(7), 'transposed': np.arange(6.0).reshape(2, 3).T})
    found = containers.read(path)
    assert found['count'].shape == () and found['count'] == 7
    assert np.array_equal(found['transposed'], np.arange(6.0).reshape(2, 3).T)
    assert b'"count":{"dtype":"I64","shape":[],' in (tmp_path / 'x.safetensors').read_bytes()


def test_the_name_of_the_notes_is_no_tensors(tmp_path):
    with pytest.raises(UserError, match='__metadata__: expected another name'):
        containers.write(str(tmp_path / 'x.safetensors'), {'__metadata__': np.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_grows_without_end(tmp_path):
    path = str(tmp_path / 'x.npz')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for number in range(2):
            with archive.open(f'{number}.npy', 'w', force_zip64=True) as out:
                header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,)}" % (600 << 20)
                out.write(npy(header.ljust(118)))
                for _ in range(600):
                    out.write(bytes(1 << 20))
    assert (tmp_path / 'x.npz').stat().st_size < 3 << 20
    with pytest.raises(UserError, match='at most 1024 MiB of arrays in a file of this size, found 1200 MiB'):
        containers.read(path)


def npz(path, **members):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name.replace('__', '.'), content)


def npy(header, data=b''):
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header + data


@pytest.mark.parametrize(
    'members, words',
    [
        ({'a__npy': b'nothing'}, 'expected an array'),
        ({'a__npy': npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", b'1234')}, 'bytes of'),
        ({'a__npy': npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8))}, 'pickled objects'),
        ({'archive/data__pkl': b'x'}, 'expected a PyTorch file, found'),
        ({'archive/data__pkl': b'.', 'archive/constants__pkl': b'.'}, 'found a TorchScript program'),
    ],
)
def test_broken_npz(members, words, tmp_path):
    npz(str(tmp_path / 'x.npz'), **members)
    with pytest.raises(UserError) as error:
        containers.read(str(tmp_path / 'x.npz'))
    assert words in str(error.value)


def test_other_refusals(tmp_path):
    (tmp_path / 'x.npz').write_bytes(b'PK\x03\x04' + bytes(30))
    with pytest.raises(UserError, match='expected an .npz archive'):
        containers.read(str(tmp_path / 'x.npz'))
    (tmp_path / 'x.pth').write_bytes(b'\x80\x02}q\x00.')
    with pytest.raises(UserError, match='could run code'):
        containers.read(str(tmp_path / 'x.pth'))
    with pytest.raises(UserError, match='ends in .params, .safetensors, .npz'):
        main(['anything', str(tmp_path / 'x.h5')])
    with pytest.raises(UserError, match='cannot save|expected one of'):
        containers.write(str(tmp_path / 'x.safetensors'), {'a': np.zeros(1, np.complex64)})
    path = str(tmp_path / 'same.params')
    params_file.write(path, {'arg:a': np.ones(1)})
    with pytest.raises(UserError, match='this would replace'):
        main([path, path])


def sample(ending, folder):
    """The bytes of a small sound file."""
    path = folder / ('sound' + ending)
    containers.write(str(path), {'a': np.arange(6, dtype=np.float32).reshape(2, 3), 'b': np.ones(2, np.int8)})
    return path.read_bytes()


@pytest.mark.parametrize('ending', ['.safetensors', '.npz'])
def test_damaged_bytes_end_in_a_sentence(ending, tmp_path):
    """Every byte of a sound file changed in turn, and the file cut at every place."""
    sound, path = sample(ending, tmp_path), tmp_path / ('x' + ending)
    step = max(1, len(sound) // 150)
    damaged = [sound[:i] for i in range(0, len(sound), step)]
    damaged += [
        sound[:i] + bytes([sound[i] ^ flip]) + sound[i + 1 :]
        for i in range(0, len(sound), step)
        for flip in (0xFF, 0x01, 0x10)
    ]
    for content in damaged:
        path.write_bytes(content)
        try:
            found = containers.read(str(path))
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert sum(array.nbytes for array in found.values()) <= len(sound)
