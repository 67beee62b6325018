"""The work of tools/cuda_check.py: build, values, compute-sanitizer, timing; a table, and JSON on demand.

--emulated runs the values on the emulated kernels instead, on any machine (slow); that is how this file is tested.
"""

import argparse
import contextlib
import functools
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dcn import gpu_libraries
from dcn.operators import cuda, structs
from tests.operators import (
    cases,
    cuda_checks,
    without_mxnet,  # noqa: F401  (first: the next lines then need no MXNet)
)
from tests.operators.cuda_runner import HostMemory, Runner, convolution_shape, deformable_shape

ROOT = Path(__file__).resolve().parents[2]
PARTS = ('values', 'mxnet', 'sanitizer', 'timing')
NO_GPU = (
    'Nothing was checked: no GPU to be seen ({}). On a machine with an NVIDIA GPU, its driver, nvcc and a '
    'PyTorch that sees the GPU run: python tools/cuda_check.py'
)
SANITIZED = (
    '1x1',
    'res5 in small',
    'asymmetric',
    'parts per class',
    'RoIs that',
    'no numbers',
    'NMS of 33',
    'proposals, one map',
    'contrib proposals, two',
)  # names of the checks that compute-sanitizer watches
TOOLS = ('memcheck', 'racecheck', 'initcheck')
NOT_INSTALLED = 'not installed, so not run'
MXNET_NEWEST = (8, 9)  # capability of the newest GPU that MXNet has machine code for
TOO_NEW = 'MXNet has no machine code for this GPU, so not run'
ROUNDS = 20


# ---- the GPU through PyTorch ----


def find_torch():
    """(torch, None), or (None, why there is no GPU to be used)."""
    try:
        import torch
    except ImportError:
        return None, 'PyTorch is not installed'
    if not torch.cuda.is_available():
        return None, 'PyTorch sees none'
    return torch, None


class TorchMemory:
    """Arrays on the GPU, for cuda_runner."""

    def __init__(self, torch):
        self._torch = torch

    @property
    def stream(self):
        return self._torch.cuda.current_stream().cuda_stream

    def to_device(self, data):
        return self._torch.from_numpy(data).cuda()

    def pointer(self, handle):
        return handle.data_ptr()

    def to_host(self, handle):
        self._torch.cuda.synchronize()
        return handle.cpu().numpy()


# ---- build ----


