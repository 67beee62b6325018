"""Reference implementations of the operators: plain NumPy in float64 that reads like the paper, for tests and for
readers. They are slow.

Paper: Dai et al., Deformable Convolutional Networks, ICCV 2017. Its equations here:

    (1)       convolution on a regular grid R
    (2)       deformable convolution: the grid moved by offsets
    (3), (4)  a bilinear sample: x(p) = sum_q G(q, p) x(q), G = g(q_x, p_x) g(q_y, p_y), g(a, b) = max(0, 1 - |a - b|)
    (5)       RoI pooling: the mean over a bin
    (6)       deformable RoI pooling: the bins moved by offsets
    (7), (8)  the gradients of (2) and (6) with respect to the offsets (appendix of the paper)

Position-sensitive pooling is (5) and (6) with one group of channels per bin (section 2.2). The mask is that of Zhu et
al., Deformable ConvNets v2, CVPR 2019, eq. 1. The sum over q runs over *all* pixels, as printed: slow, with nothing to
get wrong.

Every forward has its gradients in a function of its own, ``<name>_backward(out_grad, ...)``: a dict input name ->
gradient.

Two number formats meet here. ``dtype`` is that of the arithmetic: float64 for the reference; float32 gives the plain
single precision evaluation whose error is the yardstick of the tests. The *geometry* of RoIs is computed in the format
of ``rois``: rounding it picks whole pixels, so a float32 operator is right when it picks those that float32 geometry
picks.
"""

from __future__ import annotations

import itertools
from typing import Any, Sequence

import numpy as np

# ---- eq. 3 and 4: bilinear sampling, one axis at a time ----


def conv_axis(p: np.ndarray, size: int, boundary: str) -> tuple[np.ndarray, np.ndarray]:
    """The kernel g(q, p) of eq. 4 along one axis for deformable convolution, and its derivative dg/dp.

    p: coordinates in pixels, any shape S. size: number of pixels. boundary: 'v1' (the original: samples where 0 <= p <
    size, and a coordinate past the last pixel is moved back onto it) or 'v2' (the authors' update of December 2018:
    samples where -1 < p < size, with zeros outside). Returns (weight, slope), both S + (size,). g has a kink at every
    integer; the slope there is the right derivative, as in the original. In v1 the slope on the last pixel and past it
    is 0, because there the coordinate stands still. NaN and infinities are out of range.
    """
    p, q = np.asarray(p)[..., None], np.arange(size)
    above_first = {'v1': p >= 0, 'v2': p > -1}[boundary]
    inside = above_first & (p < size)
    p = np.where(inside, p, 0)
    moving = inside
    if boundary == 'v1':
        moving = inside & (p < size - 1)
        p = np.minimum(p, size - 1)
    weight, slope = _hat(p, q), (q == np.floor(p) + 1) * 1.0 - (q == np.floor(p))
    return np.where(inside, weight, 0).astype(p.dtype), np.where(moving, slope, 0).astype(p.dtype)


