"""The way of a GPU context in MXNet, without a GPU: the binding opens the emulated kernels, and CPU contexts take it.

Everything between a node and the C interface of libdcn_cuda.so is the same; streams, devices and MXNet's memory on a
GPU are what this cannot show.
"""

import functools
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

from dcn import gpu_libraries
from dcn.operators import cuda, native
from tests.operators import cases, cuda_checks, test_contrib_proposal
from tests.operators.cuda_runner import BEFORE_ADD, assert_right, in_half
from tests.test_gpu_libraries import driver_without_gpu

import mxnet as mx

CASES = {
    'DeformableConvolution': functools.partial(cases.convolution, cuda_checks.ASYMMETRIC),
    'DeformableConvolution without bias': functools.partial(
        cases.convolution, 'deformable groups 4 inside groups 2, no bias'
    ),
    'ModulatedDeformableConvolution': functools.partial(cases.convolution, cuda_checks.ASYMMETRIC, modulated=True),
    **{name: functools.partial(make, 'parts per class') for name, make in cuda_checks.POOLINGS.items()},
}
EVERY = pytest.mark.parametrize('name', CASES)
FALLING_BACK = [name for name in CASES if 'Modulated' not in name]  # stock's has no gradients on the CPU


@pytest.fixture
def bindings(need_own):
    """The table of operators; GPU contexts get the stock operators after the test, as before."""
    need_own('PSROIPooling', 'has no binding')
    yield native._bindings()
    native._bindings().serve_gpus(None)


@pytest.fixture
def on_gpu(bindings, emulated_kernels):
    """New nodes take the way of a GPU context."""
    bindings.serve_gpus(emulated_kernels, everywhere=True)


@EVERY
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_outputs_and_gradients_are_right(name, dtype, on_gpu):
    case = CASES[name](dtype)
    boundary = {'boundary': 'v1'} if name.startswith('Deformable') and 'Conv' in name else {}
    assert_right(cases.run(case, **boundary), case, **boundary)


def test_sampling_rule_of_the_update(on_gpu):
    case = CASES['DeformableConvolution']()
    assert_right(cases.run(case, boundary='v2'), case, boundary='v2')


@EVERY
def test_half_precision(name, on_gpu):
    """Stored as half precision; RoIs and their gradients are float32."""
    case = in_half(CASES[name]())
    out, grads = cases.run(case)
    assert out.dtype == np.float16 and grads['data'].dtype == np.float16
    assert 'rois' not in grads or grads['rois'].dtype == np.float32
    assert_right((out, grads), case)


@EVERY
def test_requests(name, on_gpu):
    case = CASES[name]()
    written, added = (
        cases.run(case)[1],
        cases.run(case, 'add', grads={key: np.full_like(array, BEFORE_ADD) for key, array in case.inputs.items()})[1],
    )
    for key, gradient in added.items():
        np.testing.assert_allclose(gradient, written[key] + BEFORE_ADD, rtol=1e-5, atol=1e-4, err_msg=key)
    alone = cases.run(case, {'data': 'write'})[1]  # the others: null
    assert list(alone) == ['data']
    np.testing.assert_allclose(alone['data'], written['data'], rtol=1e-5, atol=1e-5)


@test_contrib_proposal.NAMES
def test_proposals_are_those_of_the_cpu(name, bindings, emulated_kernels):
    inputs, attributes = cases.proposal(name)
    expected = test_contrib_proposal.run(inputs, attributes, 'own')
    bindings.serve_gpus(emulated_kernels, everywhere=True)
    for found, wanted in zip(test_contrib_proposal.run(inputs, attributes, 'own'), expected):
        np.testing.assert_array_equal(found, wanted)  # one compiler, one exponential: bit for bit


def test_gradients_of_proposals_are_zero(on_gpu):
    inputs, attributes = cases.proposal('usual')
    arrays = {key: mx.nd.array(value) for key, value in inputs.items()}
    for key, array in arrays.items():
        array.attach_grad('add' if key == 'im_info' else 'write')
        array.grad[:] = 7
    with mx.autograd.record():
        rois = mx.nd.contrib.Proposal(**arrays, **attributes)
    rois.backward()
    assert {key: set(array.grad.asnumpy().ravel()) for key, array in arrays.items()} == {
        'cls_prob': {0},
        'bbox_pred': {0},
        'im_info': {7},
    }


# ---- what is refused ----


def test_rois_in_half_precision_are_refused(on_gpu):
    case = cases.cast(CASES['PSROIPooling'](), np.float16)
    with pytest.raises(mx.base.MXNetError, match='PSROIPooling: rois must be float32 where the others are float16'):
        cases.run(case)


def test_half_precision_of_convolutions_stays_refused_on_the_cpu(bindings):
    with pytest.raises(mx.base.MXNetError, match='needs float32 or float64, found float16'):
        cases.run(cases.cast(CASES['DeformableConvolution'](), np.float16))


def test_a_cpu_pooling_of_float16_data_needs_float16_rois(bindings, emulated_kernels):
    """Beside GPU kernels RoIs are float32, which the stock operator on the CPU would misread."""
    bindings.serve_gpus(emulated_kernels)
    with pytest.raises(mx.base.MXNetError, match='PSROIPooling: on the CPU float16 data need float16 rois'):
        cases.run(in_half(CASES['PSROIPooling']()))


