#!/usr/bin/env python3
"""Build the project's operators with the standard library alone: ``operator_cxx/build.py [--force] [--verbose]``.

    build/libdcn.so            the core: cpu/*.cc behind a plain C interface, loads without MXNet; on x86 for several
                               instruction sets, of which the processor's is chosen when it runs
    build/libdcn_mxnet.so      the bindings: mxnet/*.cc, links libdcn.so; built where MXNet is installed for this Python
    build/_native*.so          the Cython wrappers: lib/dcn/nms/*.pyx, links libdcn.so; needs Cython, Python.h

Every product is keyed by its sources, flags, compiler and kind of processor, so a second run does nothing. A source
may ask for extra flags in a line of its own: ``// flags: -ffp-contract=off`` (C++) or ``# flags: ...`` (Cython).
Without a compiler nothing is built and the exit status is 0: the stock operators remain.

In an installed package, where this folder is dcn/operator_cxx, `import dcn.operators` builds them when it first needs
them: in build/ as well if that may be written, else in a folder of the user's cache.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

HERE = Path(__file__).resolve().parent
INSTALLED = not (HERE.parent / 'lib' / 'dcn').is_dir()  # no checkout: this folder is dcn/operator_cxx
PACKAGE = HERE.parent if INSTALLED else HERE.parent / 'lib' / 'dcn'
NMS = PACKAGE / 'nms'
CUDA_INTERFACE = HERE / 'cuda' / 'dcn_cuda.h'  # which the bindings include
CORE, BINDINGS = 'libdcn.so', 'libdcn_mxnet.so'
MANIFEST = 'manifest.json'
JOBS = 2  # bindings need about 0.7 GB each while they compile

COMMON_FLAGS = ['-std=c++17', '-fPIC', '-fvisibility=hidden', '-Wall']
# NaN and infinity keep their meaning; only traps and errno, which nobody reads, may go: without that no loop with a
# selection becomes vectors.
CORE_FLAGS = ['-O3', '-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast']
# Instruction sets of x86 beside the one that every compiler takes for granted ('portable'). Without being asked for
# 512 bits, compilers vectorise loops for half of that.
AVX512 = ['-mavx512f', '-mavx512dq', '-mavx512bw', '-mavx512vl', '-mfma', '-mprefer-vector-width=512']
INSTRUCTION_SETS = {'avx2': ['-mavx2', '-mfma'], 'avx512': AVX512, 'avx512_bf16': AVX512 + ['-mavx512bf16']}
DISPATCH = 'dispatch.cc'  # chooses among them, hence compiled once
# The wheel was built with the old string ABI and with these switches; its headers must be read the same way. The
# headers are full of warnings (-w). Symbols shared with libmxnet are kept apart by hiding what is inline, and by
# -fno-gnu-unique where the compiler knows it.
BINDING_FLAGS = [
    '-O2',
    '-w',
    '-fvisibility-inlines-hidden',
    '-D_GLIBCXX_USE_CXX11_ABI=0',
    '-DMXNET_USE_CUDA=0',
    '-DMXNET_USE_MKLDNN=0',
    '-DMSHADOW_USE_CUDA=0',
    '-DMSHADOW_USE_CBLAS=0',
    '-DMSHADOW_USE_MKL=0',
    '-DMSHADOW_USE_F16C=0',
    '-DMSHADOW_USE_SSE=0',
    '-DDMLC_LOG_STACK_TRACE=0',
]


def digest(*parts: object) -> str:
    """Short hash over strings and the contents of files."""
    state = hashlib.sha256()
    for part in parts:
        content = part.name.encode() + b'\0' + part.read_bytes() if isinstance(part, Path) else str(part).encode()
        state.update(len(content).to_bytes(8, 'little') + content)
    return state.hexdigest()[:16]


def sources() -> list[Path]:
    """All files that the products are made from, in a fixed order."""
    found = [path for folder in ('include', 'cpu', 'mxnet') for path in (HERE / folder).iterdir()] + [CUDA_INTERFACE]
    return sorted(path for path in found if path.suffix in ('.h', '.cc')) + sorted(NMS.glob('*.pyx'))


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the products in a folder were made from; {} where nothing is known."""
    try:
        return json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}


def write_manifest(manifest: Mapping[str, Any]) -> None:
    temporary = BUILD / (MANIFEST + '.tmp')
    temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + '\n')
    os.replace(str(temporary), str(BUILD / MANIFEST))