def roi_axis(p: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kernel g(q, p) of eq. 4 along one axis for deformable RoI pooling, and its derivative.

    A sample counts where -0.5 <= p <= size - 0.5, and is then moved into [0, size - 1]. Returns (weight, slope,
    counts), of shapes S + (size,), S + (size,) and S. The derivative of a sample is x(ceil p) - x(floor p), hence 0 on
    a pixel and at the border (unlike conv_axis).
    """
    p, q = np.asarray(p), np.arange(size)
    counts = (p >= -0.5) & (p <= size - 0.5)
    p = np.clip(np.where(counts, p, 0), 0, size - 1)[..., None]
    weight, slope = _hat(p, q), (q == np.ceil(p)) * 1.0 - (q == np.floor(p))
    kept = counts[..., None]
    return (weight * kept).astype(p.dtype), (slope * kept).astype(p.dtype), counts


def _hat(p, q):
    """g of eq. 4."""
    return np.maximum(0, 1 - np.abs(p - q))


# ---- eq. 2: deformable convolution ----


def sampling_positions(
    offset: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilate: tuple[int, int] = (1, 1),
    pad: tuple[int, int] = (0, 0),
) -> tuple[np.ndarray, np.ndarray]:
    """p_0 + p_n + Delta p_n of eq. 2: (y, x), each (N, G, K, Ho, Wo) in pixels of the input; K = kh * kw taps, row by
    row.

    offset: (N, 2*G*K, Ho, Wo); the two channels of a tap are (y, x). kernel, stride, dilate, pad: (y, x).
    """
    n, channels, out_h, out_w = offset.shape
    taps = kernel[0] * kernel[1]
    delta = offset.reshape(n, channels // (2 * taps), taps, 2, out_h, out_w)
    tap_y, tap_x = (axis.reshape(taps, 1, 1) for axis in np.mgrid[: kernel[0], : kernel[1]])
    out_y, out_x = np.mgrid[:out_h, :out_w]
    y = out_y * stride[0] - pad[0] + tap_y * dilate[0] + delta[:, :, :, 0]
    x = out_x * stride[1] - pad[1] + tap_x * dilate[1] + delta[:, :, :, 1]
    return y.astype(offset.dtype), x.astype(offset.dtype)


class _Samples:
    """What eq. 2 samples. value, modulated (= mask * value), slope_y, slope_x: (N, C, K, Ho, Wo); mask: (N, G, K, Ho,
    Wo)."""

    def __init__(self, data, offset, mask, kernel, stride, dilate, pad, groups, boundary):
        n, self.channels, height, width = data.shape
        y, x = sampling_positions(offset, kernel, stride, dilate, pad)
        self.g_y, slope_g_y = conv_axis(y, height, boundary)  # (N, G, K, Ho, Wo, H)
        self.g_x, slope_g_x = conv_axis(x, width, boundary)  # (N, G, K, Ho, Wo, W)
        self.image = data.reshape(n, groups, self.channels // groups, height, width)
        self.value = self._sum_over_pixels(self.g_y, self.g_x)
        self.slope_y = self._sum_over_pixels(slope_g_y, self.g_x)
        self.slope_x = self._sum_over_pixels(self.g_y, slope_g_x)
        self.mask = np.ones_like(y) if mask is None else mask.reshape(y.shape)
        self.modulated = self.value * self.per_channel(self.mask)

    def _sum_over_pixels(self, along_y, along_x):
        """sum_q G(q, p) x(q) for every channel."""
        sampled = np.einsum('ngcab,ngkhwa,ngkhwb->ngckhw', self.image, along_y, along_x, optimize=True)
        return sampled.reshape((sampled.shape[0], self.channels) + sampled.shape[3:])

    def spread(self, sample_grad):
        """The transpose of sampling: sample_grad (N, C, K, Ho, Wo) put back on the pixels it came from, (N, C, H,
        W)."""
        grouped = sample_grad.reshape(self.image.shape[:3] + sample_grad.shape[2:])
        pixels = np.einsum('ngckhw,ngkhwa,ngkhwb->ngcab', grouped, self.g_y, self.g_x, optimize=True)
        return pixels.reshape((pixels.shape[0], self.channels) + pixels.shape[3:])

    def per_channel(self, per_group):
        """(N, G, ...) -> (N, C, ...): each deformable group serves C / G neighbouring channels."""
        return np.repeat(per_group, self.channels // per_group.shape[1], axis=1)

    def sum_over_group(self, per_channel):
        """(N, C, ...) -> (N, G, ...)."""
        return per_channel.reshape(self.image.shape[:3] + per_channel.shape[2:]).sum(axis=2)


def deformable_convolution(
    data: np.ndarray,
    offset: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    stride: tuple[int, int] = (1, 1),
    dilate: tuple[int, int] = (1, 1),
    pad: tuple[int, int] = (0, 0),
    num_group: int = 1,
    num_deformable_group: int = 1,
    boundary: str = 'v1',
    dtype: type = np.float64,
) -> np.ndarray:
    """Eq. 2: y(p_0) = sum_n w(p_n) x(p_0 + p_n + Delta p_n); with ``mask`` every sample is multiplied by its Delta m_n.

    data (N, C, H, W), offset (N, 2*G*K, Ho, Wo) in pixels, (y, x) per tap, weight (F, C/num_group, kh, kw), bias (F,),
    mask (N, G*K, Ho, Wo); G = num_deformable_group, K = kh*kw. Returns (N, F, Ho, Wo).
    """
    data, offset, weight, bias, mask = _as(dtype, data, offset, weight, bias, mask)
    samples = _Samples(data, offset, mask, weight.shape[2:], stride, dilate, pad, num_deformable_group, boundary)
    columns, w = _split_groups(samples.modulated, weight, num_group)
    out = np.einsum('ngckhw,gfck->ngfhw', columns, w, optimize=True)
    out = out.reshape((len(data), len(weight)) + out.shape[3:])
    return out if bias is None else out + bias[:, None, None]


def deformable_convolution_backward(
    out_grad: np.ndarray,
    data: np.ndarray,
    offset: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    stride: tuple[int, int] = (1, 1),
    dilate: tuple[int, int] = (1, 1),
    pad: tuple[int, int] = (0, 0),
    num_group: int = 1,
    num_deformable_group: int = 1,
    boundary: str = 'v1',
    dtype: type = np.float64,
) -> dict[str, np.ndarray]:
    """Gradients of eq. 2; that of the offsets is eq. 7: w(p_n) sum_q dG(q, p)/d(Delta p_n) x(q), summed over channels.

    out_grad (N, F, Ho, Wo), the rest as in the forward. Gradients of data, offset, weight and, where given, bias and
    mask.
    """
    data, offset, weight, bias, mask, out_grad = _as(dtype, data, offset, weight, bias, mask, out_grad)
    samples = _Samples(data, offset, mask, weight.shape[2:], stride, dilate, pad, num_deformable_group, boundary)
    columns, w = _split_groups(samples.modulated, weight, num_group)
    y = out_grad.reshape(columns.shape[:2] + (w.shape[1],) + out_grad.shape[2:])
    column_grad = np.einsum('ngfhw,gfck->ngckhw', y, w, optimize=True).reshape(samples.value.shape)
    sample_grad = column_grad * samples.per_channel(samples.mask)
    offset_grad = [samples.sum_over_group(sample_grad * slope) for slope in (samples.slope_y, samples.slope_x)]
    grads = {
        'data': samples.spread(sample_grad),
        'offset': np.stack(offset_grad, axis=3).reshape(offset.shape),
        'weight': np.einsum('ngfhw,ngckhw->gfck', y, columns, optimize=True).reshape(weight.shape),
    }
    if bias is not None:
        grads['bias'] = out_grad.sum(axis=(0, 2, 3))
    if mask is not None:
        grads['mask'] = samples.sum_over_group(column_grad * samples.value).reshape(mask.shape)
    return grads


def _split_groups(columns, weight, num_group):
    """(N, C, K, Ho, Wo) -> (N, g, C/g, K, Ho, Wo) and (F, C/g, kh, kw) -> (g, F/g, C/g, K): plain grouped
    convolution."""
    n, channels = columns.shape[:2]
    return (
        columns.reshape((n, num_group, channels // num_group) + columns.shape[2:]),
        weight.reshape(num_group, len(weight) // num_group, channels // num_group, -1),
    )


def _as(dtype, *arrays):
    return [None if array is None else np.asarray(array, dtype) for array in arrays]


# ---- eq. 5: RoI pooling, position-sensitive and plain ----


def round_away(x: np.ndarray) -> np.ndarray:
    """C's round: halves go away from zero (NumPy's go to even)."""
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def _span(first, last, scale, minus=0.0):
    """One axis of a RoI on the map: (start, size) in the format of ``first``. Image pixels are inclusive, hence the +
    1."""
    form = first.dtype.type
    start = form(round_away(first)) * form(np.float32(scale)) - form(minus)
    end = form(round_away(last) + 1) * form(np.float32(scale)) - form(minus)
    return start, max(end - start, form(0.1))


def _group_cell(ph, pw, group_size, pooled_size):
    """The channel group, row by row, that serves bin (ph, pw)."""
    gh, gw = (min(p * group_size // pooled_size, group_size - 1) for p in (ph, pw))
    return gh * group_size + gw


def _pixels_between(first, last, limit):
    """The pixels of [first, last) that exist, as a slice."""
    return slice(int(np.clip(first, 0, limit)), int(np.clip(last, 0, limit)))


def _psroi_bins(data, rois, spatial_scale, output_dim, pooled_size, group_size=0):
    """Every bin that holds pixels: (index of its outputs, index of its pixels in data, n_ij)."""
    height, width = data.shape[2:]
    group = group_size or pooled_size
    for r, roi in enumerate(np.asarray(rois)):
        form = roi.dtype.type
        spans = _span(roi[2], roi[4], spatial_scale), _span(roi[1], roi[3], spatial_scale)
        for ph, pw in np.ndindex(pooled_size, pooled_size):
            pixels = []
            for p, (start, size), limit in zip((ph, pw), spans, (height, width)):
                bin_size = size / form(pooled_size)
                edges = np.floor(form(p) * bin_size + start), np.ceil(form(p + 1) * bin_size + start)
                pixels.append(_pixels_between(*edges, limit))
            count = np.prod([max(axis.stop - axis.start, 0) for axis in pixels])
            if count:
                channels = np.arange(output_dim) * group**2 + _group_cell(ph, pw, group, pooled_size)
                yield (r, slice(None), ph, pw), (int(roi[0]), channels, pixels[0], pixels[1]), count


def psroi_pooling(
    data: np.ndarray,
    rois: np.ndarray,
    spatial_scale: float,
    output_dim: int,
    pooled_size: int,
    group_size: int = 0,
    dtype: type = np.float64,
) -> np.ndarray:
    """Eq. 5, position-sensitive: y(i, j) = sum over p in bin(i, j) of x_ij(p_0 + p) / n_ij; 0 for an empty bin.

    data (N, output_dim * g * g, H, W), g = group_size or pooled_size; rois (R, 5) [batch, x1, y1, x2, y2] in image
    pixels. Returns (R, output_dim, P, P).
    """
    data = np.asarray(data, dtype)
    out = np.zeros((len(rois), output_dim, pooled_size, pooled_size), dtype)
    for place, pixels, count in _psroi_bins(data, rois, spatial_scale, output_dim, pooled_size, group_size):
        out[place] = data[pixels].sum(axis=(1, 2)) / dtype(count)
    return out


def psroi_pooling_backward(
    out_grad: np.ndarray,
    data: np.ndarray,
    rois: np.ndarray,
    spatial_scale: float,
    output_dim: int,
    pooled_size: int,
    group_size: int = 0,
    dtype: type = np.float64,
) -> dict[str, np.ndarray]:
    """Every pixel of a bin gets 1 / n_ij of the bin's gradient; RoIs get none."""
    out_grad = np.asarray(out_grad, dtype)
    grad = np.zeros(data.shape, dtype)
    for place, pixels, count in _psroi_bins(data, rois, spatial_scale, output_dim, pooled_size, group_size):
        grad[pixels] += (out_grad[place] / dtype(count))[:, None, None]
    return {'data': grad, 'rois': np.zeros(rois.shape, dtype)}


