#!/usr/bin/env python3
"""Build the operators for GPUs: operator_cxx/build/libdcn_cuda.so. Only for those who ask; needs nvcc, no GPU.

    python operator_cxx/build_cuda.py                 machine code for all architectures that nvcc and we know, a minute
    python operator_cxx/build_cuda.py --arch 90       for one (compute capability without the point), seconds
    python operator_cxx/build_cuda.py --emulate       libdcn_cuda_emulated.so: the same kernels run on the CPU by a C++
                                                      compiler (cuda/emulator.h); for tests, very slow

Newer GPUs than the newest architecture compile its PTX when the library is first used. A product is keyed by its
sources, flags and compiler, so a second run does nothing. NVCC names another compiler than the one on the PATH or below
/usr/local/cuda. A source may ask for flags of nvcc in a line of its own: ``// flags: -fmad=false``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Callable, Iterable, Sequence

HERE = Path(__file__).resolve().parent


def _core_build():
    """build.py, which is a script as well, hence loaded by path."""
    spec = importlib.util.spec_from_file_location('dcn_operator_build', str(HERE / 'build.py'))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


core = _core_build()
BUILD, BuildError = core.BUILD, core.BuildError

PRODUCT, EMULATED = 'libdcn_cuda.so', 'libdcn_cuda_emulated.so'
CHECKED = 'libdcn_cuda_check.so'  # for one GPU; what cuda/check.py builds, to leave PRODUCT alone
ARCHITECTURES = (60, 70, 75, 80, 86, 89, 90)  # those that nvcc knows are built: CUDA 13 begins at 75
NVCC_FLAGS = ['-std=c++17', '-O3', '-Xcompiler', '-fPIC,-fvisibility=hidden,-Wall,-Wno-unknown-pragmas']
EMULATOR_FLAGS = [
    '-std=c++17',
    '-O2',
    '-fPIC',
    '-fvisibility=hidden',
    '-Wall',
    '-Wno-unknown-pragmas',
    '-ffp-contract=off',
]
NO_NVCC = (
    'No CUDA compiler was found (NVCC, nvcc on the PATH, /usr/local/cuda/bin/nvcc), so the operators for GPUs '
    'were not built; install the CUDA toolkit 11.2 or newer, or set NVCC, and run this again. The CPU needs '
    'none of this.'
)


def find_nvcc() -> str | None:
    """Path of nvcc as a string, or None."""
    named = os.environ.get('NVCC')
    if named:
        return shutil.which(named)
    return shutil.which('nvcc') or shutil.which('/usr/local/cuda/bin/nvcc')


def supported_architectures(nvcc: str) -> list[int]:
    """Numbers such as 75 that this nvcc compiles for."""
    listed = core.run([nvcc, '--list-gpu-code'], 'asking nvcc for its architectures').split()
    return sorted(int(name[3:]) for name in listed if name.startswith('sm_') and name[3:].isdigit())


def architecture_flags(architectures: Sequence[int]) -> list[str]:
    """Machine code for each architecture, and PTX for the newest."""
    newest = max(architectures)
    flags = [f'-gencode=arch=compute_{number},code=sm_{number}' for number in architectures]
    return flags + [f'-gencode=arch=compute_{newest},code=compute_{newest}']


def sources() -> list[Path]:
    """The .cu files, in a fixed order."""
    return sorted((HERE / 'cuda').glob('*.cu'))


def headers() -> list[Path]:
    """All that the sources include."""
    return sorted(path for folder in ('cuda', 'include') for path in (HERE / folder).glob('*.*h'))


def key_of(*parts: object) -> str:
    """What a product depends on, as a short hash."""
    return core.digest(*parts, *sources(), *headers())


def up_to_date(product: Path, key: str) -> bool:
    """Was the product built from exactly this?"""
    stamp = product.with_suffix('.key')
    return product.exists() and stamp.exists() and stamp.read_text() == key


def is_stale(product: Path) -> bool:
    """Is the product older than its sources? Needs no compiler; for dcn.operators.native."""
    stamp = product.with_suffix('.sources')
    return product.exists() and stamp.exists() and stamp.read_text() != key_of()


def produce(
    product: Path,
    key: str,
    compile_one: Callable[[Path, str], list[str]],
    link: Callable[[list[str], str], list[str]],
) -> None:
    """Compile every source to an object in a temporary folder, link them, and move the product into place.

    compile_one, link: the commands, of a source and its object, and of the objects and the product. BuildError where
    one fails.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=str(BUILD)) as folder:
        objects = []
        for source in sources():
            objects.append(str(Path(folder, source.stem + '.o')))
            core.run(compile_one(source, objects[-1]), f'compiling {source.relative_to(HERE.parent)}')
        temporary = Path(folder, product.name)
        core.run(link(objects, str(temporary)), f'linking {product.name}')
        os.replace(str(temporary), str(product))
    product.with_suffix('.key').write_text(key)
    product.with_suffix('.sources').write_text(key_of())


def build(architectures: Iterable[int] | None = None, force: bool = False, name: str = PRODUCT) -> str:
    """Build libdcn_cuda.so, or another ``name``; a sentence that says what happened. BuildError where that fails, or
    nvcc is missing."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise BuildError(NO_NVCC)
    known = supported_architectures(nvcc)
    wanted = sorted(set(architectures or [number for number in ARCHITECTURES if number in known]))
    unknown = [str(number) for number in wanted if number not in known]
    if unknown:
        raise BuildError(f'{nvcc} does not compile for {", ".join(unknown)}; it knows {", ".join(map(str, known))}')
    flags = NVCC_FLAGS + architecture_flags(wanted)
    product, key = BUILD / name, key_of(core.run([nvcc, '--version'], 'asking nvcc for its version'), *flags)
    named = ', '.join(map(str, wanted))
    if not force and up_to_date(product, key):
        return f'{name} ({named}): up to date'
    produce(
        product,
        key,
        lambda source, target: [nvcc, *flags, *core.wanted_flags(source), '-c', str(source), '-o', target],
        lambda objects, target: [nvcc, '-shared', '-cudart', 'static', *objects, '-o', target],
    )
    return f'{name} ({named}): built'


def build_emulated(force: bool = False, extra: Iterable[str] = ()) -> Path:
    """Build libdcn_cuda_emulated.so with the C++ compiler; its path. ``extra``: flags, such as a sanitizer's."""
    command = core.find_compiler()
    if command is None:
        raise BuildError(core.NO_COMPILER)
    flags = EMULATOR_FLAGS + list(extra)
    product, key = BUILD / EMULATED, key_of(*command, *flags)
    if force or not up_to_date(product, key):
        produce(
            product,
            key,
            lambda source, target: [*command, *flags, '-x', 'c++', '-c', str(source), '-o', target],
            lambda objects, target: [*command, *extra, '-shared', *objects, '-o', target],
        )
    return product


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Build the operators for GPUs (libdcn_cuda.so); needs nvcc.')
    parser.add_argument(
        '--arch',
        type=int,
        nargs='+',
        metavar='N',
        help='compute capabilities without the point, such as 75 90; default: all that nvcc knows of '
        + ', '.join(map(str, ARCHITECTURES)),
    )
    parser.add_argument('--emulate', action='store_true', help='build the kernels for the CPU instead, for tests')
    parser.add_argument('--force', action='store_true', help='build again')
    arguments = parser.parse_args(argv)
    try:
        with core.build_lock('lock-cuda'):
            print(
                f'{build_emulated(arguments.force).name}: built'
                if arguments.emulate
                else build(arguments.arch, arguments.force)
            )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