def test_what_the_library_refuses_comes_with_its_sentence(on_gpu):
    inputs, attributes = cases.proposal('usual')
    inputs['cls_prob'] = np.zeros((1, 2 * 65, 2, 2), np.float32)
    inputs['bbox_pred'] = np.zeros((1, 4 * 65, 2, 2), np.float32)
    with pytest.raises(mx.base.MXNetError, match='^Proposal: the shape is not that of proposals, of at most 64 ratios'):
        test_contrib_proposal.run(inputs, dict(attributes, scales=tuple(range(1, 66)), ratios=(1,)), 'own')


# ---- without the library ----


@pytest.mark.parametrize('name', FALLING_BACK)
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_without_a_library_the_stock_operators_go_on(name, dtype, bindings):
    """Bit for bit, backward too: the node hands them all that they read there."""
    case = CASES[name](dtype)
    with native.using('stock'):
        stock_out, stock_grads = cases.run(case)
    bindings.serve_gpus(None, everywhere=True)
    out, grads = cases.run(case)
    np.testing.assert_array_equal(out, stock_out)
    for key, gradient in grads.items():
        np.testing.assert_array_equal(gradient, stock_grads[key], err_msg=key)


@test_contrib_proposal.NAMES
def test_without_a_library_stock_proposals_go_on(name, bindings):
    inputs, attributes = cases.proposal(name)
    expected = test_contrib_proposal.run(inputs, attributes, 'stock')
    bindings.serve_gpus(None, everywhere=True)
    for found, wanted in zip(test_contrib_proposal.run(inputs, attributes, 'own'), expected):
        np.testing.assert_array_equal(found, wanted)


def test_a_rule_that_stock_lacks_is_refused(bindings):
    bindings.serve_gpus(None, everywhere=True)
    with pytest.raises(mx.base.MXNetError, match='boundary v2 on a GPU needs libdcn_cuda.so; run: python operator_cxx'):
        cases.run(CASES['DeformableConvolution'](), boundary='v2')


# ---- which library ----


def test_status_tells_what_gpus_get(bindings, emulated_kernels, monkeypatch):
    monkeypatch.setattr(cuda, 'BUILD', emulated_kernels.parent)
    monkeypatch.setattr(cuda, 'PRODUCT', 'libdcn_of_nobody.so')
    native._serve_gpus(bindings)
    assert set(native.status('gpu').values()) == {'stock'} and set(native.status().values()) == {'own'}
    monkeypatch.setattr(cuda, 'PRODUCT', emulated_kernels.name)
    native._serve_gpus(bindings)
    assert native.status('gpu') == native.status()
    with native.using('stock'):
        assert set(native.status('gpu').values()) == {'stock'}


@pytest.mark.parametrize(
    'other, words', [('manifest.json', 'invalid ELF header'), ('libdcn.so', 'has no dcn_cuda_error: build it again')]
)
def test_a_library_that_does_not_load_is_one_warning(other, words, bindings, emulated_kernels, monkeypatch):
    """``other``: a file of the build that is no library for GPUs."""
    bindings.serve_gpus(emulated_kernels)
    monkeypatch.setattr(cuda, 'BUILD', emulated_kernels.parent)
    monkeypatch.setattr(cuda, 'PRODUCT', other)
    with pytest.warns(RuntimeWarning, match=f'{re.escape(other)} does not load .*{words}.*build_cuda.py --force'):
        native._serve_gpus(bindings)
    assert set(native.status('gpu').values()) == {'stock'}


def test_a_library_older_than_its_sources_is_used_with_a_warning(bindings, emulated_kernels, monkeypatch, tmp_path):
    for name, content in (('libdcn_cuda.so', emulated_kernels.read_bytes()), ('libdcn_cuda.sources', b'of last year')):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(cuda, 'BUILD', tmp_path)
    native._warn.cache_clear()
    with pytest.warns(RuntimeWarning, match='libdcn_cuda.so is older than its sources; run: python operator_cxx/build'):
        native._serve_gpus(bindings)
    assert native.status('gpu') == native.status()
    (tmp_path / 'libdcn_cuda.sources').write_text(emulated_kernels.with_suffix('.sources').read_text())
    native._warn.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        native._serve_gpus(bindings)


# ---- GPU contexts of MXNet's GPU build ----


def test_gpu_contexts_of_the_gpu_build(repository, bindings, emulated_kernels, tmp_path):
    """Device, stream, workspace and arrays are those that MXNet gives to operators on its second GPU; CUDA itself is
    a stand-in."""
    if not gpu_libraries.gpu_build():
        pytest.skip('the CPU build of MXNet is installed')
    runtime = tmp_path / 'runtime.so'
    subprocess.run(
        ['gcc', '-shared', '-fPIC', '-O1', str(repository / 'tests/operators/stand_in_runtime.c'), '-o', str(runtime)],
        check=True,
    )
    environment = dict(os.environ, LD_PRELOAD=str(runtime), LD_LIBRARY_PATH=str(driver_without_gpu(tmp_path)))
    process = subprocess.run(
        [sys.executable, '-m', 'tests.operators.gpu_worker', str(emulated_kernels)],
        cwd=str(repository),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    done = process.stdout.splitlines()
    assert process.returncode == 0 and done[-1] == 'stock', process.stdout + process.stderr[-3000:]
    assert len(done) == 3 * 6 + 2 + 1  # operators in three types, proposals, the stock operator
