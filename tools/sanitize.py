#!/usr/bin/env python3
"""Run the core (cpu/*.cc) under GCC's sanitizers: ``python tools/sanitize.py [address] [thread] [--isa NAME]``.

    address   AddressSanitizer and UndefinedBehaviorSanitizer: reads and writes out of bounds, use after free, overflow
              of integers, bad shifts and casts, null and misaligned pointers
    thread    ThreadSanitizer: data races among the threads of a call and among callers (sanitizers/threads.cc)

Builds libdcn.so into build/sanitized, then calls every function of the C interface through ctypes: the grid of shapes,
bad numbers, shapes that cannot be, empty inputs (tests/operators/core_checks.py), once for each instruction set that
this processor has (avx512_bf16 with products in bfloat16). A sanitizer must first find the faults planted for it, so
that silence means something. Exit status 0: nothing found; 1: a finding, whose report is printed, or something that
does not compile or is not found though it is planted; 2: wrong arguments, or the sanitizers cannot be used here. Needs
NumPy and g++ with OpenMP and its sanitizer libraries (Debian/Ubuntu: apt-get install g++), not MXNet.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Sequence

ROOT = Path(__file__).absolute().parents[1]
OPERATOR_CXX = ROOT / 'operator_cxx'
OUT = OPERATOR_CXX / 'build' / 'sanitized'
PLANTED = OPERATOR_CXX / 'sanitizers' / 'planted.cc'
THREADS = OPERATOR_CXX / 'sanitizers' / 'threads.cc'
INSTRUCTION_SETS = ('avx512_bf16', 'avx512', 'avx2', 'portable')
# -O1 keeps the reports readable and leaves what is written in the source in place.
CORE_FLAGS = ['-O1', '-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast']
WORKER = ['-m', 'tests.operators.core_worker']
TIMEOUT = 900  # seconds for one instruction set; a minute is usual

# flags: of the compiler; libraries: which must be loaded before any other; environment; parts: run only the checks with
# one of these in their name, or all; planted: calls of faults on purpose, and what the report must say
Sanitizer = collections.namedtuple('Sanitizer', 'flags libraries environment parts planted')

SANITIZERS = {
    'address': Sanitizer(
        flags=['-fsanitize=address,undefined,float-cast-overflow', '-fno-sanitize-recover=all'],
        # the C++ library too: else AddressSanitizer does not find what throws exceptions
        libraries=['libasan.so', 'libubsan.so', 'libstdc++.so'],
        environment={
            'ASAN_OPTIONS': 'detect_leaks=0:redzone=512:max_redzone=2048:detect_stack_use_after_return=1',
            'UBSAN_OPTIONS': 'print_stacktrace=1',
            'PYTHONMALLOC': 'malloc',
        },
        parts=[],
        planted={
            'planted_read(numpy.zeros(5, numpy.float32).ctypes, 5)': 'AddressSanitizer: heap-buffer-overflow',
            'planted_overflow(2 ** 31 - 1)': 'signed integer overflow',
        },
    ),
    'thread': Sanitizer(
        flags=['-fsanitize=thread'],
        libraries=['libtsan.so', 'libstdc++.so'],
        environment={'TSAN_OPTIONS': 'halt_on_error=1'},
        parts=['Python threads', 'more positions than one block', 'res5 in small', 'FPN'],  # some that threads share
        planted={'planted_race()': 'ThreadSanitizer: data race'},
    ),
}


class Finding(Exception):
    """A sanitizer or a check found something; the message is its report."""


class Broken(Exception):
    """The core or these checks do not work; the message says what does not, with the compiler's words."""


class Unusable(Exception):
    """The sanitizer is not installed or does not run here; one sentence."""


def load_build(folder: Path) -> ModuleType:
    """operator_cxx/build.py as a module of our own, whose products go to ``folder``."""
    spec = importlib.util.spec_from_file_location('dcn_sanitized_build', str(OPERATOR_CXX / 'build.py'))
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    vars(build).update(BUILD=folder, CORE_FLAGS=CORE_FLAGS)
    return build


