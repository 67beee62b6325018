"""The work of tools/torch_check.py. With --device cpu --small it runs anywhere: that is how this file is tested."""

import argparse
import contextlib
import json
import statistics
import sys
import time
import warnings

import numpy as np

from tests.graphs.filling import parameter, picture
from tests.operators import without_mxnet  # noqa: F401  (first: what follows then needs no MXNet)

PARTS = ('kernels', 'networks', 'steps', 'timing')
NO_GPU = (
    'Nothing was checked: {}. On a machine with an NVIDIA GPU and a PyTorch that sees it: python tools/torch_check.py'
)
FIXED = ('conv1', 'bn_conv1', 'res2', 'bn2', 'gamma', 'beta')


def main(argv=None):
    parser = argparse.ArgumentParser(prog='torch_check.py', description='Checks of the PyTorch engine on a GPU.')
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--skip', nargs='+', default=[], choices=PARTS)
    parser.add_argument('--json', metavar='FILE')
    parser.add_argument('--rounds', type=int, default=10, help='of timing, at least 1 (default %(default)s)')
    parser.add_argument('--small', action='store_true', help='time the small networks, to try this script on a CPU')
    args = parser.parse_args(argv)
    try:
        import torch
    except ImportError:
        print(NO_GPU.format('PyTorch is not installed'))
        return 1
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        print(NO_GPU.format('PyTorch sees no GPU'))
        return 1
    from dcn.operators.torch import origin

    device = torch.device(args.device)
    # cuDNN may round what convolutions multiply to tf32 unless told not to; times are taken as users get them
    torch.backends.cudnn.allow_tf32, as_users_get_it = False, torch.backends.cudnn.allow_tf32
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU'
    report = {'device': name, 'torch': torch.__version__, 'operators': origin(device)}
    print(f'{name}, PyTorch {torch.__version__}, operators: {report["operators"]}')
    failed = 0
    for part in PARTS:
        if part not in args.skip:
            start, rows = time.time(), []
            torch.backends.cudnn.allow_tf32 = part == 'timing' and as_users_get_it
            for row in {'kernels': kernels, 'networks': networks, 'steps': steps, 'timing': timing}[part](device, args):
                rows.append(row)
                failed += row.get('verdict', 'right') != 'right'
                print('  '.join(f'{value:.4g}' if isinstance(value, float) else str(value) for value in row.values()))
            report[part] = rows
            print(f'{part}: {time.time() - start:.0f} s', flush=True)
    torch.backends.cudnn.allow_tf32 = as_users_get_it
    if args.json:
        from dcn.files import atomic_write

        with atomic_write(args.json, 'w') as stream:
            json.dump(report, stream, indent=1)
    print('all right' if not failed else f'{failed} wrong')
    return int(failed > 0)


# ---- operators against the float64 references ----


def kernels(device, args):
    """The cases of the tests, on the device, by the policy of all operators."""
    from tests.operators import cases
    from tests.operators.cuda_runner import assert_right

    made = [(cases.convolution(name), dict(boundary=rule)) for name in cases.CONVOLUTIONS for rule in ('v1', 'v2')]
    made += [(cases.convolution(name, modulated=True), dict(boundary='v2')) for name in cases.CONVOLUTIONS]
    for name in cases.POOLINGS:
        poolings = cases.deformable_pooling, cases.pooling, cases.integer_pooling
        made += [(build(name), {}) for build in poolings]
    for number, (case, more) in enumerate(made):
        verdict = 'right'
        try:
            assert_right(run_case(case, device, **more), case, **more)
        except AssertionError as error:
            verdict = str(error)
        if verdict != 'right' or number == len(made) - 1:
            yield {'case': f'{case.operator} {number + 1} of {len(made)}', 'verdict': verdict}


