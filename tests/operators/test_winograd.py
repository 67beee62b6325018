"""Winograd's convolution against sums in float64, through the C interface and as an operator of MXNet."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from dcn.formats import symbol_json
from dcn.formats.graph import VARIABLE, Graph, Node
from dcn.operators import native, winograd
from dcn.operators.structs import ADD, NULL, WRITE, WinogradGradients, WinogradShape
from dcn.rewrite.winograd import WINOGRAD

SHAPES = {  # images, channels, height, width, filters
    'one pixel': (1, 1, 1, 1, 1),
    'no whole tile': (2, 3, 3, 2, 5),
    'uneven': (2, 8, 5, 7, 9),
    'narrow': (1, 5, 70, 3, 6),
    'wide': (1, 7, 6, 333, 14),
    'several blocks': (2, 9, 75, 130, 28),
    'many channels': (1, 300, 9, 11, 30),
    'very wide': (1, 3, 5, 1100, 4),
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


def expected_gradients(data, weight, out_gradient):
    """Of data, weight and bias, in float64."""
    turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    height, width = data.shape[2:]
    padded, out_gradient = np.pad(data.astype(np.float64), [(0, 0), (0, 0), (1, 1), (1, 1)]), out_gradient.astype(float)
    weights = [
        np.einsum('nfhw,nchw->fc', out_gradient, padded[:, :, y : y + height, x : x + width], optimize=True)
        for y in range(3)
        for x in range(3)
    ]
    of_weight = np.stack(weights, -1).reshape(weight.shape)
    return expected(out_gradient, turned, None, False), of_weight, out_gradient.sum((0, 2, 3))


def gradients(data, weight, out_gradient, request=WRITE, given=None, only=(True, True, True)):
    """Of data, weight and bias by the C interface; given: what stands in their arrays before."""
    core, shape = native.core(), WinogradShape(*data.shape, len(weight), False)
    found = [np.full(s, np.nan, np.float32) for s in (data.shape, weight.shape, (len(weight),))]
    found = found if given is None else [array.copy() for array in given]
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in found]
    wanted = [request if asked else NULL for asked in only]
    results = WinogradGradients(*(p if asked else None for p, asked in zip(pointers, only)), *wanted)
    core.dcn_winograd_backward_workspace.restype = ctypes.c_size_t
    size = core.dcn_winograd_backward_workspace(ctypes.byref(shape), ctypes.byref(results))
    work = np.full(max(size, 1), 255, np.uint8)  # NaNs
    inputs = [array.ctypes.data_as(ctypes.c_void_p) for array in (data, weight, out_gradient)]
    work = work.ctypes.data_as(ctypes.c_void_p)
    assert core.dcn_winograd_backward(ctypes.byref(shape), *inputs, ctypes.byref(results), work) == 0
    return found


def gradient_case(shape):
    data, weight, _ = case(shape)
    images, _, height, width, filters = shape
    return data, weight, np.random.default_rng(3).normal(0, 1, (images, filters, height, width)).astype(np.float32)


@pytest.mark.parametrize('shape', SHAPES.values(), ids=SHAPES)
def test_gradients(shape):
    arrays = gradient_case(shape)
    for found, wanted in zip(gradients(*arrays), expected_gradients(*arrays)):
        assert np.abs(found - wanted).max() <= LARGEST_ERROR * np.abs(wanted).max()


@pytest.mark.parametrize('only', [(True, False, False), (False, True, False), (False, False, True)])
def test_gradients_are_added_where_asked_for_and_alone_the_same(only):
    arrays = gradient_case(SHAPES['uneven'])
    whole = gradients(*arrays)
    given = [np.full(array.shape, 3, np.float32) for array in whole]
    for asked, found, one in zip(only, gradients(*arrays, WRITE, given, only), whole):
        np.testing.assert_array_equal(found, one if asked else 3)
    for asked, found, one in zip(only, gradients(*arrays, ADD, given, only), whole):
        np.testing.assert_allclose(found, one + 3 if asked else 3, rtol=0, atol=1e-6 * np.abs(one).max())


def test_no_images_have_no_gradient():
    data, weight, out_gradient = gradient_case(SHAPES['uneven'])
    assert [np.abs(array).max() for array in gradients(data[:0], weight, out_gradient[:0])[1:]] == [0, 0]


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
        'from tests.operators.test_winograd import SHAPES, case, computed, gradient_case, gradients; import hashlib;'
        'shape = SHAPES["several blocks"];'
        'found = [computed(*case(shape), True), *gradients(*gradient_case(shape))];'
        'print([hashlib.sha256(array).hexdigest() for array in found])'
    )
    found = {
        subprocess.run(
            [sys.executable, '-c', program], env=environment(threads), check=True, capture_output=True, text=True
        ).stdout
        for threads in (1, 2, 3)
    }
    assert len(found) == 1


@pytest.mark.parametrize('name', ['avx512', 'avx2', 'portable'])
def test_every_instruction_set(name):
    """Where the processor lacks one, this tries the next narrower one."""
    program = (
        'import numpy as np; from tests.operators.test_winograd import *\n'
        'for shape in SHAPES.values():\n'
        '    found, wanted = [computed(*case(shape))], [expected(*case(shape), False)]\n'
        '    found += gradients(*gradient_case(shape)); wanted += expected_gradients(*gradient_case(shape))\n'
        '    for one, other in zip(found, wanted):\n'
        '        assert np.abs(one - other).max() <= LARGEST_ERROR * np.abs(other).max(), shape\n'
    )
    found = subprocess.run([sys.executable, '-c', program], env=environment(1, DCN_ISA=name), stderr=subprocess.PIPE)
    assert found.returncode == 0, found.stderr.decode()[-2000:]


def environment(threads, **more):
    import os

    return dict(os.environ, OMP_NUM_THREADS=str(threads), **more)


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
    for shape in ((1, 0, 5, 5, 3, 0), (1, 3, 5, 5, 3, 1)):  # no channels; ReLU, which has no gradient here
        shape, wanted = WinogradShape(*shape), WinogradGradients()
        assert core.dcn_winograd_backward(ctypes.byref(shape), None, None, None, ctypes.byref(wanted), None) == 2


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
    symbol = mx.sym.load_json(symbol_json.dumps(node(num_filter='9', no_bias=no_bias, relu=relu, packed='True')))
    arrays = {'data': data, 'weight': winograd.pack(weight), 'bias': bias}
    arguments = {name: mx.nd.array(arrays[name]) for name in symbol.list_arguments()}
    assert symbol.infer_shape(data=data.shape)[1] == [(2, 9, 5, 7)]
    executor = symbol.bind(mx.cpu(), arguments, grad_req='null')
    found = executor.forward(is_train=False)[0].asnumpy()
    np.testing.assert_array_equal(found, computed(data, weight, None if no_bias == 'True' else bias, relu == 'True'))


@pytest.mark.parametrize('requests', ['write', 'add', 'data null', 'weight null'])
@pytest.mark.parametrize('no_bias', ['False', 'True'])
def test_gradients_in_mxnet_are_those_of_its_convolution(no_bias, requests):
    """Twice, so that what is added is seen."""
    import mxnet as mx

    data, weight, out_gradient = gradient_case(SHAPES['uneven'])
    stock = mx.sym.Convolution(
        *(mx.sym.Variable(name) for name in ('data', 'weight', 'bias')[: 3 - (no_bias == 'True')]),
        kernel=(3, 3),
        pad=(1, 1),
        num_filter=9,
        no_bias=no_bias == 'True',
    )
    own = mx.sym.load_json(symbol_json.dumps(node(num_filter='9', no_bias=no_bias)))
    arrays = {'data': data, 'weight': weight, 'bias': np.arange(9)}
    results = []
    for symbol in (stock, own):
        given = {name: mx.nd.array(arrays[name]) for name in symbol.list_arguments()}
        wanted = dict.fromkeys(given, requests if requests in ('write', 'add') else 'write')
        if requests.endswith('null'):
            wanted[requests.split()[0]] = 'null'
        found = {name: mx.nd.ones(array.shape) for name, array in given.items()}
        executor = symbol.bind(mx.cpu(), given, found, wanted)
        for _ in range(2):
            out = executor.forward(is_train=True)[0].asnumpy()
            executor.backward(mx.nd.array(out_gradient))
        results.append([out, *(found[name].asnumpy() for name in symbol.list_arguments())])
    for one, other in zip(*results):
        assert np.abs(one - other).max() <= LARGEST_ERROR * np.abs(other).max()


@pytest.mark.parametrize('attrs', [{'relu': 'True'}, {'packed': 'True'}])
def test_gradients_of_what_is_for_inference_are_refused(attrs):
    import mxnet as mx

    data, weight, _ = case(SHAPES['uneven'])
    weight = winograd.pack(weight) if 'packed' in attrs else weight
    symbol = mx.sym.load_json(symbol_json.dumps(node(num_filter='9', no_bias='True', **attrs)))
    given = {'data': mx.nd.array(data), 'weight': mx.nd.array(weight)}
    executor = symbol.bind(mx.cpu(), given, {name: mx.nd.zeros(array.shape) for name, array in given.items()})
    with pytest.raises(mx.MXNetError, match='has gradients without relu and packed only'):
        executor.forward(is_train=True)
        executor.backward(mx.nd.ones((2, 9, 5, 7)))
        executor.grad_arrays[0].asnumpy()


@pytest.mark.parametrize('dtype', ['float16', 'float64'])
def test_other_types_are_refused(dtype):
    import mxnet as mx

    symbol = mx.sym.load_json(symbol_json.dumps(node(num_filter='9', no_bias='True')))
    with pytest.raises(RuntimeError, match='needs float32'):
        symbol.simple_bind(mx.cpu(), data=(1, 8, 5, 7), type_dict={'data': dtype})


@pytest.mark.parametrize('packed', ['False', 'True'])
@pytest.mark.parametrize('shapes', [{'data': (2, 3)}, {'data': (1, 8, 5, 7), 'weight': (7,)}])
def test_shapes_that_do_not_fit_are_refused(shapes, packed):
    import mxnet as mx

    symbol = mx.sym.load_json(symbol_json.dumps(node(num_filter='9', packed=packed)))
    with pytest.raises(mx.MXNetError, match='WinogradConvolution'):
        symbol.infer_shape(**shapes)
