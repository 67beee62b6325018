"""Tensors out of PyTorch's files (``torch.save``), on NumPy alone: nothing in them is run, nothing is imported.

Since 1.6 a file is a zip archive: ``NAME/data.pkl``, a program for a stack machine that puts the saved object together,
and ``NAME/data/KEY``, the bytes of each storage. Before, the programs and the bytes follow each other in one stream.
The machine here knows the instructions that PyTorch writes; of the functions that a program names it knows those that
make a tensor of a storage. Any other name becomes an Unknown, which is never called.
"""

import shlex
import struct
import zipfile
import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from dcn.errors import UserError
from dcn.formats import dtypes, foreign
from dcn.formats.cursor import DAMAGED
from dcn.formats.errors import FormatError, shown
from dcn.formats.mapping import Buffer, PathLike, map_file

_ADVICE = 'save the weights again with torch.save(model.state_dict(), "NAME.pth")'
_STORAGES = {
    'FloatStorage': 'float32',
    'DoubleStorage': 'float64',
    'HalfStorage': 'float16',
    'BFloat16Storage': 'bfloat16',
    'LongStorage': 'int64',
    'IntStorage': 'int32',
    'ShortStorage': 'int16',
    'CharStorage': 'int8',
    'ByteStorage': 'uint8',
    'BoolStorage': 'bool',
}
_TYPES = (*_STORAGES.values(), 'uint16', 'uint32', 'uint64')
# where a training script keeps the weights among other things
_USUAL_KEYS = ('state_dict', 'model_state_dict', 'model', 'module', 'net', 'network', 'weights', 'params')


def refuse_convertible(path: PathLike) -> None:
    """UserError where ``path`` is a file of weights that is none of MXNet's, but that dcn convert reads."""
    with open(path, 'rb') as stream:
        head = stream.read(512)
    kind = foreign.code(head)
    if kind in ('torch', 'zip', 'safetensors'):
        found = 'a PyTorch file' if kind == 'zip' and is_archive(path) else foreign.kind(head)
        raise UserError(
            f'{path}: expected a checkpoint of MXNet, found {found}; make a checkpoint of it first: dcn '
            f'convert {shlex.quote(str(path))} model/NAME-0000.params'
        )


def is_archive(path: PathLike) -> bool:
    """Whether the zip archive ``path`` is one of PyTorch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _prefix(archive) is not None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def read_pytorch(path: PathLike) -> Dict[str, np.ndarray]:
    """{name: array} of the file ``path``: a dict of tensors, or the dict of them within what a training script saved.

    bfloat16 tensors come as ``dtypes.BFLOAT16``. Anything but tensors is left out.
    """
    data = map_file(path)
    try:
        if foreign.code(bytes(data[:32])) == 'torch':
            value, storages = _legacy(data)
        else:
            value, storages = _archive(path)
        return {name: _array(tensor, storages, name, len(data)) for name, tensor in _tensors(value).items()}
    except _Refused as refused:
        raise UserError(f'{path}: {refused}; {_ADVICE}') from None
    except (
        _Damaged,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        NotImplementedError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if isinstance(error, UserError):
            raise
        raise FormatError(f'{path}: expected a PyTorch file, found: {shown(str(error))}; {DAMAGED}') from None


class _Refused(Exception):
    """A sound file that holds something else than tensors by name."""


class _Damaged(Exception):
    """What no PyTorch writes."""


class _Unknown(NamedTuple):
    """A class or function that the file names, or what calling it would have given."""

    name: str


class _Storage(NamedTuple):
    """``dtype`` None: bytes without a type."""

    key: str
    dtype: Optional[str]
    numel: int


class _Tensor(NamedTuple):
    storage: Any
    dtype: Optional[str]
    offset: int
    shape: Tuple[int, ...]
    stride: Tuple[int, ...]


def _prefix(archive: zipfile.ZipFile) -> Optional[str]:
    """What stands before data.pkl in the archive's names, or None."""
    found = [name for name in archive.namelist() if name == 'data.pkl' or name.endswith('/data.pkl')]
    return min(found, key=len)[: -len('data.pkl')] if found else None