def run_case(case, device, **more):
    """(output, {input: gradient}) of a case of tests/operators/cases.py; zeros for RoIs, which get none."""
    import torch

    from dcn.operators import torch as operators

    inputs = {name: torch.from_numpy(array.copy()).to(device) for name, array in case.inputs.items()}
    for name, tensor in inputs.items():
        tensor.requires_grad_(name != 'rois')
    a = case.attributes
    if 'Convolution' in case.operator:
        names = {'num_group': 'groups', 'num_deformable_group': 'deformable_groups'}
        attributes = {names.get(key, key): a[key] for key in ('stride', 'pad', 'dilate', *names)}
        out = operators.deformable_convolution(**inputs, **attributes, **more)
    elif case.operator == 'ROIPooling':
        out = operators.roi_pooling(**inputs, **a)
    elif case.operator == 'PSROIPooling':
        out = operators.psroi_pooling(**inputs, **a)
    else:
        out = operators.deformable_psroi_pooling(**inputs, **{k: v for k, v in a.items() if k != 'no_trans'})
    out.backward(torch.from_numpy(case.out_grad).to(device))
    grads = {name: t.grad.cpu().numpy() for name, t in inputs.items() if t.grad is not None}
    grads.update({'rois': np.zeros_like(case.inputs['rois'])} if 'rois' in case.inputs else {})
    return out.detach().cpu().numpy(), grads


# ---- whole networks ----


class _Symbol:
    def __init__(self, text):
        self.tojson = lambda: text


def network_parts(entry):
    """(symbol, arguments, auxiliary states, inputs) of one of tests.torch.graphs.stored(), filled."""
    from dcn.formats import symbol_json

    graph = symbol_json.loads(entry['symbol'])
    auxiliary = set(graph.auxiliary())
    filled = {
        name: parameter(name, tuple(shape)) for name, shape in entry['shapes'].items() if name not in entry['inputs']
    }
    args = {name: array for name, array in filled.items() if name not in auxiliary}
    return _Symbol(entry['symbol']), args, {name: filled[name] for name in auxiliary}, inputs_of(entry)


def inputs_of(entry):
    """An image with one object, anchors of all three labels, or labels of pixels."""
    shapes, draw = {name: tuple(entry['shapes'][name]) for name in entry['inputs']}, np.random.default_rng(0)
    height, width = shapes['data'][2:]
    values = {'data': picture(height, width), 'im_info': np.float32([[height, width, 1]])}
    if 'gt_boxes' in shapes:
        values['gt_boxes'] = np.float32([[[20, 10, width - 30, height - 20, 7], [-1] * 5, [-1] * 5]])
        values['label'] = draw.integers(-1, 2, shapes['label']).astype(np.float32)
        values['bbox_target'] = draw.normal(0, 0.1, shapes['bbox_target']).astype(np.float32)
        values['bbox_weight'] = np.ones(shapes['bbox_weight'], np.float32)
    elif 'label' in shapes:
        values['label'] = draw.integers(0, 19, shapes['label']).astype(np.float32)
    return {name: value for name, value in values.items() if name in shapes}


def networks(device, args):
    """Test outputs on the device and on the CPU, within the project's tolerances."""
    import torch

    from dcn.torch.predictor import Predictor
    from tests.torch.graphs import stored

    for title, entry in stored().items():
        if title.endswith('small test'):
            symbol, *params, inputs = network_parts(entry)
            found, expected = (Predictor(symbol, d, *params).predict(inputs) for d in (device, torch.device('cpu')))
            # rows that NMS leaves short are filled up otherwise on a GPU
            rows = _distinct(expected.get('rois_output'))
            errors = {
                name: float(np.abs(found[name][..., :rows, :] - array[..., :rows, :]).max())
                for name, array in expected.items()
            }
            allowed = {'rois_output': 0.01, 'bbox_pred_reshape_output': 5e-4}
            right = all(error <= allowed.get(name, 1e-4) for name, error in errors.items())
            yield {'network': title, **errors, 'verdict': 'right' if right else 'wrong'}


def _distinct(rois):
    """How many RoIs come before the first repetition; all rows where there are none."""
    if rois is None:
        return None
    _, first = np.unique(rois, axis=0, return_index=True)
    return int(np.setdiff1d(np.arange(len(rois)), first).min(initial=len(rois)))