def _largest_pixels(data, rois, pooled_size, spatial_scale):
    """Every bin that holds pixels: (index of its outputs, index of each channel's largest pixel); the first of equals
    wins."""
    channels = np.arange(data.shape[1])
    for r, roi in enumerate(np.asarray(rois)):
        form = roi.dtype.type
        x1, y1, x2, y2 = (int(round_away(edge * form(np.float32(spatial_scale)))) for edge in roi[1:])
        for ph, pw in np.ndindex(*pooled_size):
            pixels = []
            for p, start, end, bins, limit in zip((ph, pw), (y1, x1), (y2, x2), pooled_size, data.shape[2:]):
                bin_size = form(max(end - start + 1, 1)) / form(bins)
                edges = start + np.floor(form(p) * bin_size), start + np.ceil(form(p + 1) * bin_size)
                pixels.append(_pixels_between(*edges, limit))
            inside = data[int(roi[0]), :, pixels[0], pixels[1]]
            if inside[0].size:
                y, x = np.unravel_index(inside.reshape(len(channels), -1).argmax(axis=1), inside.shape[1:])
                yield (r, slice(None), ph, pw), (int(roi[0]), channels, pixels[0].start + y, pixels[1].start + x)


def roi_pooling(
    data: np.ndarray, rois: np.ndarray, pooled_size: tuple[int, int], spatial_scale: float, dtype: type = np.float64
) -> np.ndarray:
    """RoI pooling of Fast R-CNN: the largest pixel of every bin, 0 for an empty one.

    data (N, C, H, W), rois (R, 5) [batch, x1, y1, x2, y2] in image pixels, pooled_size (y, x). Returns (R, C) +
    pooled_size.
    """
    data = np.asarray(data, dtype)
    out = np.zeros((len(rois), data.shape[1]) + tuple(pooled_size), dtype)
    for place, pixel in _largest_pixels(data, rois, pooled_size, spatial_scale):
        out[place] = data[pixel]
    return out