def _archive(path: PathLike) -> Tuple[Any, Dict[str, bytes]]:
    """(the saved object, {key: bytes of the storage})"""
    with zipfile.ZipFile(path) as archive:
        prefix = _prefix(archive)
        if prefix is None:
            raise _Damaged('an archive without data.pkl')
        names = set(archive.namelist())
        if prefix + 'constants.pkl' in names:
            raise _Refused('expected tensors by name (a state dict), found a TorchScript program')
        if prefix + 'byteorder' in names and _entry(archive, prefix + 'byteorder') != b'little':
            raise _Refused('the numbers are big-endian: expected little-endian ones')
        machine = _Machine(_entry(archive, prefix + 'data.pkl'))
        value = machine.run()
        return value, {key: _entry(archive, f'{prefix}data/{key}') for key in machine.storages}


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of an entry, as many as lie in the file."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise _Damaged(f'{name} is compressed, which PyTorch never does')
    return archive.read(name)


def _legacy(data: Buffer) -> Tuple[Any, Dict[str, bytes]]:
    """The same of a stream: magic number, version, system, object, keys of the storages, then each one's number of
    values (int64) and bytes."""
    machine = _Machine(bytes(data))
    _, _, system = (machine.run() for _ in range(3))
    if isinstance(system, dict) and system.get('little_endian') is False:
        raise _Refused('the numbers are big-endian: expected little-endian ones')
    value, keys = machine.run(), machine.run()
    position, storages = machine.position, {}
    for key in keys:
        (count,) = struct.unpack_from('<q', data, position)
        dtype = machine.storages[key].dtype
        size = count * (dtypes.numpy_dtype(dtype).itemsize if dtype else 1)
        if not 0 <= size <= len(data) - position - 8:
            raise _Damaged(f'storage {key} of {count} values, which end behind the file')
        storages[key] = bytes(data[position + 8 : position + 8 + size])
        position += 8 + size
    return value, storages


def _tensors(value: Any) -> Dict[str, _Tensor]:
    """{name: tensor} within the saved object."""
    if not isinstance(value, dict):
        kind = value.name if isinstance(value, _Unknown) else type(value).__name__.lstrip('_').lower()
        raise _Refused(f'expected tensors by name (a state dict), found a {shown(kind)}')
    found = _plain(value)
    if found:
        return found
    inner = {str(key): _plain(item) for key, item in value.items() if isinstance(item, dict)}
    inner = {key: tensors for key, tensors in inner.items() if tensors}
    for key in _USUAL_KEYS:
        if key in inner:
            return inner[key]
    if len(inner) == 1:
        return next(iter(inner.values()))
    keys = ', '.join(shown(str(key)) for key in list(value)[:8]) or 'nothing'
    raise _Refused(f'expected tensors by name (a state dict), found a dict of {keys}')


def _plain(value: dict) -> Dict[str, _Tensor]:
    odd = [item.name for item in value.values() if isinstance(item, _Unknown) and '_rebuild' in item.name]
    if odd:
        raise _Refused(f'expected plain tensors, found what {shown(odd[0])} makes (sparse, quantised or the like)')
    return {str(name): item for name, item in value.items() if isinstance(item, _Tensor)}


def _array(tensor: _Tensor, storages: Dict[str, bytes], name: str, most: int) -> np.ndarray:
    storage, dtype = tensor.storage, tensor.dtype
    if not isinstance(storage, _Storage) or dtype not in _TYPES:
        raise _Refused(f'tensor {shown(name)}: expected numbers of {", ".join(_TYPES)}, found others')
    kind, shape, stride = dtypes.numpy_dtype(dtype), tensor.shape, tensor.stride
    sizes = [*shape, *stride, tensor.offset]
    if len(shape) != len(stride) or any(type(size) is not int or not 0 <= size < 1 << 48 for size in sizes):
        raise _Damaged(f'tensor {name} of shape {shape} and strides {stride}')
    count = 1
    for length in shape:
        count *= length
    values = np.frombuffer(storages[storage.key], kind)
    last = tensor.offset + sum((length - 1) * step for length, step in zip(shape, stride)) if count else 0
    if count * kind.itemsize > most or last >= max(len(values), 1):
        raise _Damaged(f'tensor {name} of shape {shape}, which is more than its storage of {len(values)} values')
    if not count:
        return np.zeros(shape, kind)
    view = np.lib.stride_tricks.as_strided(
        values[tensor.offset :], shape, [step * kind.itemsize for step in stride], writeable=False
    )
    return np.array(view)


