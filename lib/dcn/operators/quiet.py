"""MXNet's C++ side writes a line to stderr at every bind where fusion is off; nobody needs it at every image size."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import Iterator

NOISE = b'MXNET_SUBGRAPH_BACKEND=NONE is detected'


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Within the block, what is written to file descriptor 2 is kept back; then all but NOISE is passed on."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            kept.seek(0)
            for line in kept:
                if NOISE not in line:
                    os.write(2, line)
