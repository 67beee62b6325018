"""Random numbers without global state: every draw has a key, so threads, prefetching and resuming change nothing."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, *key: int | np.integer | str) -> np.random.Generator:
    """A NumPy Generator that depends on ``seed`` (int) and ``key`` alone: ints or strings (epoch, id, purpose)."""
    words = [
        int(k) & 0xFFFFFFFF if isinstance(k, (int, np.integer)) else zlib.crc32(str(k).encode()) for k in (seed,) + key
    ]
    return np.random.default_rng(words)


def content_key(*arrays: np.ndarray) -> int:
    """A 32-bit key of the arrays' bytes: randomness inside a graph follows its inputs and nothing else."""
    key = 0
    for array in arrays:
        key = zlib.crc32(np.ascontiguousarray(array).tobytes(), key)
    return key