def roi_pooling_backward(
    out_grad: np.ndarray,
    data: np.ndarray,
    rois: np.ndarray,
    pooled_size: tuple[int, int],
    spatial_scale: float,
    dtype: type = np.float64,
) -> dict[str, np.ndarray]:
    """The largest pixel of every bin gets the bin's gradient; RoIs get none."""
    out_grad, data = _as(dtype, out_grad, data)
    grad = np.zeros(data.shape, dtype)
    for place, pixel in _largest_pixels(data, rois, pooled_size, spatial_scale):
        grad[pixel] += out_grad[place]
    return {'data': grad, 'rois': np.zeros(rois.shape, dtype)}


# ---- eq. 6: deformable position-sensitive RoI pooling ----


class _Bin:
    """One moved bin of eq. 6, for the D output channels of one class.

    place: index of its outputs (D,); pixels: (image, channels (D,)) in data; trans_x, trans_y: its two places in trans;
    g_y (S, H), g_x (S, W): the bilinear weights of its S rows and S columns of samples, and their slopes; count: n_ij;
    roi_height, roi_width in pixels of the map.
    """

    def __init__(self, place, pixels, trans_x, trans_y, along_y, along_x, roi_height, roi_width):
        self.place, self.pixels, self.trans_x, self.trans_y = place, pixels, trans_x, trans_y
        self.g_y, self.slope_g_y, rows = along_y
        self.g_x, self.slope_g_x, columns = along_x
        self.count = int(rows.sum()) * int(columns.sum())
        self.roi_height, self.roi_width = roi_height, roi_width


