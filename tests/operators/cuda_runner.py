"""Runs the GPU kernels on the cases of cases.py: on a GPU (tools/cuda_check.py) or emulated on the CPU.

Every array lies between two guards of NaN: a read past its end spoils the result, a write past it is reported. Results
to be written, and the workspace, hold NaN before.
"""

import ctypes

import numpy as np

from dcn.operators import structs
from tests.operators import cases
from tests.operators.policy import assert_case_exact_enough, assert_exact_enough, convolution_roundings

DTYPES = {
    np.dtype(np.float32): structs.FLOAT32,
    np.dtype(np.float64): structs.FLOAT64,
    np.dtype(np.float16): structs.FLOAT16,
}
BOUNDARIES = {'v1': 0, 'v2': 1}
REQUESTS = {'write': structs.WRITE, 'add': structs.ADD, 'null': structs.NULL}
GUARD = 256  # bytes before and after an array
BEFORE_ADD = 7.0  # what results hold to which gradients are added
COARSE = 4 * 2.0**-11  # allowed error of half precision and tf32, which have 11 bits, relative to the largest value


class HostMemory:
    """Arrays of the emulated GPU: NumPy's."""

    stream = None

    @staticmethod
    def to_device(data):
        """A copy of uint8 ``data`` (bytes,) on the device."""
        return data.copy()

    @staticmethod
    def pointer(handle):
        """Address of the first byte."""
        return handle.ctypes.data

    @staticmethod
    def to_host(handle):
        """The bytes as NumPy array, after all queued work."""
        return handle


class Guarded:
    """An array on the device between its guards."""

    def __init__(self, memory, array):
        self._memory, self._shape, self._dtype = memory, array.shape, array.dtype
        guard = np.full(GUARD, 0xFF, np.uint8)
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._handle = memory.to_device(np.concatenate([guard, content, guard]))
        self.pointer = memory.pointer(self._handle) + GUARD

    def read(self):
        """The array as it is now; its guards must be whole."""
        raw = self._memory.to_host(self._handle)
        assert (raw[:GUARD] == 0xFF).all() and (raw[-GUARD:] == 0xFF).all(), 'something wrote outside of an array'
        return raw[GUARD:-GUARD].copy().view(self._dtype).reshape(self._shape)


