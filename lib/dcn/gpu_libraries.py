"""Where MXNet's GPU build finds the CUDA libraries that requirements-gpu.txt installs, without a CUDA toolkit.

mxnet-cu112 links ten libraries of CUDA 11 and looks for them in the system's folders. The packages of NVIDIA on PyPI
put them into site-packages/nvidia, where the dynamic loader does not look; a library that is loaded already is not
looked for. So this loads them first. On the CPU build it does nothing.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from dcn.errors import UserError

DRIVER = 'libcuda.so.1'  # comes with the NVIDIA driver, not from PyPI
# (folder below nvidia/, library); each stands behind those that it needs.
LIBRARIES = (
    ('cuda_runtime', 'libcudart.so.11.0'),
    ('cublas', 'libcublasLt.so.11'),
    ('cublas', 'libcublas.so.11'),
    ('cufft', 'libcufft.so.10'),
    ('curand', 'libcurand.so.10'),
    ('cusolver', 'libcusolver.so.11'),
    ('cuda_nvrtc', 'libnvrtc.so.11.2'),
    ('nvtx', 'libnvToolsExt.so.1'),
    ('nccl', 'libnccl.so.2'),
    ('cudnn', 'libcudnn.so.8'),
)


def preload() -> None:
    """Call before ``import mxnet``. UserError with one sentence where MXNet's GPU build cannot be loaded here."""
    if 'mxnet' in sys.modules or not gpu_build():
        return
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        raise UserError(
            f'the GPU build of MXNet (mxnet-cu112) is installed, but the NVIDIA driver ({DRIVER}) is not; '
            'install the driver, or run ./setup.sh --cpu for the CPU build'
        ) from None
    for folder, name in LIBRARIES:
        _load(folder, name)


def gpu_build() -> bool:
    """Whether the MXNet that is installed is the one for GPUs."""
    try:
        importlib.metadata.distribution('mxnet-cu112')
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _load(folder, name):
    """Load one library from its package, or from the system where that is not installed."""
    here = [Path(parent, folder, 'lib', name) for parent in _package_folders()]
    found = [str(path) for path in here if path.exists()]
    try:
        ctypes.CDLL(found[0] if found else name)
    except OSError as error:
        raise UserError(
            f'the GPU build of MXNet (mxnet-cu112) needs {name} of CUDA 11, which does not load ({error}); '
            'run ./setup.sh, or pip install -r requirements-gpu.txt'
        ) from None


def _package_folders():
    """The folders of the package ``nvidia``, which several distributions share."""
    spec = importlib.util.find_spec('nvidia')
    return list(spec.submodule_search_locations or ()) if spec else []