@functools.lru_cache(maxsize=None)
def build_script():
    """operator_cxx/build_cuda.py as a module."""
    spec = importlib.util.spec_from_file_location('build_cuda', str(ROOT / 'operator_cxx' / 'build_cuda.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(torch, emulated):
    """Path of a library for this machine."""
    script = build_script()
    with script.core.build_lock('lock-cuda'):
        if emulated:
            return script.build_emulated()
        major, minor = torch.cuda.get_device_capability()
        known = script.supported_architectures(script.find_nvcc()) if script.find_nvcc() else []
        fitting = [number for number in known if number <= 10 * major + minor]
        script.build(fitting[-1:] or None, name=script.CHECKED)
        return script.BUILD / script.CHECKED


# ---- values ----


def check_values(runner, only=''):
    """{name: 'right', or what is wrong} of all checks whose name holds ``only``."""
    found = {}
    for name, check in cuda_checks.every_check().items():
        if only not in name:
            continue
        try:
            check(runner)
            found[name] = 'right'
        except cuda.CudaError as error:
            found[name] = 'not supported here' if error.status == 18 else str(error)
        except AssertionError as error:
            found[name] = ' '.join(str(error).split())[:300]
    return found


# ---- MXNet ----


def check_mxnet(library, capability):
    """'right', or what is wrong with the operators on GPU contexts of MXNet, or why that was not tried."""
    if not gpu_libraries.gpu_build():
        return NOT_INSTALLED
    if capability > MXNET_NEWEST:
        return TOO_NEW
    process = subprocess.run(
        [sys.executable, '-m', 'tests.operators.gpu_worker', str(library)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return 'right' if process.returncode == 0 else process.stdout[-600:]


# ---- compute-sanitizer ----


def check_sanitizer(library, seconds):
    """{tool: 'clean', or the end of what it said}; a tool that needs more than ``seconds`` is cut off."""
    tool = shutil.which('compute-sanitizer') or shutil.which('/usr/local/cuda/bin/compute-sanitizer')
    if tool is None:
        return {'compute-sanitizer': NOT_INSTALLED}
    found = {}
    # without PyTorch's own pool of memory, in which a write out of bounds would hit PyTorch's memory and be allowed
    environment = dict(os.environ, PYTORCH_NO_CUDA_MEMORY_CACHING='1')
    for name in TOOLS:
        command = [
            tool,
            '--tool',
            name,
            '--error-exitcode',
            '9',
            sys.executable,
            '-m',
            'tests.operators.cuda_check',
            '--sanitized',
            str(library),
        ]
        try:
            process = subprocess.run(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds,
            )
            found[name] = 'clean' if process.returncode == 0 else process.stdout[-600:]
        except subprocess.TimeoutExpired:
            found[name] = f'cut off after {seconds} s, so not known to be clean; --tool-seconds gives it more'
    return found


def sanitized(torch, library):
    """What runs under the tools: a part of the checks, results not looked at twice."""
    runner = Runner(cuda.Library(library), TorchMemory(torch))
    wrong = {}
    for words in SANITIZED:
        wrong.update(
            {
                name: text
                for name, text in check_values(runner, words).items()
                if text not in ('right', 'not supported here')
            }
        )
    print('\n'.join(f'{name}: {text}' for name, text in wrong.items()))
    return int(bool(wrong))


# ---- timing ----

CONVOLUTIONS = {  # batch, channels = filters, height, width, dilate, deformable groups: the shapes of the networks
    'res5 of R-FCN, 512x38x63, batch 1': (1, 512, 38, 63, 2, 4),
    'res5 of R-FCN, 512x38x63, batch 8': (8, 512, 38, 63, 2, 4),
    'res5 of DeepLab, 512x64x128': (1, 512, 64, 128, 2, 4),
    'res4, 256x100x152, 1 group': (1, 256, 100, 152, 1, 1),
}
FORMS = (('float32', 'exact'), ('float32', 'tf32'), ('float16', 'exact'))


def median_ms(torch, call):
    """Median over the rounds of the time of one call, in milliseconds by the GPU's clock."""
    for _ in range(3):
        call()
    times = []
    for _ in range(ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def time_convolutions(torch, library):
    """{'name, type, math': {'own': ms, 'own backward': ms, 'dense': ms, 'torchvision': ms, ...}}"""
    try:
        from torchvision.ops import deform_conv2d
    except ImportError:
        deform_conv2d = None
    found = {}
    for name, (batch, channels, height, width, dilate, groups) in CONVOLUTIONS.items():
        for type_name, math in FORMS:
            if math == 'tf32' and torch.cuda.get_device_capability() < (8, 0):
                continue
            dtype = getattr(torch, type_name)
            data = torch.randn(batch, channels, height, width, device='cuda', dtype=dtype)
            offset = torch.randn(batch, 18 * groups, height, width, device='cuda', dtype=dtype)
            weight = torch.randn(channels, channels, 3, 3, device='cuda', dtype=dtype)
            allowed = math == 'tf32'
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
            torch.backends.cudnn.benchmark = True
            own = own_convolution(torch, library, data, offset, weight, dilate, groups, math)
            row = {label: median_ms(torch, call) for label, call in own.items()}
            row['dense'] = median_ms(
                torch, lambda: torch.nn.functional.conv2d(data, weight, padding=dilate, dilation=dilate)
            )
            if deform_conv2d is not None:
                row['torchvision'] = median_ms(
                    torch, lambda: deform_conv2d(data, offset, weight, padding=dilate, dilation=dilate)
                )
            found[f'{name}, {type_name} {math}'] = row
    return found


def own_convolution(torch, library, data, offset, weight, dilate, groups, math):
    """{'own': forward, 'own backward': all gradients} as functions without arguments; boundary v2, which torchvision
    has."""
    batch, channels, height, width = data.shape
    case = cases.Case(
        'DeformableConvolution',
        {'data': data},
        dict(
            kernel=(3, 3),
            stride=(1, 1),
            pad=(dilate, dilate),
            dilate=(dilate, dilate),
            num_group=1,
            num_deformable_group=groups,
        ),
        np.empty((batch, channels, height, width)),
    )
    shape = convolution_shape(case, 'v2')
    code = structs.FLOAT16 if data.dtype == torch.float16 else structs.FLOAT32
    out, grads = torch.empty_like(data), [torch.empty_like(array) for array in (data, offset, weight)]
    inputs = structs.ConvInputs(data.data_ptr(), offset.data_ptr(), None, weight.data_ptr(), None)
    results = structs.ConvGradients(
        grads[0].data_ptr(),
        grads[1].data_ptr(),
        None,
        grads[2].data_ptr(),
        None,
        structs.WRITE,
        structs.WRITE,
        structs.NULL,
        structs.WRITE,
        structs.NULL,
    )
    size = max(library.conv_workspace(shape, code, backward) for backward in (False, True))
    workspace = torch.empty(size, dtype=torch.uint8, device='cuda')
    memory, stream = (workspace.data_ptr(), size), torch.cuda.current_stream().cuda_stream

    def forward(kept=(data, offset, weight, out)):
        library.conv_forward(shape, code, inputs, out.data_ptr(), workspace=memory, stream=stream, math=math)

    def backward(kept=(data, offset, weight, grads, workspace)):
        library.conv_backward(shape, code, inputs, out.data_ptr(), results, workspace=memory, stream=stream, math=math)

    return {'own': forward, 'own backward': backward}


def time_pooling(torch, library):
    """{'name': {'own': ms, 'own backward': ms}} for 300 RoIs, float32."""
    found = {}
    for classes in (21, 81):
        random = np.random.default_rng(0)
        corner, side = random.uniform(0, 1, (300, 2)) * (800, 400), random.uniform(30, 350, (300, 2))
        rois = np.column_stack([np.zeros(300), corner, np.minimum(corner + side, (999, 599))]).astype(np.float32)
        held = {
            'data': torch.randn(1, 49 * classes, 38, 63),
            'rois': torch.from_numpy(rois),
            'trans': torch.randn(300, 2 * classes, 7, 7),
        }
        held = {name: tensor.cuda() for name, tensor in held.items()}
        case = cases.Case(
            'DeformablePSROIPooling',
            held,
            dict(
                output_dim=classes,
                group_size=7,
                pooled_size=7,
                part_size=7,
                sample_per_part=4,
                spatial_scale=1 / 16,
                trans_std=0.1,
            ),
            None,
        )
        shape = deformable_shape(case)
        out, count = (torch.empty(300, classes, 7, 7, device='cuda') for _ in range(2))
        grads = {name: torch.empty_like(tensor) for name, tensor in held.items()}
        given = [tensor.data_ptr() for tensor in held.values()]
        targets, stream = [tensor.data_ptr() for tensor in grads.values()], torch.cuda.current_stream().cuda_stream
        found[f'deformable PSRoI pooling, 300 RoIs, {classes} classes'] = {
            'own': median_ms(
                torch,
                lambda: library.deformable_psroi_forward(
                    shape, structs.FLOAT32, *given, out.data_ptr(), count.data_ptr(), stream=stream
                ),
            ),
            'own backward': median_ms(
                torch,
                lambda: library.deformable_psroi_backward(
                    shape, structs.FLOAT32, out.data_ptr(), *given, *targets, stream=stream
                ),
            ),
        }
    return found


def time_nms(torch, library):
    """NMS of 6000 boxes, the first 300 kept; torchvision keeps all that survive."""
    dets = torch.from_numpy(cuda_checks.many_boxes(6000, 900)).cuda()
    keep, count = torch.empty(300, dtype=torch.int64, device='cuda'), torch.empty(1, dtype=torch.int32, device='cuda')
    workspace = torch.empty(library.nms_workspace(6000), dtype=torch.uint8, device='cuda')
    memory, stream = (workspace.data_ptr(), workspace.numel()), torch.cuda.current_stream().cuda_stream
    row = {
        'own': median_ms(
            torch,
            lambda: library.nms(dets.data_ptr(), 6000, 0.7, 300, keep.data_ptr(), count.data_ptr(), memory, stream),
        )
    }
    with contextlib.suppress(ImportError):
        from torchvision.ops import nms

        row['torchvision'] = median_ms(torch, lambda: nms(dets[:, :4], dets[:, 4], 0.7))
    return {'NMS of 6000 boxes': row}


def table(timing):
    """Rows of the timings: milliseconds, the fraction of the dense convolution's speed, times torchvision's speed."""
    columns = ('own', 'own backward', 'dense', 'torchvision')
    rows = [
        f'{"milliseconds, median":60s}'
        + ''.join(f'{name:>14s}' for name in columns)
        + f'{"dense/own":>12s}{"torchv./own":>12s}'
    ]
    for name, row in timing.items():
        cells = ''.join(f'{row[key]:14.3f}' if key in row else f'{"":14s}' for key in columns)
        ratios = ''.join(
            f'{row[key] / row["own"]:12.2f}' if key in row else f'{"":12s}' for key in ('dense', 'torchvision')
        )
        rows.append(f'{name:60s}{cells}{ratios}')
    return '\n'.join(rows)


# ---- all of it ----


def run_parts(torch, path, arguments):
    """The results of the parts that were asked for, printed as they come."""
    library = cuda.Library(path)
    runner = Runner(library, HostMemory if arguments.emulated else TorchMemory(torch))
    results = {'device': 'emulated' if arguments.emulated else torch.cuda.get_device_name()}
    print(f'device: {results["device"]}', flush=True)
    if 'values' not in arguments.skip:
        results['values'] = check_values(runner, arguments.only)
        wrong = {name: text for name, text in results['values'].items() if text not in ('right', 'not supported here')}
        print(f'values: {len(results["values"]) - len(wrong)} of {len(results["values"])} checks right', flush=True)
        for name, text in wrong.items():
            print(f'  {name}: {text}')
    if 'mxnet' not in arguments.skip and not arguments.emulated:
        results['mxnet'] = check_mxnet(path, torch.cuda.get_device_capability())
        print(f'MXNet: {results["mxnet"]}', flush=True)
    if 'sanitizer' not in arguments.skip and not arguments.emulated:
        results['sanitizer'] = check_sanitizer(path, arguments.tool_seconds)
        for name, text in results['sanitizer'].items():
            print(f'{name}: {text}', flush=True)
    if 'timing' not in arguments.skip and not arguments.emulated:
        results['timing'] = dict(
            time_convolutions(torch, library), **time_pooling(torch, library), **time_nms(torch, library)
        )
        print(table(results['timing']))
    return results


def passed(results):
    """Is there nothing wrong in the values and in MXNet, nor anything that a tool found or had no time to find?"""
    values = set(results.get('values', {}).values()) <= {'right', 'not supported here'}
    tools = set(results.get('sanitizer', {}).values()) <= {'clean', NOT_INSTALLED}
    return values and tools and results.get('mxnet', 'right') in ('right', NOT_INSTALLED, TOO_NEW)


def parse(argv):
    parser = argparse.ArgumentParser(prog='cuda_check.py', description='Check and time the operators on a GPU.')
    parser.add_argument('--json', metavar='FILE', help='write all results there')
    parser.add_argument('--skip', nargs='+', choices=PARTS, default=[], help='leave parts out')
    parser.add_argument(
        '--tool-seconds', type=int, default=50, metavar='N', help='time for each tool of compute-sanitizer'
    )
    parser.add_argument('--only', metavar='WORDS', default='', help='only the values whose name holds these words')
    parser.add_argument('--emulated', action='store_true', help='values of the emulated kernels, without a GPU (slow)')
    parser.add_argument('--sanitized', metavar='LIBRARY', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    torch, reason = (None, None) if arguments.emulated else find_torch()
    if reason:
        print(NO_GPU.format(reason), file=sys.stderr)
        return 2
    if arguments.sanitized:
        return sanitized(torch, arguments.sanitized)
    start = time.time()
    try:
        path = build(torch, arguments.emulated)
    except build_script().BuildError as error:
        print(error, file=sys.stderr)
        return 2
    results = run_parts(torch, path, arguments)
    results['seconds'] = round(time.time() - start, 1)
    print(f'{results["seconds"]} s in all')
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1) + '\n')
    return 0 if passed(results) else 1


if __name__ == '__main__':
    sys.exit(main())