def _bins(
    data, rois, trans, spatial_scale, output_dim, group_size, pooled_size, part_size=0, sample_per_part=1, trans_std=0.0
):
    """Every bin of eq. 6 that holds a sample. A bin of size b is sampled at start + i * b / S, i < S: its left edge
    included."""
    classes = 1 if trans is None else trans.shape[1] // 2
    per_class = output_dim // classes
    for r, roi in enumerate(np.asarray(rois)):
        form = roi.dtype.type
        spans = _span(roi[2], roi[4], spatial_scale, 0.5), _span(roi[1], roi[3], spatial_scale, 0.5)
        for c, ph, pw in np.ndindex(classes, pooled_size, pooled_size):
            part = tuple(int(form(p) / form(pooled_size) * form(part_size or pooled_size)) for p in (ph, pw))
            trans_x, trans_y = (r, 2 * c) + part, (r, 2 * c + 1) + part
            axes = []
            for p, (start, size), where, limit in zip((ph, pw), spans, (trans_y, trans_x), data.shape[2:]):
                bin_size = size / form(pooled_size)
                shift = form(0) if trans is None else form(trans[where]) * form(np.float32(trans_std)) * size
                steps = np.arange(sample_per_part).astype(form) * (bin_size / form(sample_per_part))
                axes.append(roi_axis(form(p) * bin_size + start + shift + steps, limit))
            outputs = np.arange(c * per_class, (c + 1) * per_class)
            channels = outputs * group_size**2 + _group_cell(ph, pw, group_size, pooled_size)
            places = (r, outputs, ph, pw), (int(roi[0]), channels), trans_x, trans_y
            found = _Bin(*places, *axes, spans[0][1], spans[1][1])
            if found.count:
                yield found