class Runner:
    """Runs cases with a dcn.operators.cuda.Library on a memory such as HostMemory."""

    def __init__(self, library, memory):
        self.library, self.memory = library, memory

    def put(self, array):
        """A guarded copy; None stays None."""
        return None if array is None else Guarded(self.memory, np.asarray(array))

    def results(self, request, **shapes):
        """Arrays for results by name, each from an array of its shape and type; None for request 'null'."""
        if request == 'null':
            return dict.fromkeys(shapes)
        value = BEFORE_ADD if request == 'add' else np.nan
        return {name: self.put(np.full_like(array, value)) for name, array in shapes.items()}

    def workspace(self, size):
        """(guarded bytes of NaN, (pointer, size))"""
        block = self.put(np.full(size, 0xFF, np.uint8))
        return block, (block.pointer, size)

    def run(self, case, request='write', boundary=None, math='exact'):
        """(output, {input: gradient}) as cases.run; None for request 'null'. The output is always written."""
        if 'Convolution' in case.operator:
            return self._convolution(case, request, boundary or ('v2' if 'mask' in case.inputs else 'v1'), math)
        return {'PSROIPooling': self._psroi, 'DeformablePSROIPooling': self._deformable_psroi, 'ROIPooling': self._roi}[
            case.operator
        ](case, request)

    def _convolution(self, case, request, boundary, math):
        inputs = {name: self.put(array) for name, array in case.inputs.items()}
        code = DTYPES[case.inputs['data'].dtype]
        shape = convolution_shape(case, boundary)
        packed = structs.ConvInputs(**{name: array.pointer for name, array in inputs.items()})
        out, grads = self.results('write', out=case.out_grad)['out'], self.results(request, **case.inputs)
        guard, memory = self.workspace(self.library.conv_workspace(shape, code, False))
        self.library.conv_forward(
            shape, code, packed, out.pointer, workspace=memory, stream=self.memory.stream, math=math
        )
        if request != 'null':
            given = {name: grad.pointer for name, grad in grads.items()}
            given.update({f'{name}_request': REQUESTS[request] for name in grads})
            out_grad = self.put(case.out_grad)
            back_guard, memory = self.workspace(self.library.conv_workspace(shape, code, True))
            self.library.conv_backward(
                shape,
                code,
                packed,
                out_grad.pointer,
                structs.ConvGradients(**given),
                workspace=memory,
                stream=self.memory.stream,
                math=math,
            )
            back_guard.read()
        guard.read()
        return _read(out, grads)

    def _pooling(self, case, request, shape, forward, backward, with_data=True, with_trans=False):
        data, rois = case.inputs['data'], pooling_rois(case)
        code, stream = DTYPES[data.dtype], self.memory.stream
        held = {'data': self.put(data), 'rois': self.put(rois)}
        if with_trans:
            held['trans'] = self.put(case.inputs.get('trans'))
        given = [array and array.pointer for array in held.values()]
        out = self.results('write', out=case.out_grad)['out']
        counts = [self.results('write', out=case.out_grad)['out']] if with_trans else []
        forward(shape, code, *given, out.pointer, *[array.pointer for array in counts], stream=stream)
        wanted = {name: rois if name == 'rois' else case.inputs[name] for name in case.inputs}
        grads = self.results(request, **wanted)
        if request != 'null':
            out_grad = self.put(case.out_grad)
            guard, memory = self.workspace(self.library.pooling_workspace(data.size, code))
            targets = [grads.get(name) and grads[name].pointer for name in held]
            backward(
                shape,
                code,
                out_grad.pointer,
                *given[0 if with_data else 1 :],
                *targets,
                requests=(REQUESTS[request],) * len(held),
                workspace=memory,
                stream=stream,
            )
            guard.read()
        return _read(out, grads)

    def _roi(self, case, request):
        attributes = case.attributes
        shape = structs.RoiShape(
            *case.inputs['data'].shape,
            len(case.inputs['rois']),
            *attributes['pooled_size'],
            attributes['spatial_scale'],
        )
        return self._pooling(case, request, shape, self.library.roi_forward, self.library.roi_backward)

    def _psroi(self, case, request):
        attributes = case.attributes
        shape = structs.PsroiShape(
            *case.inputs['data'].shape,
            len(case.inputs['rois']),
            attributes['output_dim'],
            attributes['group_size'],
            attributes['pooled_size'],
            attributes['spatial_scale'],
        )
        return self._pooling(
            case, request, shape, self.library.psroi_forward, self.library.psroi_backward, with_data=False
        )

    def _deformable_psroi(self, case, request):
        return self._pooling(
            case,
            request,
            deformable_shape(case),
            self.library.deformable_psroi_forward,
            self.library.deformable_psroi_backward,
            with_trans=True,
        )

    def nms(self, dets, thresh, max_keep):
        """Kept indices, best first."""
        held, keep, kept = self.put(dets), self.put(np.full(max_keep, -1, np.int64)), self.put(np.int32([-1]))
        guard, memory = self.workspace(self.library.nms_workspace(len(dets)))
        self.library.nms(
            held.pointer, len(dets), thresh, max_keep, keep.pointer, kept.pointer, memory, self.memory.stream
        )
        guard.read()
        count = int(kept.read()[0])
        return keep.read()[:count]

    def contrib_proposal(self, inputs, attributes):
        """(rois, scores) of a case of cases.proposal."""
        a, maps = attributes, inputs['cls_prob'].shape
        shape = structs.ContribProposalShape(
            maps[0],
            *maps[2:],
            a['feature_stride'],
            len(a['ratios']),
            len(a['scales']),
            a['rpn_pre_nms_top_n'],
            a['rpn_post_nms_top_n'],
            a['rpn_min_size'],
            int(a.get('iou_loss', False)),
            a['threshold'],
        )
        rows = maps[0] * a['rpn_post_nms_top_n']
        held = [self.put(inputs[name]) for name in ('cls_prob', 'bbox_pred', 'im_info')]
        results = [self.put(np.full((rows, columns), np.nan, np.float32)) for columns in (5, 1)]
        guard, memory = self.workspace(self.library.contrib_proposal_workspace(shape))
        self.library.contrib_proposal(
            shape,
            a['ratios'],
            a['scales'],
            *[array.pointer for array in held + results],
            workspace=memory,
            stream=self.memory.stream,
        )
        guard.read()
        return [array.read() for array in results]

    def proposal(self, maps, im_info, pre_nms, post_nms, threshold, min_size):
        """(rois, scores, counts) of ``maps``: for each, scores (B, 2A, h, w), deltas (B, 4A, h, w), anchors (A, 4) and
        the stride."""
        levels, held = [], []
        for scores, deltas, anchors, stride in maps:
            arrays = [self.put(scores), self.put(deltas), self.put(np.asarray(anchors, np.float64))]
            held.append(arrays)
            levels.append(
                structs.ProposalLevel(*[array.pointer for array in arrays], len(anchors), *scores.shape[2:], stride)
            )
        images = len(im_info)
        shape = structs.ProposalShape(images, len(maps), pre_nms, post_nms, threshold, min_size)
        info = self.put(np.asarray(im_info, np.float32))
        rois, best = (
            self.put(np.full((images * post_nms, 5), np.nan, np.float32)),
            self.put(np.full(images * post_nms, np.nan, np.float32)),
        )
        counts = self.put(np.full(images, -1, np.int32))
        guard, memory = self.workspace(self.library.proposal_workspace(shape, levels))
        self.library.proposal(
            shape,
            DTYPES[maps[0][0].dtype],
            levels,
            info.pointer,
            rois.pointer,
            best.pointer,
            counts.pointer,
            memory,
            self.memory.stream,
        )
        guard.read()
        return rois.read(), best.read(), counts.read()


