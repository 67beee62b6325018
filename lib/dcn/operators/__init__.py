"""Own operators inside MXNet: importing this package puts them under the stock names and registers the custom ones."""

from dcn.operators import native

native.activate()

# registers the Custom operators; own kernels come first
from dcn.operators import fpn_roi_pooling, ohem, proposal, proposal_target, pyramid_proposal  # noqa: E402,F401
from dcn.operators.native import status  # noqa: E402,F401
