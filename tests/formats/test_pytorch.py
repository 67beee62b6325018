"""PyTorch's files: what torch writes, read without it; damaged and hostile ones end in a sentence, and nothing runs."""

import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from dcn.cli.convert import main
from dcn.errors import UserError
from dcn.formats import dtypes, foreign
from dcn.formats import params as params_file
from dcn.formats.pytorch import is_archive, read_pytorch

WAYS = {
    'archive': {},
    'protocol 4': {'pickle_protocol': 4},
    'stream': {'_use_new_zipfile_serialization': False},
    'stream, protocol 5': {'_use_new_zipfile_serialization': False, 'pickle_protocol': 5},
}


@pytest.fixture(scope='module')
def torch():
    return pytest.importorskip('torch')


def tensors(torch):
    """Every type and layout that a state dict may hold."""
    made = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in (torch.float32, torch.float64, torch.float16)}
    made.update({f'whole {kind}': torch.tensor([-1, 2]).to(kind) for kind in (torch.int8, torch.int16, torch.int64)})
    made['bytes'] = torch.tensor([0, 255], dtype=torch.uint8)
    made['truths'] = torch.tensor([True, False])
    made['brain'] = torch.randn(3, 2).to(torch.bfloat16)
    made['turned'] = torch.randn(3, 5).t()
    made['part of a storage'] = torch.arange(20.0)[5:11].view(2, 3)
    made['every second'] = torch.arange(20.0)[1::2]
    made['stretched'] = torch.ones(1, 3).expand(5, 3)
    made['scalar'] = torch.tensor(7)
    made['empty'] = torch.zeros(0, 3)
    made['parameter'] = torch.nn.Parameter(torch.randn(2))
    return made


def check(found, expected, torch):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        array = found[name]
        assert array.shape == tuple(tensor.shape), name
        if tensor.dtype == torch.bfloat16:
            array, tensor = dtypes.without_bfloat16(array), tensor.float()
        wanted = tensor.detach().numpy()
        assert array.dtype == wanted.dtype and np.array_equal(array, wanted), name


@pytest.mark.parametrize('way', WAYS)
def test_what_torch_writes(way, torch, tmp_path):
    path, expected = str(tmp_path / 'x.pth'), tensors(torch)
    torch.save(expected, path, **WAYS[way])
    check(read_pytorch(path), expected, torch)
    with open(path, 'rb') as stream:
        assert foreign.code(stream.read(64)) == ('torch' if 'stream' in way else 'zip')
    assert is_archive(path) == ('stream' not in way)


