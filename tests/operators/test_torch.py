"""The operators for PyTorch against the float64 references: the kernels of the CPU, those of GPUs (emulated), and
PyTorch's own operations where there are no kernels."""

import contextlib
import ctypes
import re

import numpy as np
import pytest

from dcn.errors import UserError
from dcn.nms import nms as nms_on_host
from dcn.operators import reference, structs
from tests.operators import cases, cuda_checks
from tests.operators.cuda_runner import assert_right

torch = pytest.importorskip('torch')

WAYS = ('own', 'plain', 'gpu')
KINDS_IN_C = {
    'pointer': (ctypes.c_void_p, ctypes.Array, type(ctypes.byref(ctypes.c_int()))),
    'int': int,
    'float': ctypes.c_float,
    'size_t': ctypes.c_size_t,
}
CONVOLUTIONS = (
    'kernel 3x2, stride 2x1, pad 1x0, dilate 2x1',
    'asymmetric, groups 2, deformable groups 2, batch 3',
    'deformable groups 4 inside groups 2, no bias',
    'offsets far outside',
    'one row, under padding',
)


@pytest.fixture
def ways(monkeypatch, request):
    """way(name): within the block, operators on CPU tensors are computed in that way."""
    from dcn.operators import cuda
    from dcn.operators.torch import kernels

    @contextlib.contextmanager
    def way(name):
        with monkeypatch.context() as patch:
            if name == 'plain':
                patch.setattr(kernels, 'library', lambda kind: None)
            if name == 'gpu':
                emulated = cuda.Library(request.getfixturevalue('emulated_kernels'))
                patch.setattr(kernels, 'library', lambda kind: emulated)
                patch.setattr(kernels, 'gpu_library', lambda tensor: emulated)
            yield

    return way


def check(case, **more):
    from tests.torch.gpu_check import run_case

    assert_right(run_case(case, torch.device('cpu'), **more), case, **more)


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('name', CONVOLUTIONS)
def test_eq2_deformable_convolution(name, way, ways):
    with ways(way):
        for boundary in ('v1', 'v2'):
            check(cases.convolution(name), boundary=boundary)
        check(cases.convolution(name, np.float64), boundary='v1')
        check(cases.convolution(name, modulated=True), boundary='v2')


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('name', ['parts per class', 'parts coarser than bins', 'groups coarser than bins', 'FPN'])
def test_eq5_and_eq6_poolings(name, way, ways):
    with ways(way):
        check(cases.deformable_pooling(name))
        check(cases.deformable_pooling(name, no_trans=True))
        check(cases.pooling(name))
        check(cases.integer_pooling(name))


@pytest.mark.parametrize('way', ['own', 'plain'])
def test_gradients_are_the_slopes(way, ways):
    """torch.autograd.gradcheck: differences of outputs in float64, away from whole cells."""
    from dcn.operators import torch as operators

    draw = np.random.default_rng(3)

    def tensor(*shape, scale=1.0):
        return torch.from_numpy(draw.normal(0, scale, shape)).requires_grad_()

    data, weight = tensor(2, 4, 5, 6), tensor(3, 2, 3, 2)
    offset, mask, bias = tensor(2, 24, 3, 5, scale=0.7), tensor(2, 12, 3, 5), tensor(3)
    geometry = dict(stride=(2, 1), pad=(1, 0), groups=2, deformable_groups=2)
    weight = tensor(4, 2, 3, 2)
    bias = tensor(4)
    rois = torch.tensor([[0, 3.0, 2, 60, 50], [1, 20, 10, 70, 75]], dtype=torch.float64)
    maps, trans = tensor(2, 8, 5, 6), tensor(2, 4, 2, 2)
    with ways(way):
        for boundary in ('v1', 'v2'):
            assert torch.autograd.gradcheck(
                lambda *inputs, rule=boundary: operators.deformable_convolution(*inputs, boundary=rule, **geometry),
                (data, offset, weight, bias, mask),
            )
        assert torch.autograd.gradcheck(
            lambda *inputs: operators.deformable_psroi_pooling(
                inputs[0],
                rois,
                inputs[1],
                spatial_scale=1 / 16,
                output_dim=2,
                pooled_size=2,
                group_size=2,
                sample_per_part=2,
            ),
            (maps, trans),
        )
        assert torch.autograd.gradcheck(lambda x: operators.psroi_pooling(x, rois, 1 / 16, 2, 2), (maps,))
        assert torch.autograd.gradcheck(lambda x: operators.roi_pooling(x, rois, (2, 3), 1 / 16), (maps,))


