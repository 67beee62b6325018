"""Winograd's convolution against sums in float64, through the C interface and as an operator of MXNet."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from dcn.formats import symbol_json
from dcn.formats.graph import VARIABLE, Graph, Node
from dcn.operators import native, winograd
from dcn.operators.structs import ADD, NULL, WRITE, WinogradShape
from dcn.rewrite.winograd import WINOGRAD

SHAPES = {  # images, channels, height, width, filters
    'one pixel': (1, 1, 1, 1, 1),
    'no whole tile': (2, 3, 3, 2, 5),
    'uneven': (2, 8, 5, 7, 9),
    'narrow': (1, 5, 70, 3, 6),
    'wide': (1, 7, 6, 333, 14),
    'several blocks': (2, 9, 75, 130, 28),
    'many channels': (1, 300, 9, 11, 30),
}
LARGEST_ERROR = 1e-5  # of the largest value


@pytest.fixture(autouse=True)
def needs_core():
    if native.core() is None or not winograd.available():
        pytest.skip("the project's operators are not built")


def case(shape):
    images, channels, height, width, filters = shape
    rng = np.random.default_rng(sum(shape))
    data = rng.normal(0, 1, (images, channels, height, width)).astype(np.float32)
    weight = rng.normal(0, 1, (filters, channels, 3, 3)).astype(np.float32)
    return data, weight, rng.normal(0, 1, filters).astype(np.float32)


def expected(data, weight, bias, relu):
    """Sums over the nine taps, in float64."""
    height, width = data.shape[2:]
    padded = np.pad(data.astype(np.float64), [(0, 0), (0, 0), (1, 1), (1, 1)])
    out = np.zeros((len(data), len(weight), height, width)) + (0 if bias is None else bias[:, None, None])
    for y in range(3):
        for x in range(3):
            part = padded[:, :, y : y + height, x : x + width]
            out += np.einsum('nchw,fc->nfhw', part, weight[:, :, y, x].astype(np.float64), optimize=True)
    return np.maximum(out, 0) if relu else out


def computed(data, weight, bias=None, relu=False, request=WRITE, out=None):
    core, shape = native.core(), WinogradShape(*data.shape, len(weight), relu)
    core.dcn_winograd_workspace.restype = ctypes.c_size_t
    work = np.full(core.dcn_winograd_workspace(ctypes.byref(shape)), 255, np.uint8)  # NaNs
    out = np.full((len(data), len(weight), *data.shape[2:]), np.nan, np.float32) if out is None else out
    arrays = [data, winograd.pack(weight), bias, out]
    pointers = [None if array is None else array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
    work = work.ctypes.data_as(ctypes.c_void_p)
    assert core.dcn_winograd_forward(ctypes.byref(shape), *pointers, request, work) == 0
    return out


@pytest.mark.parametrize('shape', SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize('relu', [False, True])
def test_values(shape, relu):
    data, weight, bias = case(shape)
    for given in (bias, None):
        wanted = expected(data, weight, given, relu)
        found = computed(data, weight, given, relu)
        assert np.abs(found - wanted).max() <= LARGEST_ERROR * max(1, np.abs(wanted).max())


def test_requests():
    data, weight, bias = case(SHAPES['uneven'])
    before = np.full((2, 9, 5, 7), 3, np.float32)
    np.testing.assert_array_equal(computed(data, weight, bias, request=NULL, out=before.copy()), before)
    added = computed(data, weight, bias, True, ADD, before.copy())
    np.testing.assert_array_equal(added, computed(data, weight, bias, True) + before)


def test_an_image_has_the_same_bits_alone():
    data, weight, bias = case(SHAPES['several blocks'])
    both = computed(data, weight, bias)
    for image in range(2):
        np.testing.assert_array_equal(computed(data[image : image + 1], weight, bias), both[image : image + 1])


def test_bits_do_not_depend_on_threads():
    program = (
        'from tests.operators.test_winograd import SHAPES, case, computed; import hashlib;'
        'print(hashlib.sha256(computed(*case(SHAPES["several blocks"]), True)).hexdigest())'
    )
    found = {
        subprocess.run(
            [sys.executable, '-c', program], env=environment(threads), check=True, capture_output=True, text=True
        ).stdout
        for threads in (1, 2, 3)
    }
    assert len(found) == 1


def environment(threads):
    import os

    return dict(os.environ, OMP_NUM_THREADS=str(threads))


def test_not_a_number_stays_in_its_tiles():
    data, weight, bias = case(SHAPES['several blocks'])
    data[0, 0, 0, 0] = np.nan
    found = computed(data, weight, bias)
    assert np.isnan(found[0, :, :2, :2]).all()
    assert not np.isnan(found[0, :, 4:]).any() and not np.isnan(found[0, :, :, 4:]).any()
    assert not np.isnan(found[1]).any()


def test_impossible_shapes():
    core = native.core()
    core.dcn_winograd_packed.restype = ctypes.c_size_t
    for shape in ((1, 0, 5, 5, 3), (1, 3, 5, 5, 0), (1, 1 << 20, 5, 5, 1 << 20)):
        shape = WinogradShape(*shape, 0)
        assert core.dcn_winograd_packed(ctypes.byref(shape)) == 0
        assert core.dcn_winograd_forward(ctypes.byref(shape), None, None, None, None, WRITE, None) == 2


def node(**attrs):
    names = ('data', 'weight') if attrs.get('no_bias') == 'True' else ('data', 'weight', 'bias')
    inputs = tuple((k, 0) for k in range(len(names)))
    nodes = [Node(VARIABLE, name) for name in names] + [Node(WINOGRAD, 'one', attrs, inputs, (0,) * len(names))]
    return Graph(tuple(nodes), ((len(names), 0),), (0,))


@pytest.mark.parametrize('no_bias', ['False', 'True'])
@pytest.mark.parametrize('relu', ['False', 'True'])
def test_in_mxnet(no_bias, relu):
    import mxnet as mx

    data, weight, bias = case(SHAPES['uneven'])
    symbol = mx.sym.load_json(symbol_json.dumps(node(num_filter='9', no_bias=no_bias, relu=relu)))
    arrays = {'data': data, 'weight': winograd.pack(weight), 'bias': bias}
    arguments = {name: mx.nd.array(arrays[name]) for name in symbol.list_arguments()}
    assert symbol.infer_shape(data=data.shape)[1] == [(2, 9, 5, 7)]
    executor = symbol.bind(mx.cpu(), arguments, grad_req='null')
    found = executor.forward(is_train=False)[0].asnumpy()
    np.testing.assert_array_equal(found, computed(data, weight, None if no_bias == 'True' else bias, relu == 'True'))


@pytest.mark.parametrize('shapes', [{'data': (2, 3)}, {'data': (1, 8, 5, 7), 'weight': (7,)}])
def test_shapes_that_do_not_fit_are_refused(shapes):
    import mxnet as mx

    symbol = mx.sym.load_json(symbol_json.dumps(node(num_filter='9')))
    with pytest.raises(mx.MXNetError, match='WinogradConvolution'):
        symbol.infer_shape(**shapes)
