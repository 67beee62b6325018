"""When a float32 result counts as right: not by a tolerance that somebody once chose, but by what float32 can do."""
import numpy as np

PLAIN_FACTOR = 4      # another order of summation may lose this much more than the plain float32 evaluation does ...
ROUNDINGS = 4         # ... and a result may be off by this many roundings of its largest value even where that one is lucky


def assert_exact_enough(actual, exact, plain, what):
    """The error of ``actual`` against the float64 oracle ``exact`` is at most PLAIN_FACTOR times that of ``plain``.

    plain is the same formula evaluated in the number format of ``actual``, by NumPy. Errors are the largest over the array.
    """
    assert actual.shape == exact.shape, f'{what}: shape {actual.shape}, expected {exact.shape}'
    assert actual.dtype == plain.dtype, f'{what}: {actual.dtype}, expected {plain.dtype}'
    if not actual.size:
        return
    error, plain_error = np.abs(actual - exact).max(), np.abs(plain - exact).max()
    allowed = PLAIN_FACTOR * plain_error + ROUNDINGS * np.finfo(actual.dtype).eps * np.abs(exact).max()
    place = np.unravel_index(np.abs(actual - exact).argmax(), actual.shape)
    assert error <= allowed, (f'{what}: error {error:.3g} at {place} ({actual[place]!r} instead of {exact[place]!r}), '
                              f'allowed {allowed:.3g}')


def assert_case_exact_enough(result, exact, plain):
    """The same for (output, gradients) as cases.run and cases.oracle return them."""
    assert_exact_enough(result[0], exact[0], plain[0], 'output')
    assert set(result[1]) == set(exact[1])
    for name, gradient in result[1].items():
        assert_exact_enough(gradient, exact[1][name], plain[1][name], f'gradient of {name}')
