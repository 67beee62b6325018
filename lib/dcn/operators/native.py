"""Loads the project's operators (operator_cxx/build) and puts them under the stock MXNet names, or back.

    activate()       import MXNet with the right environment and put the project's operators under the stock names
    status()         {'DeformableConvolution': 'own' | 'stock', ...}; status('gpu'): what GPU contexts get
    use('stock')     switch all operators at run time; a node keeps the implementation it was created or loaded with
    using('stock')   the same for a ``with`` block
    core()           ctypes handle of libdcn.so, the kernels behind a C interface; needs no MXNet

    instruction_set()  'avx512_bf16', 'avx512', 'avx2' or 'portable': the code in libdcn.so that runs
    use_bf16(True)   products of deformable convolutions in bfloat16, about twice as fast

DCN_ISA=avx2 or DCN_ISA=portable in the environment asks for narrower vectors than the processor has.
DCN_STOCK_OPERATORS=1 keeps the stock operators (``use('own')`` still works).

With MXNet's GPU build, GPU contexts get the project's operators where operator_cxx/build_cuda.py has built
libdcn_cuda.so, and the stock ones where it has not. DCN_TF32=1 lets tensor cores round what deformable convolutions
in float32 multiply there.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Iterator

from dcn import gpu_libraries
from dcn.compiled import build_if_installed, build_module, usable
from dcn.operators import cuda

OPERATORS = (
    'DeformableConvolution',
    'ModulatedDeformableConvolution',
    'DeformablePSROIPooling',
    'PSROIPooling',
    'ROIPooling',
    'Proposal',
    'MultiProposal',
)
PREFIX = '_contrib_'


def activate() -> bool:
    """Import MXNet and give the stock names to the project's operators; on trouble warn once and keep the stock ones.

    False where there is no MXNet to import.
    """
    prepare_environment()
    gpu_libraries.preload()
    # in a process that is to be a server the import would start the stock one, which unpickles what the network sends
    role = os.environ.pop('DMLC_ROLE', None)
    try:
        import mxnet  # noqa: F401  (the library below needs libmxnet in the process)
    except ModuleNotFoundError as error:
        if error.name != 'mxnet':
            raise
        return False
    finally:
        if role is not None:
            os.environ['DMLC_ROLE'] = role
    atexit.register(_finish_work)  # after the import: it runs before MXNet's own
    failed = build_if_installed()
    if failed:
        _warn(failed)
    _check_instruction_set()
    if _bindings() is not None and os.environ.get('DCN_STOCK_OPERATORS', '0') in ('', '0'):
        use('own')
    return True


def _finish_work():
    """At the end of the process. MXNet's own handler stops the threads of Custom operators first and then waits for all
    work: what such an operator has still to do would never be done, and the process would never end."""
    import mxnet

    with contextlib.suppress(mxnet.base.MXNetError):  # of work whose results nobody reads any more
        mxnet.nd.waitall()


def prepare_environment() -> None:
    """What MXNet reads when it is loaded: all usable cores for operators, no operator fusion, a bounded cache."""
    if 'OMP_NUM_THREADS' not in os.environ:
        if 'mxnet' in sys.modules:
            _warn(
                'mxnet was imported before dcn.operators and without OMP_NUM_THREADS, so operators use half the '
                'cores; import dcn.operators first or set OMP_NUM_THREADS'
            )
        else:
            os.environ['OMP_NUM_THREADS'] = str(len(os.sched_getaffinity(0)))
    # Fused convolution + batch norm + relu would be returned under the convolution's name when internals are read.
    os.environ.setdefault('MXNET_SUBGRAPH_BACKEND', 'NONE')
    # MXNet keeps what oneDNN prepares for every layer and shape that it meets; without a bound memory grows with each
    # further image size
    os.environ.setdefault('MXNET_MKLDNN_CACHE_NUM', '64')


def status(device: str = 'cpu') -> dict[str, str]:
    """{operator: 'own' or 'stock'} for nodes created from now on that run on a 'cpu' or 'gpu' context."""
    found = dict.fromkeys(OPERATORS, 'stock')
    if _bindings() is not None and (device == 'cpu' or _bindings().serves_gpus):
        found.update(_bindings().status())
    return found


def use(which: str) -> None:
    """Give all stock names to the 'own' or the 'stock' operators; nodes that exist keep theirs."""
    if which not in ('own', 'stock'):
        raise ValueError(f"which is 'own' or 'stock', found {which!r}")
    if _bindings() is not None:
        _bindings().use(which == 'own')
    elif which == 'own':
        raise RuntimeError(f"the project's operators are not loaded: {usable('libdcn_mxnet.so')[1]}")


@contextlib.contextmanager
def using(which: str) -> Iterator[None]:
    """Inside the block, new nodes get the 'own' or the 'stock' operators."""
    before = 'own' if 'own' in status().values() else 'stock'
    use(which)
    try:
        yield
    finally:
        use(before)


@functools.lru_cache(maxsize=None)
def core() -> ctypes.CDLL | None:
    """ctypes handle of libdcn.so, or None after one warning where it is not built or does not load."""
    return _load('libdcn.so', ctypes.CDLL)


def instruction_set() -> str | None:
    """Name of the instruction set whose kernels run, or None where there are none."""
    if core() is None:
        return None
    name = core().dcn_instruction_set
    name.restype = ctypes.c_char_p
    return name().decode()


def bf16_known() -> bool:
    """Whether convolutions can multiply numbers rounded to bfloat16 here (AVX-512 BF16)."""
    return instruction_set() == 'avx512_bf16'


def use_bf16(on: bool) -> None:
    """Multiply in bfloat16 in the forward pass of float32 deformable convolutions from now on, or in float32 again.

    Samples and weights are rounded to 8 bits of mantissa, sums stay float32: an output errs by about 0.24 % of its
    root-mean-square value. DCN_BF16=1 in the environment is the same from the start. A RuntimeError where the processor
    has no such products.
    """
    if on and not bf16_known():
        raise RuntimeError(
            f'no bfloat16 products here: they need a processor with AVX-512 BF16 and operators built for it, '
            f'found {instruction_set()}'
        )
    if core() is not None:
        core().dcn_use_bf16(int(on))


class _Products:
    """Who wants products in bfloat16, as the switch is one for all threads."""

    def __init__(self):
        self.turn = threading.Condition()
        self.inside = {False: 0, True: 0}
        self.switched = False


_PRODUCTS = _Products()


@contextlib.contextmanager
def products_in_bfloat16(wanted: bool) -> Iterator[None]:
    """Inside the block `use_bf16` is on where it is ``wanted``, and as it was elsewhere. Blocks of the two kinds wait
    for each other."""
    state = _PRODUCTS
    with state.turn:
        state.turn.wait_for(lambda: not state.inside[not wanted])
        state.inside[wanted] += 1
        if wanted and not core().dcn_bf16():
            use_bf16(True)
            state.switched = True
    try:
        yield
    finally:
        with state.turn:
            state.inside[wanted] -= 1
            if state.switched and not state.inside[True]:
                use_bf16(False)
                state.switched = False
            state.turn.notify_all()


def _check_instruction_set():
    asked = os.environ.get('DCN_ISA')
    if asked and instruction_set() not in (asked, None):
        _warn(
            f'DCN_ISA asks for {asked}, which this processor or this build does not have; {instruction_set()} is used'
        )


class Bindings:
    """The table of replacements inside libdcn_mxnet.so, and its way to libdcn_cuda.so."""

    def __init__(self, path: str | Path | None) -> None:
        self.serves_gpus = False
        self._library = ctypes.CDLL(path)  # RTLD_LOCAL: its symbols stay out of libmxnet's sight
        self._library.dcn_mxnet_error.restype = ctypes.c_char_p
        self._library.dcn_mxnet_name.restype = ctypes.c_char_p
        self._check(self._library.dcn_mxnet_init())

    def status(self) -> dict[str, str]:
        return {self._name(row): 'own' if self._library.dcn_mxnet_is_own(row) else 'stock' for row in self._rows()}

    def use(self, own: bool) -> None:
        for row in self._rows():
            self._check(self._library.dcn_mxnet_use(row, int(own)))

    def serve_gpus(self, path: str | Path | None, everywhere: bool = False) -> None:
        """From now on nodes of GPU contexts use the library at ``path``; the stock operators if that is None, or does
        not load (an OSError). ``everywhere``: CPU contexts too, for tests with emulated kernels."""
        self.serves_gpus = False
        self._check(self._library.dcn_mxnet_serve_gpus(path and str(path).encode(), int(everywhere)))
        self.serves_gpus = path is not None

    def _rows(self):
        return range(self._library.dcn_mxnet_count())

    def _name(self, row):
        name = self._library.dcn_mxnet_name(row).decode()
        return name[len(PREFIX) :] if name.startswith(PREFIX) else name

    def _check(self, failed):
        if failed:
            raise OSError(self._library.dcn_mxnet_error().decode())


@functools.lru_cache(maxsize=None)
def _bindings():
    bindings = _load('libdcn_mxnet.so', Bindings)
    if bindings is not None and gpu_libraries.gpu_build():
        _serve_gpus(bindings)
    return bindings


def _serve_gpus(bindings):
    path, how_to_run = cuda.BUILD / cuda.PRODUCT, build_module().how_to_run
    if build_module('build_cuda.py').is_stale(path):
        _warn(f'{cuda.PRODUCT} is older than its sources; run: {how_to_run("build_cuda.py")}')
    try:
        bindings.serve_gpus(path if path.exists() else None)
    except OSError as error:
        _warn(
            f'{cuda.PRODUCT} does not load ({error}); run: {how_to_run("build_cuda.py")} --force (GPUs get the '
            'stock operators)'
        )


def _load(name, loader):
    """The loaded library, or None after one warning."""
    how_to_run = build_module().how_to_run
    fits, sentence = usable(name)
    if not fits:
        return _warn(f'{sentence} (the stock operators are used)')
    if sentence:
        _warn(sentence)
    try:
        return loader(str(build_module().BUILD / name))
    except (OSError, AttributeError) as error:  # a missing symbol is either, depending on who misses it
        return _warn(f'{name} does not load ({error}); run: {how_to_run()} --force (the stock operators are used)')


@functools.lru_cache(maxsize=None)
def _warn(sentence):
    """One warning per sentence and process, at the line that is not ours: the user's import, as a rule."""
    frame, level = sys._getframe(), 1
    while frame.f_back and (_is_import(frame) or frame.f_globals.get('__name__', '').startswith('dcn.')):
        level += not _is_import(frame)
        frame = frame.f_back
    warnings.warn(sentence, RuntimeWarning, stacklevel=level)


def _is_import(frame):
    """Python's own machinery, which stacklevel passes over."""
    return frame.f_code.co_filename.startswith('<frozen importlib')
