"""Own operators inside MXNet: importing this package replaces the stock ones under their stock names and registers the custom ones."""
from lib.operators import native

native.activate()

from lib.operators import ohem, proposal, proposal_target  # noqa: E402,F401  (registers the Custom operators; own kernels come first)
from lib.operators.native import status  # noqa: E402,F401
