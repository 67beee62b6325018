"""MXNet's GPU build and its CUDA libraries. Where that build is installed it is imported for real, without a GPU: the
driver is a stand-in that knows of none."""

import ctypes
import os
import shutil
import subprocess
import sys

import pytest

from dcn import gpu_libraries
from dcn.errors import UserError

# What libmxnet.so of mxnet-cu112 1.9.1 asks of the driver when it is loaded, and the CUDA runtime when it is used. Each
# answers CUDA_ERROR_NO_DEVICE.
DRIVER_FUNCTIONS = (
    'cuInit cuDriverGetVersion cuDeviceGetCount cuDeviceGet cuDevicePrimaryCtxRetain cuGetErrorString '
    'cuGraphKernelNodeGetParams cuGraphNodeGetType cuLaunchKernel cuModuleGetFunction cuModuleLoadData '
    'cuModuleLoadDataEx cuModuleUnload'
).split()

SMALL_NETWORK = """
import dcn.operators
import mxnet as mx
import numpy as np

assert mx.runtime.Features().is_enabled('CUDA') and mx.context.num_gpus() == 0
data = mx.sym.Variable('data')
hidden = mx.sym.Activation(mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, name='conv'), act_type='relu')
out = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=3, name='fc'), name='softmax')
executor = out.simple_bind(mx.cpu(), data=(2, 3, 8, 8))
for name, array in executor.arg_dict.items():
    array[:] = 0.5 if name != 'softmax_label' else 1
executor.forward(is_train=True)
executor.backward()
assert np.allclose(executor.outputs[0].asnumpy(), 1 / 3)            # equal weights, equal scores
assert np.allclose(executor.grad_dict['fc_bias'].asnumpy(), [2 / 3, -4 / 3, 2 / 3])   # both images are of class 1
print('ran')
"""


def test_gpu_build_is_imported_and_computes_without_a_toolkit_or_a_gpu(repository, tmp_path):
    if not gpu_libraries.gpu_build():
        pytest.skip('the CPU build of MXNet is installed')
    if not shutil.which('gcc'):
        pytest.skip('gcc, which makes the stand-in for the driver, is not installed')
    environment = dict(os.environ, LD_LIBRARY_PATH=str(driver_without_gpu(tmp_path)))
    process = subprocess.run(
        [sys.executable, '-c', SMALL_NETWORK],
        cwd=str(repository),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.stdout == 'ran\n', process.stderr


def driver_without_gpu(folder):
    """The folder, with a libcuda.so.1 in it."""
    source = folder / 'driver.c'
    source.write_text('\n'.join(f'int {name}(void) {{ return 100; }}' for name in DRIVER_FUNCTIONS) + '\n')
    subprocess.run(
        [
            'gcc',
            '-shared',
            '-fPIC',
            f'-Wl,-soname,{gpu_libraries.DRIVER}',
            str(source),
            '-o',
            str(folder / gpu_libraries.DRIVER),
        ],
        check=True,
    )
    return folder


# ---- on any machine, with a stand-in for the loader ----


@pytest.fixture
def loader(monkeypatch, tmp_path):
    """The GPU build is installed, MXNet is not loaded yet, and packages lie in tmp_path; loader.absent: names that do
    not load; loader.loaded: what was loaded."""

    class Loader:
        def __init__(self):
            self.absent, self.loaded = set(), []

        def load(self, name):
            if os.path.basename(name) in self.absent:
                raise OSError(f'{name}: cannot open shared object file')
            self.loaded.append(name)

    found = Loader()
    monkeypatch.delitem(sys.modules, 'mxnet', raising=False)
    monkeypatch.setattr(gpu_libraries, 'gpu_build', lambda: True)
    monkeypatch.setattr(gpu_libraries, '_package_folders', lambda: [str(tmp_path / 'elsewhere'), str(tmp_path)])
    monkeypatch.setattr(ctypes, 'CDLL', found.load)
    return found


def test_libraries_are_loaded_from_their_packages_else_from_the_system(loader, tmp_path):
    package = tmp_path / 'cudnn' / 'lib' / 'libcudnn.so.8'
    package.parent.mkdir(parents=True)
    package.write_text('')
    gpu_libraries.preload()
    names = [name for _, name in gpu_libraries.LIBRARIES]
    assert loader.loaded == [gpu_libraries.DRIVER] + names[:-1] + [str(package)]


def test_a_missing_driver_is_named(loader):
    loader.absent = {gpu_libraries.DRIVER}
    with pytest.raises(UserError, match='NVIDIA driver .* install the driver, or run ./setup.sh --cpu'):
        gpu_libraries.preload()


def test_a_missing_library_is_named(loader):
    loader.absent = {'libcublas.so.11'}
    with pytest.raises(UserError, match='needs libcublas.so.11 of CUDA 11, .* pip install -r requirements-gpu.txt'):
        gpu_libraries.preload()


def test_nothing_is_loaded_for_the_cpu_build_or_after_mxnet(loader, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mxnet', ctypes)  # any module
    gpu_libraries.preload()
    monkeypatch.delitem(sys.modules, 'mxnet')
    monkeypatch.setattr(gpu_libraries, 'gpu_build', lambda: False)
    gpu_libraries.preload()
    assert not loader.loaded


def test_every_library_comes_with_the_requirements(repository):
    lines = (repository / 'requirements-gpu.txt').read_text().splitlines()
    packages = {line.split('==')[0] for line in lines}
    assert 'mxnet-cu112' in packages
    for folder, _ in gpu_libraries.LIBRARIES:
        assert f'nvidia-{folder.replace("_", "-")}-cu11' in packages