class _Machine:
    """Runs the programs that lie one behind the other in ``program``; ``storages``: {key: _Storage} that they named."""

    def __init__(self, program: bytes) -> None:
        self.program, self.position = program, 0
        self.storages: Dict[str, _Storage] = {}
        self.stack: List[Any] = []
        self.marks: List[List[Any]] = []
        self.memo: Dict[int, Any] = {}

    def run(self) -> Any:
        """The value of the next program."""
        self.stack, self.marks, self.memo = [], [], {}
        while True:
            code = self._bytes(1)
            if code == b'.':
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise _Damaged(f'instruction {code!r} at {self.position - 1}')
            step(self)

    def _bytes(self, count: int) -> bytes:
        start, self.position = self.position, self.position + count
        if not 0 <= count <= len(self.program) - start:
            raise _Damaged('a program that is cut short')
        return self.program[start : self.position]

    def number(self, layout: str) -> Any:
        return struct.unpack('<' + layout, self._bytes(struct.calcsize('<' + layout)))[0]

    def text(self, length: str) -> str:
        return self._bytes(self.number(length)).decode('utf-8', 'surrogatepass')

    def line(self) -> str:
        end = self.program.index(b'\n', self.position)
        found = self._bytes(end - self.position).decode('utf-8')
        self.position += 1
        return found

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> List[Any]:
        """The values since the last mark, which is taken away with them."""
        found, self.stack = self.stack, self.marks.pop()
        return found

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def tuple_of(self, count: int) -> None:
        values = tuple(self.stack[-count:])
        if len(values) != count:
            raise _Damaged('a tuple of too few values')
        del self.stack[-count:]
        self.push(values)

    def set_items(self, items: List[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2]):
                target[key if isinstance(key, (str, int, float, type(None))) else str(type(key))] = value

    def append(self, items: List[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1] += items

    def name(self, module: str, name: str) -> None:
        self.push(_known(f'{module}.{name}'))

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.push(_called(function, arguments))

    def persistent(self) -> None:
        """('storage', type, key, device, number of values[, view]); ('module', class, source, ...) before 1.6."""
        kind, *rest = self.stack.pop()
        if kind == 'module':
            self.push(rest[0])
            return
        type_, key, _, numel = rest[:4]
        if kind != 'storage' or not isinstance(key, str):
            raise _Damaged('a persistent value that is no storage')
        if len(rest) > 4 and rest[4] is not None:
            raise _Refused('expected storages of their own, found views of storages')
        if isinstance(type_, _Unknown) and not type_.name.startswith('torch.storage.'):
            raise _Refused(f'expected storages of {", ".join(_STORAGES)}, found {shown(type_.name)}')
        dtype = None if isinstance(type_, _Unknown) else type_
        storage = self.storages.setdefault(key, _Storage(key, dtype, numel))
        if storage.dtype != dtype:
            raise _Damaged(f'storage {key} of two types')
        self.push(storage)

    def get(self, index: int) -> None:
        self.push(self.memo[index])

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]


def _known(name: str) -> Any:
    """What stands for the name: the element type of a storage or of a tensor, a function that is known, or Unknown."""
    module, _, last = name.rpartition('.')
    if module in ('torch', 'torch.cuda') and last in _STORAGES:
        return _STORAGES[last]
    if module == 'torch' and last in _TYPES:
        return last
    return _FUNCTIONS.get(name) or _Unknown(name)


def _called(function: Any, arguments: Any) -> Any:
    if isinstance(function, _Function) and isinstance(arguments, tuple):
        return function.make(*arguments)
    return _Unknown(function.name) if isinstance(function, _Unknown) else _Unknown('a call')


class _Function(NamedTuple):
    make: Any


def _tensor(storage, offset, size, stride, *_):
    dtype = storage.dtype if isinstance(storage, _Storage) else None
    return _Tensor(storage, dtype, offset, tuple(size), tuple(stride))


def _typed_tensor(storage, offset, size, stride, requires_grad, hooks, dtype, *_):
    return _Tensor(storage, dtype if isinstance(dtype, str) else None, offset, tuple(size), tuple(stride))