def build_folder() -> Path:
    """Where the products lie: beside the sources, or below the user's cache where an installed package is read-only.

    A folder of the cache is keyed by the sources and by the place of the package, whose MXNet the bindings belong to.
    """
    beside = HERE / 'build'
    if not INSTALLED or os.access(str(HERE), os.W_OK):
        return beside
    made_from = digest(*sources())
    if read_manifest(beside).get('sources') == made_from:  # built by someone who may write there
        return beside
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return cache / 'deformable-convnets-mxnet' / f'operators-{digest(HERE, made_from)}'


BUILD = build_folder()
NO_COMPILER = (
    'No C++ compiler was found (CXX, g++, c++, clang++), so the stock MXNet operators and NumPy are used; '
    "to build the project's, install a compiler (Debian/Ubuntu: apt-get install g++) and run this again."
)
NO_CYTHON = (
    'Cython or Python.h is missing, so NumPy is used for non-maximum suppression and overlaps; to change that '
    'install them (pip install cython; Debian/Ubuntu: apt-get install python3-dev) and run this again.'
)


class BuildError(Exception):
    """A compiler or linker said no; the message names the file and carries what was said."""


class Toolchain:
    """The C++ compiler of this machine and the optional flags that it understands."""

    def __init__(self, command: list[str], verbose: bool):
        self.command = command
        self.verbose = verbose
        self.version = self.run(['--version'], 'asking for the version').splitlines()[0]
        self.instruction_sets = {name: flags for name, flags in INSTRUCTION_SETS.items() if self.supported(*flags)}
        self.openmp = self.supported('-fopenmp')
        self.local = self.supported('-fno-gnu-unique')
        self.short_paths = self.supported(f'-fmacro-prefix-map={HERE.parent}/=')  # messages say operator_cxx/...

    def supported(self, *flags: str) -> list[str]:
        """The flags as a list if a small program compiles and links with them, else []."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, 'probe.cc')
            source.write_text('int main() { return 0; }\n')
            probe = subprocess.run(
                self.command + [*flags, '-Werror', str(source), '-o', str(Path(folder, 'probe'))],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return list(flags) if probe.returncode == 0 else []

    def run(self, arguments: list[str], purpose: str) -> str:
        return run(self.command + arguments, purpose, self.verbose)


def run(command: list[str], purpose: str, verbose: bool = False) -> str:
    """Run a command; its output, or a BuildError that says what it was for."""
    if verbose:
        print(' '.join(shlex.quote(part) for part in command), flush=True)
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise BuildError(f'{purpose} failed ({command[0]}, status {result.returncode}):\n{result.stdout.strip()}')
    if result.stdout.strip() and verbose:
        print(result.stdout.strip(), flush=True)
    return result.stdout


def find_compiler() -> list[str] | None:
    """The command of a C++ compiler as a list (CXX may carry arguments), or None."""
    named = shlex.split(os.environ.get('CXX', ''))
    for command in [named] if named else [['g++'], ['c++'], ['clang++']]:
        if shutil.which(command[0]):
            return command
    return None


def find_package(name: str) -> Path | None:
    """Folder of an installed package of the running Python, found without importing it, or None."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def wanted_flags(source: Path) -> list[str]:
    """Flags that a source asks for in its own '// flags:' line."""
    for line in source.read_text().splitlines():
        for mark in ('// flags:', '# flags:'):
            if line.startswith(mark):
                return shlex.split(line[len(mark) :])
    return []


def how_to_run(script: str = 'build.py') -> str:
    """How a user runs a script of this folder from where he is."""
    path = HERE / script
    near = os.path.relpath(str(path))
    return f'python {path if near.startswith(os.pardir) else near}'


def extension(stem: str) -> Path:
    """Path of a Cython module for the running Python."""
    return BUILD / (stem + sysconfig.get_config_var('EXT_SUFFIX'))