class Run:
    """One sanitizer: its build of the core, and Python processes in which it watches."""

    def __init__(self, name: str, instruction_sets: Sequence[str], verbose: bool):
        self.sanitizer, self.verbose = SANITIZERS[name], verbose
        self.folder = OUT / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.build = load_build(self.folder)
        compiler = self.build.find_compiler()
        if compiler is None:
            raise Unusable('no C++ compiler was found; install g++ and run this again')
        try:
            self.tools = self._tools(compiler, instruction_sets)
            self.preload = [self._of_compiler(library) for library in self.sanitizer.libraries]
            self._check_start()
            self.core = self._core()
            self.faults = self._library(PLANTED, self.tools.openmp)
            if name == 'thread':
                self.preload.append(str(self._library(THREADS, [])))
                self._check_threads()
        except self.build.BuildError as error:
            raise Broken(str(error)) from None

    def _tools(self, compiler, instruction_sets):
        """The compiler with the sanitizer's flags, for some of its instruction sets."""
        command = compiler + ['-g', '-fno-omit-frame-pointer']
        tools = self.build.Toolchain(command + self.sanitizer.flags, self.verbose)
        if not tools.supported('-shared', '-fPIC'):
            if not self.build.Toolchain(command, self.verbose).supported('-shared', '-fPIC'):
                raise Broken(f'{compiler[0]} does not compile a program that does nothing')
            raise Unusable(
                f'{" ".join(compiler)} has no {" ".join(self.sanitizer.flags)}; use g++ with its sanitizer libraries'
            )
        if not tools.openmp:
            raise Broken(
                f'{compiler[0]} has no OpenMP (-fopenmp), without which the core has no threads to check; '
                'install its libgomp'
            )
        tools.instruction_sets = {
            key: flags for key, flags in tools.instruction_sets.items() if key in instruction_sets
        }
        return tools

    def _core(self):
        self.build.Builder(self.tools, False).core()
        return self.folder / self.build.CORE

    def _library(self, source, flags):
        """A shared library of one source of sanitizers/."""
        product = self.folder / f'lib{source.stem}.so'
        self.tools.run(
            ['-std=c++17', '-O1', '-fPIC', '-shared', *flags, str(source), '-o', str(product), '-lpthread'],
            f'compiling {source.name}',
        )
        return product

    def _of_compiler(self, library):
        """Where the compiler keeps one of its libraries."""
        found = self.tools.run([f'-print-file-name={library}'], f'looking for {library}').strip()
        if not os.path.isabs(found):
            raise Unusable(f'{self.tools.command[0]} has no {library}; install the sanitizer libraries of that version')
        return found

    def _check_start(self):
        """A program that does nothing must run: a container may forbid what a sanitizer does at its start."""
        status, said = self.python(['-c', ''])
        if status:
            raise Unusable(f'a program that does nothing ends with status {status} under it:\n{said.strip()}')

    def _check_threads(self):
        """All of OpenMP that the core uses must be in threads.cc, for ThreadSanitizer does not understand libgomp."""
        used = set(re.findall(rb'GOMP_[a-z]\w+', self.core.read_bytes()))
        missing = {name.decode() for name in used} - set(re.findall(r'GOMP_[a-z]\w+', THREADS.read_text()))
        if missing:
            raise Broken(
                f'the core uses {", ".join(sorted(missing))} of OpenMP, which {THREADS.name} lacks: write it there'
            )

    def python(self, arguments: Sequence[str], **environment: str) -> tuple[int, str]:
        """(exit status, what was printed) of a Python process that the sanitizer watches."""
        settings = dict(os.environ, OMP_NUM_THREADS='2', OPENBLAS_NUM_THREADS='1', **self.sanitizer.environment)
        settings.update(environment, LD_PRELOAD=' '.join(self.preload))
        if self.verbose:
            print('LD_PRELOAD=' + settings['LD_PRELOAD'], sys.executable, *arguments, flush=True)
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=str(ROOT),
            env=settings,
            timeout=TIMEOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return process.returncode, process.stdout

    def prove(self) -> None:
        """The planted faults must be found; Broken where one is not."""
        for call, words in self.sanitizer.planted.items():
            status, said = self.python(['-c', f'import ctypes, numpy; ctypes.CDLL("{self.faults}").{call}'])
            if status == 0 or words not in said:
                raise Broken(f'{call} is a fault on purpose and was not found (status {status}):\n{said.strip()}')

    def check(self, instruction_set: str) -> str:
        """Run all checks on the code for one instruction set; a line about them, or a Finding."""
        arguments = WORKER + [str(self.core), 'heap'] + self.sanitizer.parts
        status, said = self.python(arguments, DCN_ISA=instruction_set, DCN_BF16='1')
        last = said.strip().splitlines()[-1] if said.strip() else ''
        if status:
            raise Finding(f'{instruction_set}, status {status}:\n{said.strip()}')
        if last.split()[-1:] != [instruction_set]:
            return f'{instruction_set}: not run, this processor or compiler has no such instructions'
        return last


def main() -> int:
    parser = argparse.ArgumentParser(description='Run the core of the operators under sanitizers.')
    parser.add_argument('sanitizers', nargs='*', metavar='sanitizer', help=f'of {", ".join(SANITIZERS)}; default all')
    parser.add_argument('--isa', choices=INSTRUCTION_SETS, action='append', help='instruction sets; default all')
    parser.add_argument('--verbose', action='store_true', help='show commands')
    arguments = parser.parse_args()
    unknown = set(arguments.sanitizers) - set(SANITIZERS)
    if unknown:
        parser.error(f'unknown sanitizer {", ".join(sorted(unknown))}; there are {", ".join(SANITIZERS)}')
    instruction_sets = arguments.isa or INSTRUCTION_SETS
    for name in arguments.sanitizers or SANITIZERS:
        try:
            run = Run(name, instruction_sets, arguments.verbose)
            run.prove()
            for instruction_set in instruction_sets:
                print(f'{name}: {run.check(instruction_set)}', flush=True)
        except Unusable as error:
            print(f'{name} sanitizer cannot be used here: {error}', file=sys.stderr)
            return 2
        except Broken as error:
            print(f'{name} sanitizer, BROKEN: {error}', file=sys.stderr)
            return 1
        except Finding as error:
            print(f'{name} sanitizer, FOUND on {error}', file=sys.stderr)
            return 1
    print('clean')
    return 0


if __name__ == '__main__':
    sys.exit(main())
