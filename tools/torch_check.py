#!/usr/bin/env python3
"""All checks of the PyTorch engine on a GPU, in under six minutes:

    python tools/torch_check.py [--json FILE] [--skip PART ...] [--device cpu --small]

Needs an NVIDIA GPU, nvcc (for the project's kernels; without it PyTorch's own operations are checked), Python, NumPy
and PyTorch, no MXNet. Parts: kernels, the operators against the float64 references; networks, small networks of every
family on the GPU against the CPU; steps, twenty training steps likewise; timing, images a second of the four families
at real size, the share of the project's operators, and torchvision's Faster R-CNN where it is installed. The work is in
tests/torch/gpu_check.py.
"""

import sys

from with_tests import run

if __name__ == '__main__':
    sys.exit(run('tests.torch.gpu_check'))