def state(product: str) -> tuple[str, str]:
    """(verdict, sentence) on libdcn.so or libdcn_mxnet.so, judged without a compiler; for dcn.operators.native.

    'missing', 'damaged' and 'foreign' products must not be loaded: code for another processor or a file cut short ends
    the process without a word. 'stale' and 'current' ones may.
    """
    manifest = read_manifest(BUILD)
    remedy = f'run: {how_to_run()}'
    if product not in manifest or not (BUILD / product).exists():
        return 'missing', f'{product} is not built; {remedy}'
    if manifest.get(product + ' bytes') != (BUILD / product).stat().st_size:
        return 'damaged', f'{product} is not the file that was built; {remedy}'
    if manifest.get('machine') != platform.machine():
        return 'foreign', f'{product} was built for another processor; {remedy}'
    if product == BINDINGS and manifest.get('mxnet') != mxnet_identity(find_package('mxnet')):
        return 'foreign', f'{product} was built for another MXNet; {remedy}'
    if manifest.get('sources') != digest(*sources()):
        return 'stale', f'{product} is older than its sources; {remedy}'
    return 'current', f'{product} is built'


def mxnet_identity(folder: Path | None) -> str | None:
    """A short hash of the MXNet in ``folder``; None where there is none."""
    return digest(folder / 'libinfo.py', (folder / 'libmxnet.so').stat().st_size) if folder else None


class Builder:
    """Compiles what changed and links it; products move into place whole."""

    def __init__(self, tools: Toolchain, force: bool):
        self.tools = tools
        self.force = force
        manifest = {} if force else read_manifest(BUILD)
        machine = platform.machine()
        self.manifest = manifest if manifest.get('machine') == machine else {'machine': machine}
        self.sources = digest(*sources())  # taken now: an edit during the build must show as stale
        self.base = digest(tools.command, tools.version, machine)
        (BUILD / 'objects').mkdir(exist_ok=True)

    def compile(self, source: Path, flags: list[str], headers: Iterable[Path], variant: str = '') -> Path:
        """Object file of one source, compiled unless the same was compiled before; `variant` is part of its name."""
        flags = COMMON_FLAGS + flags + self.tools.openmp + self.tools.short_paths + wanted_flags(source)
        stem = f'{source.parent.name}-{source.stem}{variant}'
        target = BUILD / 'objects' / f'{stem}-{digest(self.base, flags, source, *headers)}.o'
        if self.force or not target.exists():
            temporary = target.with_suffix('.tmp.o')
            self.tools.run(
                flags + ['-c', str(source), '-o', str(temporary)], f'compiling {source.relative_to(HERE.parent)}'
            )
            os.replace(str(temporary), str(target))
        for old in target.parent.glob(f'{stem}-????????????????.o'):
            if old != target:
                old.unlink()
        return target

    def compile_all(self, folder: str, jobs: Iterable[tuple[Path, list[str], str]]) -> list[Path]:
        """Object files of (source, flags, variant), in their order."""
        headers = sorted((HERE / folder).glob('*.h')) + sorted((HERE / 'include').glob('*.h'))
        headers += [CUDA_INTERFACE] * (folder == 'mxnet')
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            return list(pool.map(lambda job: self.compile(job[0], job[1], headers, job[2]), jobs))

    def link(self, product: Path, objects: Sequence[Path], flags: list[str]) -> bool:
        """Link objects to a shared library; False where it was linked from the same before."""
        name = product.name
        key = digest(self.base, flags, *[path.name for path in objects])
        if self.manifest.get(name) == key and state(name)[0] not in ('missing', 'damaged'):
            return False
        temporary = product.with_name('.' + name)
        names = [str(path) for path in objects]
        self.tools.run(['-shared'] + self.tools.openmp + names + flags + ['-o', str(temporary)], f'linking {name}')
        os.replace(str(temporary), str(product))
        self.manifest[name] = key
        self.manifest[name + ' bytes'] = product.stat().st_size
        write_manifest(self.manifest)  # now, should the next product fail
        return True

    def core(self) -> bool:
        """libdcn.so, as link().

        Portable objects come first: of the library's templates that several objects carry, linkers keep the first copy,
        which must run on every processor.
        """
        kernels = [source for source in sorted((HERE / 'cpu').glob('*.cc')) if source.name != DISPATCH]
        flags = CORE_FLAGS + [f'-I{HERE / "include"}']
        chosen = [f'-DDCN_WITH_{name.upper()}' for name in self.tools.instruction_sets]
        jobs = [(HERE / 'cpu' / DISPATCH, flags + chosen, '')]
        for name, extra in [('portable', []), *self.tools.instruction_sets.items()]:
            jobs += [(source, flags + extra + [f'-Ddcn=dcn_{name}'], f'-{name}') for source in kernels]
        return self.link(BUILD / CORE, self.compile_all('cpu', jobs), ['-Wl,-soname,' + CORE, '-Wl,-z,defs'])

    def bindings(self, mxnet: Path) -> bool:
        """libdcn_mxnet.so for the MXNet in the folder ``mxnet``, as link()."""
        includes = [f'-I{HERE / "include"}', '-isystem', str(mxnet / 'include')]
        flags = BINDING_FLAGS + self.tools.local + includes
        objects = self.compile_all('mxnet', [(source, flags, '') for source in sorted((HERE / 'mxnet').glob('*.cc'))])
        self.manifest['mxnet'] = mxnet_identity(mxnet)
        return self.link(
            BUILD / BINDINGS,
            objects,
            [
                f'-L{mxnet}',
                '-lmxnet',
                f'-L{BUILD}',
                '-ldcn',
                '-ldl',
                '-Wl,-rpath,$ORIGIN',
                f'-Wl,-rpath-link,{mxnet}',
                '-Wl,-Bsymbolic',
            ],
        )

    def cython(self, source: Path) -> bool:
        """Extension module for the running Python; False where it was made from the same before."""
        generated = BUILD / 'objects' / f'{source.stem}.cpp'
        key_name = f'{source.stem} {sysconfig.get_config_var("SOABI")}'
        flags = ['-std=c++17', '-fPIC', '-shared', '-w', '-O2', f'-I{HERE / "include"}']
        flags += [f'-I{sysconfig.get_paths()["include"]}'] + numpy_include() + wanted_flags(source)
        headers = sorted((HERE / 'include').glob('*.h')) + sorted(NMS.glob('*.pxd'))
        key = digest(self.base, flags, source, *headers)
        product = extension(source.stem)
        if self.manifest.get(key_name) == key and product.exists():
            return False
        run(
            [sys.executable, '-m', 'cython', '--cplus', '-3', str(source), '-o', str(generated)],
            f'translating {source.name}',
        )
        temporary = product.with_name('.' + product.name)
        self.tools.run(
            flags + [str(generated), f'-L{BUILD}', '-ldcn', '-Wl,-rpath,$ORIGIN', '-o', str(temporary)],
            f'compiling {source.name}',
        )
        os.replace(str(temporary), str(product))
        self.manifest[key_name] = key
        return True

    def finish(self) -> None:
        """Note that all products are of the sources as they were at the beginning."""
        self.manifest['sources'] = self.sources
        write_manifest(self.manifest)


