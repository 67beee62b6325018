"""PyTorch's devices by their numbers, and the memory of the CPU."""

import contextlib
import ctypes
import functools

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h


def cpu(number: int) -> torch.device:
    """The CPU; all numbers mean the same cores."""
    return torch.device('cpu')


def gpu(number: int) -> torch.device:
    """A GPU."""
    return torch.device('cuda', number)


def count_gpus() -> int:
    """How many GPUs PyTorch sees."""
    return torch.cuda.device_count()


@functools.lru_cache(maxsize=None)
def keep_memory(device: torch.device) -> None:
    """On the CPU, let malloc hold on to what is freed, as the next pass wants it again.

    PyTorch takes every result from malloc, and glibc would give large blocks back to the system; zeroed pages instead
    of those took 9 to 16 % of a detection (docs/torch.md). Other C libraries are left alone.
    """
    if device.type == 'cpu':
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_MMAP_THRESHOLD, 32 << 20)  # the largest that it takes
            libc.mallopt(_TRIM_THRESHOLD, 1 << 30)
