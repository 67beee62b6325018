"""Own operators inside MXNet: importing this package puts them under the stock names and registers the custom ones.

Where MXNet cannot be imported, the modules here that do without it, dcn.operators.torch among them, work all the same.
"""

from dcn.operators import native

if native.activate():
    # registers the Custom operators; own kernels come first
    from dcn.operators import custom  # noqa: F401
from dcn.operators.native import status  # noqa: F401