def numpy_include() -> list[str]:
    folder = find_package('numpy')
    include = folder / 'core' / 'include' if folder else None
    return [f'-I{include}'] if include and include.exists() else []


def cython_available() -> bool:
    return find_package('Cython') is not None and Path(sysconfig.get_paths()['include'], 'Python.h').exists()


def build(force: bool = False, verbose: bool = False) -> list[str]:
    """Build everything that this machine can; sentences that say what happened. BuildError where it fails."""
    command = find_compiler()
    if command is None:
        return [NO_COMPILER]
    builder = Builder(Toolchain(command, verbose), force)
    said = [report(CORE, builder.core())]
    mxnet = find_package('mxnet')
    if mxnet:
        said.append(report(BINDINGS, builder.bindings(mxnet)))
    else:
        said.append(
            f'MXNet is not installed for {sys.executable}, so its operators were not built; install '
            'mxnet==1.9.1 and run this again.'
        )
    if cython_available():
        said += [report(source.stem + ' (Cython)', builder.cython(source)) for source in sorted(NMS.glob('*.pyx'))]
    else:
        said.append(NO_CYTHON)
    builder.finish()
    return said


def report(name: str, built: bool) -> str:
    return f'{name}: built' if built else f'{name}: up to date'


@contextlib.contextmanager
def build_lock(name: str = 'lock') -> Iterator[None]:
    """One build of a kind at a time: a second one waits, then finds everything up to date."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(str(BUILD / name), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Build the project's operators (C++ core, MXNet bindings, Cython modules)."
    )
    parser.add_argument('--force', action='store_true', help='compile everything again')
    parser.add_argument('--verbose', action='store_true', help='show each command and the warnings')
    arguments = parser.parse_args()
    try:
        with build_lock():
            print('\n'.join(build(arguments.force, arguments.verbose)))
    except BuildError as error:
        print(f'{error}\nWhat was built before remains in use, else the stock MXNet operators.', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
