"""The operators for GPUs without one: the kernels themselves, compiled for the CPU and run thread by thread
(operator_cxx/cuda/emulator.h), against the float64 reference implementation; and that they compile for every target.

What only a GPU can show is in tools/cuda_check.py.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dcn import gpu_libraries
from dcn.operators import cuda, reference
from dcn.operators.proposal import Rule, propose
from tests.operators import cases, cuda_check, cuda_checks
from tests.operators.cuda_runner import HostMemory, Runner

CHECKS = cuda_checks.every_check()
# one of every kernel and element type; the rest takes minutes when threads take turns
QUICK = [
    f'convolution, {cuda_checks.ASYMMETRIC}, v1',
    f'convolution, {cuda_checks.ASYMMETRIC}, v2, float64',
    'convolution, groups 3 across deformable groups 2, half',
    'convolution, 1x1, tf32',
    'modulated convolution, deformable groups 4 inside groups 2, no bias',
    'convolution, filters for tiles of 128 x 64, v1',
    'convolution, offsets far outside, v2',
    'convolution, empty batch',
    'convolution, every border region, v1',
    'convolution, every border region, v2',
    'convolution, offsets that are no numbers, v1',
    'convolution, offsets that are no numbers, v2',
    'convolution, add, half',
    'DeformablePSROIPooling, parts per class',
    'DeformablePSROIPooling, parts coarser than bins, half',
    'DeformablePSROIPooling, add, half',
    'DeformablePSROIPooling without trans, scale 0.3',
    'PSROIPooling, groups coarser than bins',
    'ROIPooling, scale 0.3',
    'ROIPooling, bins without a largest cell',
    'NMS of 33',
    'NMS of 1100',
    'NMS of nothing',
    'NMS, NaN scores and boxes',
    'proposals, maps of a pyramid',
    'proposals, few survive and repeat',
    'proposals, all too small',
    'a workspace that is too small is refused',
    'an impossible shape is refused',
]
QUICK += [name for name in CHECKS if 'no RoIs' in name or 'contrib' in name]


@pytest.fixture(scope='module')
def runner(emulated_kernels):
    return Runner(cuda.Library(emulated_kernels), HostMemory)


@pytest.mark.parametrize('name', QUICK)
def test_kernel(name, runner):
    CHECKS[name](runner)


@pytest.mark.full
@pytest.mark.parametrize('name', sorted(set(CHECKS) - set(QUICK)))
def test_kernel_on_the_whole_grid(name, runner):
    CHECKS[name](runner)


@pytest.mark.parametrize(
    'make',
    [
        lambda: cases.convolution('groups 3 across deformable groups 2'),
        lambda: cases.deformable_pooling('parts per class'),
    ],
)
def test_the_order_of_threads_changes_nothing_but_atomic_sums(make, runner, monkeypatch):
    """A barrier that is missing shows when the threads of a block run the other way round."""
    case = make()
    out, grads = runner.run(case)
    monkeypatch.setenv('DCN_EMULATOR_REVERSE', '1')
    reverse_out, reverse_grads = runner.run(case)
    np.testing.assert_array_equal(reverse_out, out)
    for name, gradient in grads.items():
        if name == 'data':
            np.testing.assert_allclose(reverse_grads[name], gradient, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(reverse_grads[name], gradient, err_msg=name)


def test_nms_in_either_order_of_threads(runner, monkeypatch):
    monkeypatch.setenv('DCN_EMULATOR_REVERSE', '1')
    dets = cuda_checks.many_boxes(200)
    np.testing.assert_array_equal(runner.nms(dets, 0.5, 200), reference.nms(dets, 0.5))


def test_proposals_are_those_of_the_custom_operator(runner):
    """The rows before the first repetition; the Custom operator draws the repetitions at random."""
    maps, infos = cuda_checks.proposal_inputs((6,))
    rois, scores, counts = runner.proposal(maps, infos, 200, 50, 0.7, 16)
    rule = Rule(cuda_checks.SCALES, cuda_checks.RATIOS, 200, 50, 0.7, 16)
    for image, info in enumerate(infos):
        levels = [(score[image, score.shape[1] // 2 :], delta[image], stride) for score, delta, _, stride in maps]
        boxes, best = propose(levels, info, rule, 'proposal')
        first, count = image * 50, counts[image]
        assert count > 5
        np.testing.assert_allclose(rois[first : first + count, 1:], boxes[:count], rtol=1e-5, atol=1e-3)
        np.testing.assert_array_equal(scores[first : first + count], best[:count])


# ---- half precision of the emulator ----


def test_emulated_half_precision_rounds_as_numpy_does(runner):
    """Every kind of float32 through a 1 x 1 convolution by 1: subnormal, halfway, too large."""
    values = np.float16([0, -0.0, 1, 1.0009765625, 6e-8, 6.1e-5, 65504, -65504, 0.333251953125, 2048, -2.5])
    case = cases.Case(
        'DeformableConvolution',
        {
            'data': values.reshape(1, 1, 1, -1),
            'offset': np.zeros((1, 2, 1, len(values)), np.float16),
            'weight': np.ones((1, 1, 1, 1), np.float16),
        },
        dict(kernel=(1, 1), stride=(1, 1), pad=(0, 0), dilate=(1, 1), num_group=1, num_deformable_group=1),
        np.zeros((1, 1, 1, len(values)), np.float16),
    )
    np.testing.assert_array_equal(runner.run(case, 'null')[0].ravel(), values)


# ---- building ----


def test_without_nvcc_there_is_one_sentence(repository):
    script = str(repository / 'operator_cxx' / 'build_cuda.py')
    environment = dict(os.environ, NVCC='/nowhere/nvcc')
    process = subprocess.run(
        [sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1 and not process.stdout
    assert process.stderr.startswith('No CUDA compiler was found') and process.stderr.count('\n') == 1


def _nvcc(build_cuda):
    nvcc = build_cuda.find_nvcc()
    if nvcc is None:
        pytest.skip('no nvcc here')
    return nvcc


def test_an_architecture_that_nvcc_does_not_know_is_named(build_cuda):
    _nvcc(build_cuda)
    with pytest.raises(build_cuda.BuildError, match='does not compile for 12345; it knows .*90'):
        build_cuda.build([12345])


def test_compiles_for_the_newest_target(build_cuda, repository, tmp_path):
    """One short source: a look at the compiler's flags. All of them for all targets is a test of --full."""
    nvcc = _nvcc(build_cuda)
    known = [number for number in build_cuda.ARCHITECTURES if number in build_cuda.supported_architectures(nvcc)]
    path, target = repository / 'operator_cxx' / 'cuda' / 'nms.cu', tmp_path / 'object.o'
    build_cuda.core.run(
        [
            nvcc,
            *build_cuda.NVCC_FLAGS,
            f'-arch=sm_{known[-1]}',
            *build_cuda.core.wanted_flags(path),
            '-c',
            str(path),
            '-o',
            str(target),
        ],
        'compiling nms',
    )
    assert target.stat().st_size > 0


