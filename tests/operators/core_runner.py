"""Runs the core on the CPU (libdcn.so) through its C interface, without MXNet, on arrays that are laid where a fault
shows: between unmapped pages, or on the heap for AddressSanitizer.

What it runs is the loop that runs the GPU kernels (cuda_runner.Runner), with other memory under it.
"""

import ctypes
import mmap

import numpy as np

from dcn.operators import structs
from dcn.operators.core import Core, Refused  # noqa: F401  (for those who run it)
from tests.operators import cuda_runner

PROT_NONE = 0
DTYPES = {np.dtype(np.float32): structs.FLOAT32, np.dtype(np.float64): structs.FLOAT64}


# ---- where arrays lie ----


class OnHeap:
    """A copy of an array in memory of its own from malloc, where AddressSanitizer sees both ends."""

    def __init__(self, array):
        self._array = np.array(array, order='C', copy=True)
        self.pointer = self._array.ctypes.data

    def read(self):
        """The array as it is now."""
        return self._array


class _Guarded:
    """A copy of an array whose one end is the end of accessible memory: a page that is not mapped follows it."""

    AT_END = None  # whether the last or the first byte borders on the unmapped page

    def __init__(self, array):
        array = np.asarray(array)
        pages = -(-max(array.nbytes, 1) // mmap.PAGESIZE)
        self._memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        room = pages * mmap.PAGESIZE
        offset = mmap.PAGESIZE + (room - array.nbytes if self.AT_END else 0)
        self._array = np.frombuffer(self._memory, array.dtype, array.size, offset).reshape(array.shape)
        self._array[...] = array
        self.pointer = start + offset
        for page in (start, start + mmap.PAGESIZE + room):
            _protect(page)

    def read(self):
        """The array as it is now."""
        return self._array


class BeforeGuard(_Guarded):
    """One byte past the last is not mapped."""

    AT_END = True


class BehindGuard(_Guarded):
    """One byte before the first is not mapped."""

    AT_END = False


def _protect(page):
    """No access to the page at this address from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), PROT_NONE):
        raise OSError(ctypes.get_errno(), 'mprotect')


MEMORIES = {'heap': OnHeap, 'before guard': BeforeGuard, 'behind guard': BehindGuard}


class CoreRunner(cuda_runner.Runner):
    """Runs cases on a Core with arrays made by one of MEMORIES."""

    def __init__(self, core, memory):
        super().__init__(core, cuda_runner.HostMemory)
        self._make = MEMORIES[memory]

    def put(self, array):
        return None if array is None else self._make(array)
