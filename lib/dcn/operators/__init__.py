"""The project's operators inside MXNet: importing this package gives them the stock names and registers custom ones.

Where MXNet cannot be imported, the modules that need none still work, dcn.operators.torch among them.
"""

from dcn.operators import native

if native.activate():
    # registers the Custom operators; the project's kernels come first
    from dcn.operators import custom  # noqa: F401
from dcn.operators.native import status  # noqa: F401