def test_strides_of_the_inputs_do_not_matter():
    """Channels last, transposed, parts of larger tensors, gradients that are one number repeated: kernels see none."""
    from dcn.operators import torch as operators

    draw = np.random.default_rng(5)
    shapes = [(2, 4, 5, 6), (2, 18, 5, 6), (3, 4, 3, 3), (3,), (2, 9, 5, 6)]
    dense = [torch.from_numpy(draw.normal(0, 1, shape).astype(np.float32)) for shape in shapes]
    rois = torch.tensor([[0, 3.0, 2, 60, 50], [1, 20, 10, 70, 75]])
    maps, trans = torch.randn(2, 8, 5, 6), torch.randn(2, 4, 2, 2)
    pooled = dict(spatial_scale=1 / 16, output_dim=2, pooled_size=2, group_size=2)

    def scattered(tensor):
        if tensor.ndim == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        wide = torch.full((*tensor.shape, 3), float('nan'))
        wide[..., 1] = tensor
        return wide[..., 1]

    def run(change, compute, *tensors):
        given = [change(tensor).detach().requires_grad_() for tensor in tensors]
        out = compute(*given)
        out.sum().backward()
        return [out.detach(), *(tensor.grad for tensor in given if tensor.grad is not None)]

    for compute, tensors in (
        (lambda *t: operators.deformable_convolution(*t, pad=1), dense),
        (lambda data, trans, rois: operators.deformable_psroi_pooling(data, rois, trans, **pooled),
         [maps, trans, rois]),
        (lambda data, rois: operators.psroi_pooling(data, rois, 1 / 16, 2, 2), [maps, rois]),
        (lambda data, rois: operators.roi_pooling(data, rois, 2, 1 / 16), [maps, rois]),
    ):  # fmt: skip
        expected, found = (run(change, compute, *tensors) for change in (torch.clone, scattered))
        assert len(found) >= 2
        for one, other in zip(found, expected):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_kernels_of_a_gpu_are_called_as_their_header_says(repository, monkeypatch):
    """Number and kind of the arguments, the stream, and as much workspace as was asked for; nothing is computed."""
    from dcn.operators import cuda
    from dcn.operators import torch as operators
    from dcn.operators.torch import kernels
    from tests.torch.gpu_check import run_case

    header = (repository / 'operator_cxx' / 'cuda' / 'dcn_cuda.h').read_text()
    declared = dict(re.findall(r'DCN_API int dcn_cuda_(\w+)\(([^)]*)\)', header))
    stream, needed, called = 0x7F12_3456_789A, 4096, []

    class Recorder(cuda.Library):
        def __init__(self):
            """Loads nothing."""

        def _size(self, function, *arguments):
            assert f'dcn_cuda_{function}(' in header
            return needed

        def _call(self, function, *arguments, workspace=None, stream):
            given = structs.by_reference(arguments)
            if workspace is not None:
                assert workspace[0] and workspace[1] == needed
                given += [ctypes.c_void_p(workspace[0]), ctypes.c_size_t(workspace[1])]
            wanted = declared[function].split(',')
            assert len(wanted) == len(given) + 1, function
            for text, value in zip(wanted, given):
                kind = 'pointer' if '*' in text or '[' in text else text.split()[-2]
                assert isinstance(value, KINDS_IN_C[kind]), (function, text, value)
            called.append((function, stream))

    @contextlib.contextmanager
    def stream_of(tensor):
        yield stream

    recorder = Recorder()
    monkeypatch.setattr(kernels, 'library', lambda kind: recorder)
    monkeypatch.setattr(kernels, 'gpu_library', lambda tensor: recorder)
    monkeypatch.setattr(kernels, 'stream_of', stream_of)
    run_case(cases.convolution('groups 3 across deformable groups 2', modulated=True), torch.device('cpu'))
    for build in (cases.deformable_pooling, cases.pooling, cases.integer_pooling):
        run_case(build('parts per class'), torch.device('cpu'))
    operators.nms(torch.rand(40, 5), 0.4)
    scores, deltas, info = torch.rand(1, 6, 4, 5), torch.rand(1, 12, 4, 5), torch.tensor([[64.0, 80, 1]])
    rule = dict(scales=(4,), pre_nms=30, post_nms=12)
    operators.proposals([scores], [deltas], info, [16], **rule)
    operators.contrib_proposal(scores, deltas, info, **rule)
    pairs = [f'{name}_{way}' for name in ('conv', 'deformable_psroi_pooling', 'psroi_pooling', 'roi_pooling')
             for way in ('forward', 'backward')]  # fmt: skip
    assert called == [(name, stream) for name in (*pairs, 'nms', 'proposal', 'contrib_proposal')]


