"""PyTorch's devices by their numbers."""

import torch


def cpu(number: int) -> torch.device:
    """The CPU; all numbers mean the same cores."""
    return torch.device('cpu')


def gpu(number: int) -> torch.device:
    """A GPU."""
    return torch.device('cuda', number)


def count_gpus() -> int:
    """How many GPUs PyTorch sees."""
    return torch.cuda.device_count()
