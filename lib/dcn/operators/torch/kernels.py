"""Which kernels compute on a tensor's device, and how tensors reach them: raw pointers and the current stream."""

import contextlib
import functools
import warnings
from typing import Iterator, List, Optional, Tuple, Union

import torch

from dcn.operators import cuda, native, structs
from dcn.operators.core import Core

_DTYPES = {torch.float32: structs.FLOAT32, torch.float64: structs.FLOAT64, torch.float16: structs.FLOAT16}
# element types of the kernels on a device; others are computed in float32
_COMPUTED = {'cpu': (torch.float32, torch.float64), 'cuda': (torch.float32, torch.float64, torch.float16)}


def origin(device: Union[str, torch.device]) -> str:
    """'own' where the project's kernels compute on ``device`` ('cpu', 'cuda:1'), 'torch' where PyTorch does."""
    return 'torch' if library(torch.device(device).type) is None else 'own'


@functools.lru_cache(maxsize=None)
def library(kind: str) -> Union[Core, cuda.Library, None]:
    """The kernels for devices of a ``kind`` ('cpu', 'cuda'), None where there are none; then one warning."""
    if kind == 'cpu':
        core = native.core()  # which warns
        return None if core is None else Core(core)
    try:
        if kind == 'cuda':
            return cuda.library()
        reason = f'the operators have no kernels for devices of the kind {kind}'
    except OSError as error:
        reason = str(error)
    warnings.warn(f'{reason} (PyTorch itself computes the operators meanwhile, slowly)', RuntimeWarning, stacklevel=2)
    return None


def gpu_library(tensor: torch.Tensor) -> Optional[cuda.Library]:
    """The kernels of the GPU that ``tensor`` is on; None on the CPU, and where there are none."""
    return library('cuda') if tensor.is_cuda else None


def computable(tensor: torch.Tensor) -> torch.Tensor:
    """``tensor`` in a type that its device's kernels compute in: itself, or in float32."""
    return tensor if tensor.dtype in _COMPUTED.get(tensor.device.type, ()) else tensor.float()


def in_float32_on_cpu(*tensors: Optional[torch.Tensor]) -> bool:
    """Whether the tensors, but for None, are float32 on a CPU, and nobody asks for products in half precision."""
    return not torch.is_autocast_enabled('cpu') and all(
        tensor is None or (tensor.device.type == 'cpu' and tensor.dtype == torch.float32) for tensor in tensors
    )


def code(tensor: torch.Tensor) -> int:
    """The dcn_dtype of ``tensor``."""
    return _DTYPES[tensor.dtype]


def dense(dtype: torch.dtype, *tensors: Optional[torch.Tensor]) -> List[Optional[torch.Tensor]]:
    """The tensors contiguous and in ``dtype``; None stays None."""
    return [None if tensor is None else tensor.to(dtype).contiguous() for tensor in tensors]


def of_rois(tensor: torch.Tensor) -> torch.dtype:
    """The type of the RoIs that go with ``tensor``: half precision would lose their pixels."""
    return torch.float32 if tensor.dtype == torch.float16 else tensor.dtype


def pointer(tensor: Optional[torch.Tensor]) -> Optional[int]:
    """Address of a dense tensor, None for None."""
    return None if tensor is None else tensor.data_ptr()


def workspace(tensor: torch.Tensor, size: int) -> Tuple[torch.Tensor, Tuple[Optional[int], int]]:
    """(tensor to hold on to, (pointer, bytes)): ``size`` bytes on the device of ``tensor``."""
    memory = torch.empty(size, dtype=torch.uint8, device=tensor.device)
    return memory, (memory.data_ptr() if size else None, size)


@contextlib.contextmanager
def stream_of(tensor: torch.Tensor) -> Iterator[Optional[int]]:
    """The stream to queue work on, as a number, with the tensor's GPU as the current one; None on the CPU.

    Memory that is freed afterwards is only reused by work that the same stream does later.
    """
    if tensor.device.type != 'cuda':
        yield None
        return
    with torch.cuda.device(tensor.device):
        yield torch.cuda.current_stream(tensor.device).cuda_stream


def math() -> str:
    """What the kernels may round: what PyTorch's own matrix products may (torch.backends.cuda.matmul.allow_tf32)."""
    return 'tf32' if torch.backends.cuda.matmul.allow_tf32 else 'exact'
