"""The one error that is meant for the user: one sentence with name, expected, found and what to do next."""


class UserError(ValueError):
    """Bad input from outside; the command line prints its message alone and exits with status 2."""


class NonFinite(UserError):
    """A loss or a gradient is not finite, and the parameters were left alone."""
