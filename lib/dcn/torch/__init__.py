"""The same graphs run and trained by PyTorch: symbol JSON and parameters in, no second definition of any network.

    network = Network.load('model/rfcn_dcn_coco-symbol.json', 'model/rfcn_dcn_coco-0000.params')
    outputs = network(data=images, im_info=info)      # {output name: tensor}

MXNet is the reference: every operator here computes what MXNet 1.9.1 does, and says so where PyTorch's habit is
another. Importing this package needs PyTorch and no MXNet.
"""

import os

import dcn.operators.torch  # noqa: F401  (first: one sentence where PyTorch is missing)
from dcn.torch.network import Network

# PyTorch reads it with its first tensor: memory of large maps comes in large pages, which take a hundredth of the page
# faults (docs/torch.md)
os.environ.setdefault('THP_MEM_ALLOC_ENABLE', '1')

__all__ = ['Network']