def deformable_psroi_pooling(
    data: np.ndarray, rois: np.ndarray, trans: np.ndarray | None = None, dtype: type = np.float64, **geometry: Any
) -> np.ndarray:
    """Eq. 6: y(i, j) = sum over p in bin(i, j) of x_ij(p_0 + p + Delta p_ij) / n_ij, with S x S bilinear samples per
    bin.

    data (N, output_dim * g * g, H, W), g = group_size; rois (R, 5) [batch, x1, y1, x2, y2] in image pixels; trans (R,
    2*K, part, part), (x, y) for each of K classes, in units of trans_std times the RoI's size; or None. geometry:
    spatial_scale, output_dim, group_size, pooled_size P, part_size (0: P), sample_per_part S, trans_std. A sample more
    than half a pixel outside the map does not count; a bin without samples is 0. Returns (R, output_dim, P, P).
    """
    data, size = np.asarray(data, dtype), geometry['pooled_size']
    out = np.zeros((len(rois), geometry['output_dim'], size, size), dtype)
    for b in _bins(data, rois, trans, **geometry):
        total = np.einsum('cab,ia,jb->c', data[b.pixels], b.g_y.astype(dtype), b.g_x.astype(dtype), optimize=True)
        out[b.place] = total / dtype(b.count)
    return out


def deformable_psroi_pooling_backward(
    out_grad: np.ndarray,
    data: np.ndarray,
    rois: np.ndarray,
    trans: np.ndarray | None = None,
    dtype: type = np.float64,
    **geometry: Any,
) -> dict[str, np.ndarray]:
    """Gradients of eq. 6; that of trans is eq. 8, times trans_std and the RoI's size. RoIs get none."""
    data, out_grad = _as(dtype, data, out_grad)
    grads = {'data': np.zeros(data.shape, dtype), 'rois': np.zeros(rois.shape, dtype)}
    if trans is not None:
        grads['trans'] = np.zeros(trans.shape, dtype)
    for b in _bins(data, rois, trans, **geometry):
        g_y, g_x, slope_g_y, slope_g_x = _as(dtype, b.g_y, b.g_x, b.slope_g_y, b.slope_g_x)
        per_sample = out_grad[b.place] / dtype(b.count)  # (D,)
        grads['data'][b.pixels] += np.einsum('c,ia,jb->cab', per_sample, g_y, g_x, optimize=True)
        if trans is not None:
            image, std = data[b.pixels], dtype(np.float32(geometry['trans_std']))
            slope_x = np.einsum('c,cab,ia,jb->', per_sample, image, g_y, slope_g_x, optimize=True)
            slope_y = np.einsum('c,cab,ia,jb->', per_sample, image, slope_g_y, g_x, optimize=True)
            grads['trans'][b.trans_x] += slope_x * std * dtype(b.roi_width)
            grads['trans'][b.trans_y] += slope_y * std * dtype(b.roi_height)
    return grads


# ---- non-maximum suppression (NMS) ----


def nms(dets: np.ndarray, thresh: float) -> np.ndarray:
    """Greedy NMS: keep the best box, drop those that overlap it by more than ``thresh``, go on.

    dets: (N, 5) [x1, y1, x2, y2, score], inclusive corners in pixels. Returns int64 indices, best first; of equal
    scores the lower index is first. Overlaps are float32, as in the original's GPU kernel: an IoU of just ``thresh``
    stays.
    """
    dets = np.asarray(dets, np.float32)
    remaining = [int(i) for i in np.argsort(-dets[:, 4], kind='stable')]
    kept = []
    while remaining:
        best, remaining = remaining[0], remaining[1:]
        kept.append(best)
        remaining = [i for i in remaining if not _overlap(dets[best], dets[i]) > np.float32(thresh)]
    return np.array(kept, np.int64)


