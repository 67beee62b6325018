"""Environments for the peers of ``dcn bench`` and ``dcn export``: other libraries, each with its own Python, from PyPI.

    python lib/dcn/peers.py --make DIR [NAME ...]      makes DIR/torchvision, DIR/openvino, DIR/onnxruntime

torch from PyPI brings CUDA, gigabytes of it; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu spares them.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import venv
from pathlib import Path
from typing import Iterable, Union

PathLike = Union[str, 'os.PathLike[str]']

PACKAGES = {
    'torchvision': ['torch==2.13.0', 'torchvision==0.28.0', 'numpy==2.4.6'],
    'openvino': ['openvino==2026.4.1', 'numpy==2.4.6'],
    'onnxruntime': ['onnxruntime==1.32.0', 'onnx==1.23.2', 'numpy==2.4.6'],
}
STAND_INS = 'stand_ins'  # folder of an environment that its library loader searches first
CUDA_OF_TORCH = ('libc10_cuda.so', 'libtorch_cuda.so')


def python_of(folder: PathLike, name: str) -> Path:
    """The interpreter of a peer's environment below ``folder``."""
    return Path(folder, name, 'bin', 'python')


def settings(folder: PathLike, name: str) -> dict[str, str]:
    """Environment variables that a peer's process needs."""
    stand_ins = Path(folder, name, STAND_INS)
    return {'LD_LIBRARY_PATH': str(stand_ins.resolve())} if stand_ins.is_dir() else {}


def make(folder: PathLike, names: Iterable[str]) -> None:
    """Make the environments of ``names``, keys of PACKAGES, or complete those that are there. CalledProcessError where
    pip fails."""
    for name in names:
        python = python_of(folder, name)
        if not python.exists():
            venv.create(str(Path(folder, name)), with_pip=True)
        subprocess.run([str(python), '-m', 'pip', 'install', '--quiet', *PACKAGES[name]], check=True)
        if name == 'torchvision':
            _complete_torchvision(folder)
        subprocess.run(
            [str(python), '-c', f'import {name}'], check=True, env=dict(os.environ, **settings(folder, name))
        )
        print(f'{name}: {Path(folder, name)}')


def _complete_torchvision(folder):
    """Let torchvision from PyPI, built for CUDA, work on the CPU with a torch that was built without.

    Its operators are one library for CPU and CUDA, which the loader refuses while torch's CUDA libraries are missing.
    Empty ones take their place: they only have the names that it mentions, and no call ever goes there.
    """
    packages = next(Path(folder, 'torchvision', 'lib').glob('python*/site-packages'))
    operators = packages / 'torchvision' / '_C.so'
    needed = operators.read_bytes()
    if b'libtorch_cuda.so' not in needed or (packages / 'torch' / 'lib' / 'libtorch_cuda.so').exists():
        return
    stand_ins = Path(folder, 'torchvision', STAND_INS)
    stand_ins.mkdir(exist_ok=True)
    names = sorted(set(re.findall(rb'\0(_ZNK?(?:2at|3c10)4cuda\w+)(?=\0)', needed)))
    source = ''.join(f'char {name.decode()}[64];\n' for name in names)
    for library in CUDA_OF_TORCH:
        subprocess.run(
            ['cc', '-shared', '-fPIC', f'-Wl,-soname,{library}', '-x', 'c', '-', '-o', str(stand_ins / library)],
            input=source.encode(),
            check=True,
        )
        source = ''
    for runtime in (packages / 'torchvision.libs').glob('libcudart.*.so.*'):  # comes along under a longer name
        link = stand_ins / f'libcudart.so.{runtime.name.rpartition(".")[2]}'
        if not link.is_symlink():
            link.symlink_to(runtime.resolve())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description='Environments for the peers of "dcn bench ops --peers".')
    parser.add_argument('--make', metavar='DIR', required=True, help='make the environments below DIR')
    parser.add_argument('names', nargs='*', help=f'which (default: {", ".join(PACKAGES)})')
    args = parser.parse_args()
    unknown = set(args.names) - set(PACKAGES)
    if unknown:
        parser.error(f'unknown peer {", ".join(sorted(unknown))}; there are {", ".join(PACKAGES)}')
    make(args.make, args.names or list(PACKAGES))


if __name__ == '__main__':
    main()
