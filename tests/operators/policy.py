"""When a float32 result counts as right: not by a tolerance that somebody once chose, but by what float32 can do."""

import numpy as np

PLAIN_FACTOR = 4  # another order of summation may lose this much more than the plain evaluation does
ROUNDINGS = 4  # and be off by this many roundings of the largest value even where the plain one is lucky


def roundings_of_a_sum(terms):
    """Roundings that adding ``terms`` numbers one after the other may cost: they walk at random, as far as the root."""
    return max(ROUNDINGS, terms**0.5)


def convolution_roundings(case):
    """How many numbers a kernel may add one after the other: taps and channels for the output, filters for the gradient
    of a sample (and, summed over channels, of its offset), all positions of all images for those of weight and bias."""
    filters, channels = case.inputs['weight'].shape[:2]
    roundings = {
        'output': case.inputs['weight'][0].size,
        'data': filters,
        'offset': filters * channels,
        'weight': case.out_grad[:, 0].size,
        'bias': case.out_grad[:, 0].size,
        'mask': filters * channels,
    }
    return {name: roundings_of_a_sum(terms) for name, terms in roundings.items()}


def assert_exact_enough(actual, exact, plain, what, roundings=ROUNDINGS):
    """The error of ``actual`` against the float64 reference implementation ``exact`` is at most PLAIN_FACTOR times that
    of ``plain``, plus some roundings of the largest value.

    plain is the same formula evaluated in the number format of ``actual``, by NumPy (which sums pairwise: better than
    one after the other). Errors are the largest over the array.
    """
    assert actual.shape == exact.shape, f'{what}: shape {actual.shape}, expected {exact.shape}'
    assert actual.dtype == plain.dtype, f'{what}: {actual.dtype}, expected {plain.dtype}'
    if not actual.size:
        return
    error, plain_error = np.abs(actual - exact).max(), np.abs(plain - exact).max()
    allowed = PLAIN_FACTOR * plain_error + roundings * np.finfo(actual.dtype).eps * np.abs(exact).max()
    place = np.unravel_index(np.abs(actual - exact).argmax(), actual.shape)
    assert error <= allowed, (
        f'{what}: error {error:.3g} at {place} ({actual[place]!r} instead of {exact[place]!r}), allowed {allowed:.3g}'
    )


def assert_case_exact_enough(result, exact, plain, **roundings):
    """The same for (output, gradients) as cases.run and cases.run_reference return them; roundings: input -> that of
    its gradient."""
    assert_exact_enough(result[0], exact[0], plain[0], 'output', roundings.get('output', ROUNDINGS))
    assert set(result[1]) == set(exact[1])
    for name, gradient in result[1].items():
        assert_exact_enough(
            gradient, exact[1][name], plain[1][name], f'gradient of {name}', roundings.get(name, ROUNDINGS)
        )