_FUNCTIONS = {
    'torch._utils._rebuild_tensor': _Function(_tensor),
    'torch._utils._rebuild_tensor_v2': _Function(_tensor),
    'torch._utils._rebuild_tensor_v3': _Function(_typed_tensor),
    'torch._utils._rebuild_parameter': _Function(lambda tensor, *_: tensor),
    'torch._utils._rebuild_parameter_with_state': _Function(lambda tensor, *_: tensor),
    'torch._tensor._rebuild_from_type_v2': _Function(lambda function, _, arguments, *__: _called(function, arguments)),
    'torch.Size': _Function(lambda sizes=(), *_: tuple(sizes) if isinstance(sizes, (list, tuple)) else ()),
    'collections.OrderedDict': _Function(
        lambda items=(), *_: {pair[0]: pair[1] for pair in items if isinstance(pair[0], (str, int))}
    ),
}
_STEPS = {
    b'\x80': lambda m: m.number('B'),  # the protocol
    b'\x95': lambda m: m.number('Q'),  # a frame
    b'(': lambda m: m.mark(),
    b'0': lambda m: m.stack.pop(),
    b'1': lambda m: m.since_mark(),
    b'2': lambda m: m.push(m.stack[-1]),
    b'N': lambda m: m.push(None),
    b'\x88': lambda m: m.push(True),
    b'\x89': lambda m: m.push(False),
    b'J': lambda m: m.push(m.number('i')),
    b'K': lambda m: m.push(m.number('B')),
    b'M': lambda m: m.push(m.number('H')),
    b'\x8a': lambda m: m.push(int.from_bytes(m._bytes(m.number('B')), 'little', signed=True)),
    b'\x8b': lambda m: m.push(int.from_bytes(m._bytes(m.number('i')), 'little', signed=True)),
    b'G': lambda m: m.push(struct.unpack('>d', m._bytes(8))[0]),
    b'X': lambda m: m.push(m.text('I')),
    b'\x8c': lambda m: m.push(m.text('B')),
    b'\x8d': lambda m: m.push(m.text('Q')),
    b'U': lambda m: m.push(m.text('B')),
    b'T': lambda m: m.push(m.text('i')),
    b'C': lambda m: m.push(m._bytes(m.number('B'))),
    b'B': lambda m: m.push(m._bytes(m.number('I'))),
    b'\x8e': lambda m: m.push(m._bytes(m.number('Q'))),
    b'\x96': lambda m: m.push(m._bytes(m.number('Q'))),
    b'}': lambda m: m.push({}),
    b']': lambda m: m.push([]),
    b')': lambda m: m.push(()),
    b'\x8f': lambda m: m.push([]),  # a set
    b'\x85': lambda m: m.tuple_of(1),
    b'\x86': lambda m: m.tuple_of(2),
    b'\x87': lambda m: m.tuple_of(3),
    b't': lambda m: m.push(tuple(m.since_mark())),
    b'l': lambda m: m.push(m.since_mark()),
    b'\x91': lambda m: m.push(m.since_mark()),
    b'a': lambda m: m.append([m.stack.pop()]),
    b'e': lambda m: m.append(m.since_mark()),
    b'\x90': lambda m: m.append(m.since_mark()),
    b's': lambda m: m.set_items([m.stack.pop(), m.stack.pop()][::-1]),
    b'u': lambda m: m.set_items(m.since_mark()),
    b'c': lambda m: m.name(m.line(), m.line()),
    b'\x93': lambda m: m.name(*[m.stack.pop(), m.stack.pop()][::-1]),
    b'R': lambda m: m.call(),
    b'\x81': lambda m: m.call(),
    b'\x92': lambda m: (m.stack.pop(), m.call()),
    b'b': lambda m: m.stack.pop(),  # attributes of an object
    b'Q': lambda m: m.persistent(),
    b'q': lambda m: m.put(m.number('B')),
    b'r': lambda m: m.put(m.number('I')),
    b'\x94': lambda m: m.put(len(m.memo)),
    b'h': lambda m: m.get(m.number('B')),
    b'j': lambda m: m.get(m.number('I')),
}