@pytest.mark.full
def test_compiles_for_every_target(build_cuda):
    _nvcc(build_cuda)
    with build_cuda.core.build_lock('lock-cuda'):
        assert build_cuda.PRODUCT in build_cuda.build(force=True)


def test_a_library_that_is_not_built_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, 'BUILD', tmp_path)
    cuda.library.cache_clear()
    with pytest.raises(OSError, match='libdcn_cuda.so is not built; on a machine with nvcc run: python'):
        cuda.library()


def test_importing_the_operators_loads_no_gpu_library(repository):
    if gpu_libraries.gpu_build():
        pytest.skip('MXNet itself loads them')
    program = (
        'import dcn.operators, dcn.operators.cuda; '
        'print([line for line in open("/proc/self/maps") if "dcn_cuda" in line or "libcuda" in line])'
    )
    process = subprocess.run(
        [sys.executable, '-c', program],
        cwd=str(repository),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0 and process.stdout.strip().splitlines()[-1] == '[]', process.stderr


# ---- the script for machines with a GPU ----


def _check_script(repository, *arguments):
    return subprocess.run(
        [sys.executable, str(repository / 'tools' / 'cuda_check.py'), *arguments],
        cwd=str(repository.parent),
        capture_output=True,
        text=True,
    )


def test_check_script_says_in_one_sentence_that_there_is_no_gpu(repository):
    process = _check_script(repository)
    if process.returncode != 2:
        pytest.skip('there is a GPU here')
    assert process.stderr.startswith('Nothing was checked: no GPU to be seen (')
    assert process.stderr.count('\n') == 1 and not process.stdout


def test_check_script_on_the_emulated_kernels(runner, repository, tmp_path):
    path = tmp_path / 'found.json'
    process = _check_script(repository, '--emulated', '--only', 'proposals, few', '--json', str(path))
    assert process.returncode == 0, process.stdout + process.stderr
    assert 'values: 1 of 1 checks right' in process.stdout
    assert json.loads(path.read_text())['values'] == {'proposals, few survive and repeat': 'right'}


def test_check_script_reports_what_is_wrong():
    """A library whose NMS keeps nothing is found out by every check of it."""

    class Broken:
        def nms(self, dets, thresh, max_keep):
            return np.zeros(0, np.int64)

    found = cuda_check.check_values(Broken(), 'NMS of 33')
    assert list(found) == ['NMS of 33'] and 'mismatch' in found['NMS of 33'].lower()
    assert not cuda_check.passed({'values': found})
    assert cuda_check.passed({'values': {'a': 'right'}, 'sanitizer': {'memcheck': 'clean'}})
    assert not cuda_check.passed({'sanitizer': {'memcheck': 'Invalid __global__ write'}})
    assert not cuda_check.passed({'mxnet': 'PSROIPooling: invalid device function'})
    assert cuda_check.passed({'mxnet': cuda_check.TOO_NEW})
    assert cuda_check.passed({'sanitizer': {'compute-sanitizer': cuda_check.NOT_INSTALLED}})


def test_check_script_does_not_take_a_tool_that_was_cut_off_for_clean(tmp_path, monkeypatch):
    tool = tmp_path / 'compute-sanitizer'
    tool.write_text('#!/bin/sh\nexec sleep 60\n')
    tool.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setattr(cuda_check, 'TOOLS', ('memcheck',))
    found = cuda_check.check_sanitizer('a library', seconds=0.1)
    assert found['memcheck'].startswith('cut off after 0.1 s')
    assert not cuda_check.passed({'sanitizer': found})


def test_check_script_table():
    text = cuda_check.table({'a shape': {'own': 2.0, 'own backward': 6.0, 'dense': 1.0, 'torchvision': 5.0}})
    assert text.splitlines()[1].split() == ['a', 'shape', '2.000', '6.000', '1.000', '5.000', '0.50', '2.50']
