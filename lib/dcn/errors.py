"""The one error that is meant for the user: one sentence with name, expected, found and what to do next."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input from outside; the command line prints its message alone and exits with status 2."""


class NonFinite(UserError):
    """A loss or a gradient is not finite, and the parameters were left alone."""

    @classmethod
    def of(cls, update: int, what: str, first: str | None = None, skips: bool = False) -> NonFinite:
        """``what`` was not finite in ``update``, counted from 1, beginning ``first`` ('in the layer conv1'; None: not
        known); skips: whether the engine can leave such batches out."""
        where = f'; first {first}' if first else ''
        choices = ['lower TRAIN.lr', 'set TRAIN.clip_gradient', 'check the data with "dcn validate"']
        choices += ['leave such batches out with --set TRAIN.nonfinite=skip'] * skips
        return cls(
            f'update {update}: {what} is not finite{where}; the parameters were not updated and no checkpoint was '
            f'written: {", ".join(choices[:-1])}, or {choices[-1]}.'
        )