def _overlap(a, b):
    """Intersection over union of two boxes with inclusive corners."""
    one, zero = np.float32(1), np.float32(0)
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + one, zero)
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + one, zero)
    area_a, area_b = ((box[2] - box[0] + one) * (box[3] - box[1] + one) for box in (a, b))
    return width * height / (area_a + area_b - width * height)


# ---- proposals as MXNet's contrib operators make them ----


def contrib_proposal(
    cls_prob: np.ndarray,
    bbox_pred: np.ndarray,
    im_info: np.ndarray,
    scales: Sequence[float],
    ratios: Sequence[float],
    feature_stride: int = 16,
    rpn_pre_nms_top_n: int = 6000,
    rpn_post_nms_top_n: int = 300,
    threshold: float = 0.7,
    rpn_min_size: float = 16,
    iou_loss: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Faster R-CNN, section 3.1, with the rules of MXNet's contrib.Proposal; the row order of equal scores is by index.

    cls_prob (N, 2A, H, W), bbox_pred (N, 4A, H, W), im_info (N, 3) [height, width, scale]. Padding (cells beyond
    floor(size / stride)) and boxes that are too small, which are enlarged by half the smallest side, have score -1.
    Returns rois (N * post, 5) and scores (N * post, 1); fewer boxes are repeated from the first on.
    """
    rois, scores = [], []
    for image, info in enumerate(np.asarray(im_info, np.float64)):
        dets = _contrib_boxes(
            cls_prob[image], bbox_pred[image], info, scales, ratios, feature_stride, rpn_min_size, iou_loss
        )
        order = np.argsort(-dets[:, 4], kind='stable')
        order = order[:rpn_pre_nms_top_n] if rpn_pre_nms_top_n > 0 else order
        keep = nms(dets[order], threshold)[:rpn_post_nms_top_n]
        best = dets[order[np.resize(keep, rpn_post_nms_top_n)]]
        rois.append(np.insert(best[:, :4], 0, image, axis=1))
        scores.append(best[:, 4:])
    return np.concatenate(rois), np.concatenate(scores)


def _contrib_boxes(cls_prob, bbox_pred, info, scales, ratios, stride, smallest, iou_loss):
    """Boxes and scores (H * W * A, 5) in the order (y, x, anchor)."""
    (height, width, scale), (rows, columns) = info, cls_prob.shape[1:]
    dets = []
    for y, x, (a, (ratio, size)) in itertools.product(
        range(rows), range(columns), enumerate(itertools.product(ratios, scales))
    ):
        w = np.floor(np.sqrt(np.floor(stride * stride / ratio)) + 0.5) * size
        h = np.floor(w / size * ratio + 0.5) * size
        centre = np.array([x, y]) * stride + 0.5 * (stride - 1)
        delta = bbox_pred[4 * a : 4 * a + 4, y, x].astype(np.float64)
        if iou_loss:
            half = 0.5 * (np.array([w, h]) - 1)
            box = np.concatenate([centre - half, centre + half]) + delta
        else:
            half = 0.5 * (np.exp(delta[2:]) * (w, h) - 1)
            centre = centre + delta[:2] * (w, h)
            box = np.concatenate([centre - half, centre + half])
        box = np.clip(box, 0, np.array([width, height] * 2) - 1)
        score = cls_prob[len(ratios) * len(scales) + a, y, x]
        inside = y < int(height / stride) and x < int(width / stride)
        small = (box[2:] - box[:2] + 1 < smallest * scale).any()
        enlarged = smallest * scale / 2 * np.array([-1, -1, 1, 1]) if small else 0
        dets.append(np.append(box + enlarged, score if inside and not small else -1))
    return np.array(dets)