def test_operators_fulfil_the_contract_of_torch_library():
    """Schemas, fake tensors (which torch.compile and torch.export ask) and autograd registration."""
    from dcn.operators.torch import convolution, pooling

    data, weight = torch.randn(1, 4, 5, 5, requires_grad=True), torch.randn(2, 4, 3, 3, requires_grad=True)
    offset = torch.randn(1, 18, 5, 5, requires_grad=True)
    rois = torch.tensor([[0, 0.0, 0, 40, 40]])
    samples = {
        convolution.forward: (data, offset, None, weight, None, [1, 1], [1, 1], [1, 1], 1, 1, 0),
        pooling.roi: (data, rois, 2, 2, 0.1),
        pooling.psroi: (data, rois, 1, 2, 2, 0.1),
        pooling.deformable_psroi: (data, rois, torch.randn(1, 2, 2, 2, requires_grad=True), 1, 2, 2, 2, 2, 0.1, 0.1),
    }
    for operator, arguments in samples.items():
        found = torch.library.opcheck(operator, arguments, raise_exception=False)
        assert set(found.values()) == {'SUCCESS'}, (operator, found)


@pytest.mark.parametrize('way', WAYS)
def test_suppression_keeps_what_the_library_keeps(way, ways):
    from dcn.operators import torch as operators

    dets = cuda_checks.many_boxes(300)
    with ways(way):
        for most in (-1, 7, 0):
            found = operators.nms(torch.from_numpy(dets), 0.4, most)
            np.testing.assert_array_equal(found, nms_on_host(dets, 0.4, most))
        assert len(operators.nms(torch.zeros(0, 5), 0.5)) == 0


@pytest.mark.parametrize('way', WAYS)
def test_proposals(way, ways):
    """Of two maps and two images; where NMS leaves enough, the rows are those of the graph's operator."""
    from dcn.operators import torch as operators

    maps, info = cuda_checks.proposal_inputs((9, 5))
    strides = [stride for *_, stride in maps]
    scores, deltas = ([torch.from_numpy(level[i]) for level in maps] for i in (0, 1))
    rule = dict(scales=cuda_checks.SCALES, ratios=cuda_checks.RATIOS, pre_nms=80, post_nms=12)
    with ways(way):
        found = operators.proposals(scores, deltas, torch.from_numpy(info), strides, **rule)
    for image, size in enumerate(info):
        one = [(score[image, 6:], delta[image], stride) for score, delta, _, stride in maps]
        boxes, best = cuda_checks.proposals_of(one, size, 80, 12, 0.7, 0)
        assert len(boxes) == 12
        rows = slice(12 * image, 12 * image + 12)
        np.testing.assert_allclose(found[0][rows], np.insert(boxes, 0, image, axis=1), atol=1e-3)
        np.testing.assert_allclose(found[1][rows, 0], best, atol=1e-6)


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('name', ['usual', 'repeated', 'corners shifted'])
def test_contrib_proposals(name, way, ways):
    from dcn.operators import torch as operators

    inputs, a = cases.proposal(name)
    expected = reference.contrib_proposal(**inputs, **a)
    scores, deltas, info = (torch.from_numpy(inputs[key]) for key in ('cls_prob', 'bbox_pred', 'im_info'))
    rule = dict(pre_nms=a['rpn_pre_nms_top_n'], post_nms=a['rpn_post_nms_top_n'], iou_loss=a.get('iou_loss', False))
    with ways(way):
        found = operators.contrib_proposal(
            scores,
            deltas,
            info,
            a['feature_stride'],
            a['scales'],
            a['ratios'],
            threshold=a['threshold'],
            min_size=a['rpn_min_size'],
            **rule,
        )
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3)


def test_modules_start_as_what_they_replace():
    """Offsets of zero: a plain convolution; and they learn."""
    from dcn.operators import torch as operators

    for modulated in (False, True):
        layer = operators.DeformableConv2d(
            4, 6, (3, 2), (2, 1), (1, 0), groups=2, deformable_groups=2, modulated=modulated
        )
        data = torch.randn(2, 4, 7, 8)
        plain = torch.nn.functional.conv2d(data, layer.weight, layer.bias, (2, 1), (1, 0), 1, 2)
        torch.testing.assert_close(layer(data), plain, rtol=1e-4, atol=1e-5)
        layer(data).square().sum().backward()
        assert layer.predictor.weight.grad.abs().max() > 0
    rois, maps = torch.tensor([[0.0, 0, 0, 60, 60]]), torch.randn(1, 8, 5, 5)
    assert operators.RoIPooling((2, 3), 1 / 16)(maps, rois).shape == (1, 8, 2, 3)
    assert operators.PSRoIPooling(1 / 16, 2, 2)(maps, rois).shape == (1, 2, 2, 2)
    pooling = operators.DeformablePSRoIPooling(spatial_scale=1 / 16, output_dim=2, pooled_size=2, group_size=2)
    assert pooling(maps, rois, torch.zeros(1, 2, 2, 2)).shape == (1, 2, 2, 2)


