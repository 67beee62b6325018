"""Networks and checkpoints opened, checked and compared as files: NumPy alone, no MXNet, no code run from a file."""

from dcn.inspection.showing import show

__all__ = ['show']
