"""The same results from the code for every instruction set, and no code of one among that of another."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from dcn.compiled import build_module
from dcn.operators import native
from tests.operators import cases, worker

NARROWER = ('avx512', 'avx2', 'portable')


@pytest.fixture(scope='module')
def results(repository, tmp_path_factory, need_own):
    """results(instruction set, threads) -> results of every case; each process runs once."""
    folder, found = tmp_path_factory.mktemp('results'), {}

    def run(name, threads='1'):
        if (name, threads) not in found:
            path = str(folder / f'{name}-{threads}.npz')
            process = worker.start(repository, 'results', path, DCN_ISA=name, OMP_NUM_THREADS=threads)
            assert process.returncode == 0, process.stderr[-2000:]
            found[name, threads] = np.load(path)
        return found[name, threads]

    return run


@pytest.fixture(scope='module')
def need_own(operators):
    if 'own' not in operators.status().values():
        pytest.skip("the project's operators are not active")


@pytest.fixture
def need_bf16():
    if not native.bf16_known():
        pytest.skip('the processor has no bfloat16 products')
    yield
    native.use_bf16(False)


@pytest.mark.parametrize('name', NARROWER)
def test_the_environment_chooses_the_instruction_set(name, repository, need_own):
    """A set that this processor or this build lacks is passed over with a warning."""
    process = worker.start(repository, 'isa', DCN_ISA=name)
    used = process.stdout.strip()
    assert used == name or f'DCN_ISA asks for {name}' in process.stderr


def test_an_unknown_instruction_set_is_passed_over_with_a_warning(repository, need_own):
    process = worker.start(repository, 'isa', DCN_ISA='avx1024')
    assert process.returncode == 0
    assert 'DCN_ISA asks for avx1024, which this processor or this build does not have' in process.stderr
    assert process.stdout.strip() == native.instruction_set()


@pytest.mark.parametrize('name', NARROWER)
def test_narrower_instruction_sets_give_the_same_values(name, results):
    """Convolutions add up in another order: a few roundings of 600 terms. The pooling operators do not."""
    usual, other = results(native.instruction_set()), results(name)
    assert usual.files == other.files
    for key in usual.files:
        if 'Convolution' in key:
            allowed = 2e-6 * max(np.abs(usual[key]).max(initial=0), 1)
            np.testing.assert_allclose(other[key], usual[key], rtol=0, atol=allowed, err_msg=key)
        else:
            np.testing.assert_array_equal(other[key], usual[key], err_msg=key)


@pytest.mark.parametrize('name', NARROWER)
def test_any_number_of_threads_is_bit_equal(name, results):
    one, two = results(name, '1'), results(name, '2')
    assert not [key for key in one.files if not np.array_equal(one[key], two[key])]


def test_wide_vectors_stand_only_in_code_for_wide_vectors(need_own):
    """What several objects carry, a linker keeps once: a copy with wide vectors would end older processors."""
    if not shutil.which('objdump'):
        pytest.skip('objdump is not installed')
    code = subprocess.run(
        ['objdump', '-d', '--no-show-raw-insn', str(build_module().BUILD / 'libdcn.so')],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    function, strays = '', set()
    for line in code.splitlines():
        start = re.match(r'[0-9a-f]+ <(.*)>:', line)
        function = start.group(1) if start else function
        if '%zmm' in line and 'avx512' not in function or '%ymm' in line and 'avx' not in function:
            strays.add(function)
    assert not strays


def test_products_in_bfloat16_err_by_some_thousandths(need_bf16):
    """Both factors have 8 bits: errors of up to 2 ** -8 a product, at random, beside products of about one."""
    case = cases.convolution('large')
    exact, exact_grads = cases.run(case)
    native.use_bf16(True)
    rounded, grads = cases.run(case)
    error = np.sqrt(np.mean((rounded - exact) ** 2) / np.mean(exact**2))
    assert 2e-4 < error < 5e-3
    for name, grad in exact_grads.items():  # the backward pass stays as it is
        np.testing.assert_array_equal(grads[name], grad, err_msg=name)


def test_the_environment_switches_to_bfloat16(repository, tmp_path, results, need_bf16):
    process = worker.start(repository, 'results', str(tmp_path / 'rounded.npz'), DCN_BF16='1')
    assert process.returncode == 0, process.stderr[-2000:]
    rounded, usual = np.load(str(tmp_path / 'rounded.npz')), results(native.instruction_set())
    changed = [key for key in usual.files if not np.array_equal(usual[key], rounded[key])]
    assert changed and all('Convolution' in key and key.endswith('output') for key in changed)


def test_bfloat16_is_refused_where_the_processor_has_none(monkeypatch):
    monkeypatch.setattr(native, 'instruction_set', lambda: 'avx2')
    with pytest.raises(RuntimeError, match='AVX-512 BF16.*avx2'):
        native.use_bf16(True)