def test_bfloat16_is_computed_in_float32():
    from dcn.operators import torch as operators

    layer = operators.DeformableConv2d(4, 6, 3, pad=1)
    data = torch.randn(1, 4, 6, 6)
    with torch.autocast('cpu', torch.bfloat16):
        found = layer(data.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), layer(data), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        (dict(offset=(1, 17, 5, 5)), r'offset: expected shape \(1, 18, 5, 5\), found \(1, 17, 5, 5\)'),
        (dict(weight=(2, 3, 3, 3)), r'weight: expected shape \(2, 4, 3, 3\), found'),
        (dict(bias=(3,)), r'bias: expected shape \(2,\)'),
        (dict(deformable_groups=3), '4 channels and 2 filters do not divide'),
        (dict(boundary='v3'), "boundary is 'v1' or 'v2', found 'v3'"),
        (dict(dilate=4), 'does not fit into a map'),
        (dict(data=(4, 5, 5)), r'data: expected 4 axes, found shape \(4, 5, 5\)'),
        (dict(stride=0), r'stride and dilate from 1 on .*, found groups 1, 1, stride \[0, 0\]'),
    ],
)
def test_what_does_not_fit_is_named(arguments, sentence):
    from dcn.operators import torch as operators

    given = dict(data=(1, 4, 5, 5), offset=(1, 18, 5, 5), weight=(2, 4, 3, 3), pad=1, **{})
    given.update(arguments)
    given = {name: torch.zeros(value) if isinstance(value, tuple) else value for name, value in given.items()}
    with pytest.raises(UserError, match=sentence):
        operators.deformable_convolution(**given)


def test_regions_that_do_not_fit_are_named():
    from dcn.operators import torch as operators

    with pytest.raises(UserError, match=r'rois: expected shape \(R, 5\)'):
        operators.roi_pooling(torch.zeros(1, 4, 5, 5), torch.zeros(2, 4), 2, 1.0)
    with pytest.raises(UserError, match='roi_pooling: data: expected 4 axes'):
        operators.roi_pooling(torch.zeros(4, 5, 5), torch.zeros(2, 5), 2, 1.0)
    with pytest.raises(UserError, match='expected all tensors on cpu, where data is, found one on meta'):
        operators.roi_pooling(torch.zeros(1, 4, 5, 5), torch.zeros(2, 5, device='meta'), 2, 1.0)
    with pytest.raises(UserError, match='data: expected 2 x 3 x 3 channels'):
        operators.psroi_pooling(torch.zeros(1, 4, 5, 5), torch.zeros(2, 5), 1.0, 2, 3)
    with pytest.raises(UserError, match='trans: expected shape'):
        operators.deformable_psroi_pooling(
            torch.zeros(1, 4, 5, 5),
            torch.zeros(2, 5),
            torch.zeros(1, 2, 2, 2),
            spatial_scale=1.0,
            output_dim=4,
            pooled_size=2,
        )


def test_maps_of_boxes_that_do_not_fit_are_named():
    """Kernels would read beyond their ends."""
    from dcn.operators import torch as operators

    scores, deltas, info = torch.zeros(1, 18, 4, 5), torch.zeros(1, 36, 4, 5), torch.zeros(1, 3)
    rule = dict(scales=(4, 8, 16))
    for compute in (
        lambda *maps: operators.contrib_proposal(*maps, **rule),
        lambda scores, deltas, info: operators.proposals([scores], [deltas], info, [16], **rule),
    ):
        with pytest.raises(UserError, match=r'deltas: expected shape \(1, 36, 4, 5\), found \(1, 36, 4, 4\)'):
            compute(scores, deltas[..., :4], info)
        with pytest.raises(UserError, match=r'scores: expected shape \(1, 18, 4, 5\), found \(1, 9, 4, 5\)'):
            compute(scores[:, :9], deltas, info)
        with pytest.raises(UserError, match=r'im_info: expected shape \(1, 3\), found \(2, 3\)'):
            compute(scores, deltas, torch.zeros(2, 3))
    with pytest.raises(UserError, match='found 1 scores, 1 deltas and 2 strides'):
        operators.proposals([scores], [deltas], info, [16, 32], **rule)


def test_without_torch_one_sentence(repository):
    """What to install, in the sentence that every command prints."""
    import subprocess
    import sys

    program = 'import sys; sys.modules["torch"] = None; import dcn.operators.torch'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, cwd=repository)
    assert 'PyTorch is not installed; run ./setup.sh --torch' in done.stderr.splitlines()[-1]


def test_without_mxnet_the_operators_are_there(repository):
    import subprocess
    import sys

    program = (
        'import sys; sys.modules["mxnet"] = None\n'
        'import torch\nfrom dcn.operators import torch as operators\n'
        'print(operators.DeformableConv2d(2, 3, 3)(torch.zeros(1, 2, 4, 4)).shape)'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, cwd=repository)
    assert done.stdout.strip() == 'torch.Size([1, 3, 2, 2])', done.stderr
