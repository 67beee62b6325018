#!/usr/bin/env python3
"""All checks and benchmarks of the operators on a GPU, in a few minutes:

    python tools/cuda_check.py [--json FILE] [--skip sanitizer timing ...]

Needs an NVIDIA GPU, nvcc, Python, NumPy and PyTorch (torchvision, where it is installed, is timed beside). It builds
the kernels for this GPU, compares values and gradients with the float64 reference implementation on arrays between
NaNs, runs compute-sanitizer, and times the operators beside the dense convolution. Where MXNet's GPU build is installed
and the GPU is one that it can use, MXNet's operators run on it too. The work is in tests/operators/cuda_check.py, which
uses the cases and the reference implementation of the tests."""

import sys

from with_tests import run

if __name__ == '__main__':
    sys.exit(run('tests.operators.cuda_check'))