class Args:
    """What training scripts save beside the weights."""

    def __init__(self):
        self.lr, self.names = 0.1, {'a': [1, 2]}


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('key', ['state_dict', 'model', 'model_state_dict', 'ema'])
def test_a_training_checkpoint(key, way, torch, tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    saved = {'epoch': 3, key: net.state_dict(), 'optimizer': optimizer.state_dict(), 'args': Args()}
    torch.save(saved, str(tmp_path / 'x.pth'), **WAYS[way])
    check(read_pytorch(str(tmp_path / 'x.pth')), net.state_dict(), torch)


class Evil:
    """Runs when a pickle of it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize('way', WAYS)
def test_nothing_is_run(way, torch, tmp_path):
    saved = {'a': torch.ones(2), 'b': Evil(str(tmp_path / 'ran')), 'c': eval}
    torch.save(saved, str(tmp_path / 'x.pth'), **WAYS[way])
    assert list(read_pytorch(str(tmp_path / 'x.pth'))) == ['a']
    torch.save(Evil(str(tmp_path / 'ran')), str(tmp_path / 'x.pth'), **WAYS[way])
    with pytest.raises(UserError, match='expected tensors by name'):
        read_pytorch(str(tmp_path / 'x.pth'))
    assert not (tmp_path / 'ran').exists()


def test_neither_torch_nor_pickle_is_needed(torch, tmp_path):
    torch.save({'a': torch.ones(2)}, str(tmp_path / 'x.pth'))
    code = (
        'import sys\nfrom dcn.formats.pytorch import read_pytorch\nbefore = set(sys.modules)\n'
        f'assert read_pytorch({str(tmp_path / "x.pth")!r})["a"].tolist() == [1, 1]\n'
        'sys.exit(", ".join((set(sys.modules) - before) & {"torch", "pickle", "_pickle", "pickletools"}) or 0)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('way', ['archive', 'stream'])
@pytest.mark.parametrize(
    'make, words',
    [
        (lambda torch: torch.nn.Linear(2, 2), "found a 'torch.nn.modules.linear.Linear'"),
        (lambda torch: [torch.ones(2)], "found a 'list'"),
        (lambda torch: torch.ones(2), "found a 'tensor'"),
        (lambda torch: {'epoch': 1, 'loss': 0.5}, "found a dict of 'epoch', 'loss'"),
        (lambda torch: {'a': torch.ones(2, dtype=torch.complex64)}, 'expected (storages|numbers) of'),
        (lambda torch: {'a': torch.ones(2, 3).to_sparse()}, 'found what .*sparse.* makes'),
        (lambda torch: {'a': {'x': torch.ones(2)}, 'b': {'y': torch.ones(2)}}, "found a dict of 'a', 'b'"),
    ],
)
def test_sound_files_without_a_state_dict(make, words, way, torch, tmp_path):
    torch.save(make(torch), str(tmp_path / 'x.pth'), **WAYS[way])
    with pytest.raises(UserError, match=words) as error:
        read_pytorch(str(tmp_path / 'x.pth'))
    assert str(error.value).startswith(str(tmp_path / 'x.pth')) and 'state_dict()' in str(error.value)


@pytest.mark.parametrize('way', WAYS)
def test_damaged_bytes_end_in_a_sentence(way, torch, tmp_path):
    """Bytes of a sound file changed in turn, and the file cut: a sentence, or arrays no larger than the file."""
    path = tmp_path / 'x.pth'
    torch.save({'a': torch.arange(6.0).reshape(2, 3), 'b': torch.ones(2, dtype=torch.int8)}, str(path), **WAYS[way])
    sound = path.read_bytes()
    step = max(1, len(sound) // 200)
    damaged = [sound[:i] for i in range(0, len(sound), step)]
    damaged += [
        sound[:i] + bytes([sound[i] ^ flip]) + sound[i + 1 :]
        for i in range(0, len(sound), step)
        for flip in (0xFF, 0x01, 0x10)
    ]
    for content in damaged:
        path.write_bytes(content)
        try:
            found = read_pytorch(str(path))
        except UserError as error:
            assert str(path) in str(error) and '\n' not in str(error)
        else:
            assert sum(array.nbytes for array in found.values()) <= len(sound)


def archive(path, program, storages=()):
    with zipfile.ZipFile(path, 'w') as made:
        made.writestr('x/data.pkl', program)
        for key, content in dict(storages).items():
            made.writestr(f'x/data/{key}', content)


# {'a': a tensor of storage 0, two float32, and then offset, size, stride, False, {} are to come
TENSOR = (
    b'\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n'
    b'X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ'
)
MANY = b'J\x00\x00\x00\x10'


def test_the_program_of_the_next_test_is_sound_but_for_its_numbers(tmp_path):
    archive(str(tmp_path / 'x.pth'), TENSOR + b'K\x00K\x02\x85K\x01\x85\x89}tRs.', {'0': np.float32([3, 4]).tobytes()})
    assert read_pytorch(str(tmp_path / 'x.pth'))['a'].tolist() == [3, 4]


@pytest.mark.parametrize(
    'program',
    [
        # more values than the storage has, by strides of 0 and otherwise
        TENSOR + b'K\x00' + MANY + MANY + b'\x86K\x00K\x00\x86\x89}tRs.',
        TENSOR + b'K\x00' + MANY + b'\x85K\x01\x85\x89}tRs.',
        TENSOR + b'K\x00' + MANY + b'\x85K\x00\x85\x89}tRs.',
        # behind the storage; negative offsets and strides
        TENSOR + b'K\x02K\x01\x85K\x01\x85\x89}tRs.',
        TENSOR + b'J\xff\xff\xff\xffK\x01\x85K\x01\x85\x89}tRs.',
        TENSOR + b'K\x01K\x02\x85J\xff\xff\xff\xff\x85\x89}tRs.',
        # programs that no torch writes
        b'\x80\x02h\x00.',
        b'\x80\x02' + b'(' * 100000 + b'.',
        b'\x80\x02' + b']' * 100000 + b'a' * 99999 + b'.',
        b'\x80\x02]q\x00h\x00a.',
        b'\x80\x02\x8b\xff\xff\xff\x7f.',
        b'\x80\x02X\xff\xff\xff\xff.',
        b'\x80\x02R.',
        b'\x80\x02NQ.',
        # a key of two references to a tuple of two references ..., which takes for ever to hash
        b'\x80\x02}(N' + b'2\x86' * 100 + b'Nu.',
        b'.',
        b'',
        pickle.dumps({'a': 1}, protocol=0),
    ],
)
def test_hostile_programs(program, tmp_path):
    path = str(tmp_path / 'x.pth')
    archive(path, program, {'0': bytes(8)})
    with pytest.raises(UserError) as error:
        read_pytorch(path)
    assert len(str(error.value)) < 600


def test_convert_takes_them(torch, tmp_path, capsys):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    source, target = str(tmp_path / 'x.pth'), str(tmp_path / 'x.params')
    torch.save(net.state_dict(), source)
    main([source, target])
    assert '1 scalars became arrays of one value' in capsys.readouterr().out
    found = params_file.read(target)
    assert found['arg:1.num_batches_tracked'].shape == (1,)
    assert np.array_equal(found['arg:0.weight'], net[0].weight.detach().numpy())