def _read(out, grads):
    return out.read(), {name: grad.read() for name, grad in grads.items() if grad is not None}


def convolution_shape(case, boundary):
    """The ConvShape of a case."""
    attributes, data = case.attributes, case.inputs['data']
    pairs = [(ctypes.c_int * 2)(*attributes[name]) for name in ('kernel', 'stride', 'pad', 'dilate')]
    return structs.ConvShape(
        *data.shape,
        *case.out_grad.shape[1:],
        *pairs,
        attributes['num_group'],
        attributes['num_deformable_group'],
        BOUNDARIES[boundary],
    )


def deformable_shape(case):
    """The DeformablePsroiShape of a case."""
    a, trans = case.attributes, case.inputs.get('trans')
    return structs.DeformablePsroiShape(
        *case.inputs['data'].shape,
        len(case.inputs['rois']),
        a['output_dim'],
        a['group_size'],
        a['pooled_size'],
        a['part_size'] or a['pooled_size'],
        a['sample_per_part'],
        0 if trans is None else trans.shape[1] // 2,
        a['spatial_scale'],
        a['trans_std'],
    )


def pooling_rois(case):
    """The RoIs as the kernels take them: float32 where the data is half precision."""
    rois = case.inputs['rois']
    return rois.astype(np.float32) if rois.dtype == np.float16 else rois


def in_half(case):
    """The case in half precision; RoIs stay float32."""
    half = cases.cast(case, np.float16)
    if 'rois' in case.inputs:
        half.inputs['rois'] = case.inputs['rois'].astype(np.float32)
    return half


def assert_right(result, case, math='exact', **more):
    """A result of Runner.run against the float64 reference implementation: float32 and float64 by the policy of all
    operators, half precision and tf32 by what 11 bits can do."""
    dtype = case.inputs['data'].dtype
    if math == 'tf32' or dtype == np.float16:
        _assert_coarse(result, cases.run_reference(case, **more))
        return
    roundings = convolution_roundings(case) if 'Convolution' in case.operator else {}
    if dtype == np.float64:
        exact, plain = cases.run_reference(case, np.longdouble, **more), cases.run_reference(case, np.float64, **more)
    else:
        exact, plain = cases.run_reference(case, np.float64, **more), cases.run_reference(case, np.float32, **more)
    if result[1]:
        assert_case_exact_enough(result, exact, plain, **roundings)
    else:
        assert_exact_enough(result[0], exact[0], plain[0], 'output', roundings.get('output', 4))


def _assert_coarse(result, exact):
    found = dict(result[1], output=result[0])
    for name, array in found.items():
        expected = exact[0] if name == 'output' else exact[1][name]
        error, largest = np.abs(array.astype(np.float64) - expected), np.abs(expected).max()
        assert array.shape == expected.shape, name
        assert error.max() <= COARSE * max(largest, 1), f'{name}: error {error.max():.3g}, largest value {largest:.3g}'