def steps(device, args):
    """Twenty SGD updates on the device and on the CPU: how far apart the parameters are, of how far they have moved."""
    import torch

    from dcn.torch.trainer import Trainer
    from tests.torch.graphs import stored

    for title, entry in stored().items():
        if title.endswith('small train'):
            symbol, *params, inputs = network_parts(entry)
            moved = []
            for where in (device, torch.device('cpu')):
                trainer = Trainer(symbol, [where], *params, FIXED, momentum=0.9, wd=0.0005)
                before = trainer.params()[0]
                for _ in range(20):
                    trainer.forward_backward([inputs])
                    trainer.update(2e-4)
                after = trainer.params()[0]
                moved.append(
                    np.concatenate([(after[name] - before[name]).ravel() for name in after]).astype(np.float64)
                )
            apart = float(np.linalg.norm(moved[0] - moved[1]) / np.linalg.norm(moved[1]))
            yield {'network': title, 'apart / moved': apart, 'verdict': 'right' if apart < 1e-2 else 'wrong'}


# ---- timing ----


def timing(device, args):
    """Images a second at 608 x 1024 pixels, one image at a time; float32 and bfloat16."""
    from tests.torch.graphs import stored

    for title, entry in stored().items():
        if title.split()[1] == ('small' if args.small else 'real'):
            for bfloat16 in (False, True):
                yield _timed(title, entry, bfloat16, device, args.rounds)
    if not args.small:
        yield from _torchvision(device, args.rounds)


def _timed(title, entry, bfloat16, device, rounds):
    """One row; the network's memory is free again afterwards, so that the next row's peak is its own."""
    from dcn.torch.predictor import Predictor
    from dcn.torch.trainer import Trainer

    family, _, kind = title.split()
    symbol, *params, inputs = network_parts(entry)
    if kind == 'test':
        predictor = Predictor(symbol, device, *params, bfloat16=bfloat16)

        def call():
            predictor.predict(inputs)

    else:
        trainer = Trainer(symbol, [device], *params, FIXED, bfloat16=bfloat16)

        def call():
            trainer.forward_backward([inputs])
            trainer.update(1e-6)

    _gigabytes(device)  # forgets the peak of what was before
    seconds = _median(call, device, rounds)
    return {
        'network': f'{family} {kind}',
        'type': 'bfloat16' if bfloat16 else 'float32',
        'img/s': 1 / seconds,
        "the project's operators": _share(call, device),
        'GB': _gigabytes(device),
    }


def _median(call, device, rounds):
    import torch

    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        call()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])  # the first two calls prepare


def _share(call, device):
    """The part of one call's time in dcn::* operators, '-' where the profiler does not tell."""
    import torch

    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if device.type == 'cuda' else []
    with contextlib.suppress(RuntimeError), torch.profiler.profile(activities=activities) as profile:
        call()
    key = 'device_time_total' if device.type == 'cuda' else 'cpu_time_total'
    own_key = 'self_device_time_total' if device.type == 'cuda' else 'self_cpu_time_total'
    events = profile.key_averages()
    whole = sum(getattr(event, own_key, 0) for event in events)
    return sum(getattr(event, key, 0) for event in events if event.key.startswith('dcn::')) / whole if whole else '-'


def _gigabytes(device):
    import torch

    if device.type != 'cuda':
        return '-'
    found = torch.cuda.max_memory_allocated(device) / 1e9
    torch.cuda.reset_peak_memory_stats(device)
    return found


def _torchvision(device, rounds):
    """Its Faster R-CNN with ResNet-101 and FPN on the same image, without weights."""
    try:
        import torch
        import torchvision
    except ImportError:
        return
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    backbone = resnet_fpn_backbone(backbone_name='resnet101', weights=None)
    model = torchvision.models.detection.FasterRCNN(backbone, 21, min_size=600, max_size=1000).to(device)
    image = torch.rand(3, 600, 1000, device=device)
    target = [
        {'boxes': torch.tensor([[20.0, 10, 900, 500]], device=device), 'labels': torch.tensor([7], device=device)}
    ]

    def test():
        with torch.inference_mode():
            model.eval()([image])

    def train():
        sum(model.train()([image], target).values()).backward()

    for name, call in (('test', test), ('train', train)):
        yield {'network': f'torchvision FPN {name}', 'type': 'float32', 'img/s': 1 / _median(call, device, rounds)}


if __name__ == '__main__':
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)
        sys.exit(main())
