"""Networks of all families, and one run by PyTorch on the parameters that tests.graphs.runs fills in for MXNet.

No test: machines without PyTorch import it too.
"""

import numpy as np

from tests.graphs.conftest import DEEPLAB, DEEPLAB_DCN, FASTER, FASTER_DCN, FPN, FPN_DCN, VOC, VOC_DCN
from tests.graphs.filling import parameter
from tests.graphs.runs import pictured
from tests.graphs.steps import train_arrays

PLAIN = (VOC, FASTER, FPN, DEEPLAB)
DEFORMABLE = (VOC_DCN, FASTER_DCN, FPN_DCN, DEEPLAB_DCN)
V2 = ('network.deform_rule=v2',)
MODULATED = ('network.modulated=true', 'network.deformable=[res3,res4,res5]', 'network.roi_pooling=modulated')
CASES = [(stem, ()) for stem in (*PLAIN, *DEFORMABLE)] + [
    (stem, rule if 'deeplab' not in stem else [text for text in rule if 'roi_pooling' not in text])
    for stem in DEFORMABLE
    for rule in (V2, MODULATED)
]
IDS = [f'{stem}{"-" if rule else ""}{"modulated" if len(rule) > 1 else "v2" if rule else ""}' for stem, rule in CASES]
# fewer RoIs than NMS leaves, so that nothing is filled up at random, and all of them train
TRAINED = (
    'TRAIN.RPN_POST_NMS_TOP_N=4',
    'TRAIN.BATCH_ROIS=-1',
    'TRAIN.BG_THRESH_LO=0.0',
    'TRAIN.ENABLE_OHEM=true',
    'TRAIN.BATCH_IMAGES=2',
)


def training_inputs(made, stem, images=2):
    """Images that differ, with an object each, and anchors of all three labels."""
    data = np.concatenate([pictured(96, 128)['data'][:, :, :, :: (1, -1)[i % 2]] for i in range(images)])
    if stem.startswith('deeplab'):
        label = np.random.default_rng(0).integers(0, 21, (images, 1, 96, 128)).astype(np.float32)
        label[:, :, :10] = 255
        return {'data': data, 'label': label}
    info = np.float32([[96, 128, 1.0]] * images)
    made.infer_shape({'data': data.shape, 'im_info': info.shape, 'gt_boxes': (images, 3, 5)})
    names = ('data', 'im_info', 'gt_boxes', 'label', 'bbox_target', 'bbox_weight')
    inputs = train_arrays({name: made.arg_shape_dict[name] for name in names})
    inputs['label'] = np.random.default_rng(1).integers(-1, 2, inputs['label'].shape).astype(np.float32)
    return dict(inputs, data=data, im_info=info)


def filled(network, inputs, params=None):
    """(arg_params, aux_params) of a dcn.symbols.network.Network, filled in, or from ``params`` {name: array}."""
    network.infer_shape({name: value.shape for name, value in inputs.items()})
    return tuple(
        {
            name: params[name] if params and name in params else parameter(name, shape)
            for name, shape in shapes.items()
            if name not in inputs
        }
        for shapes in (network.arg_shape_dict, network.aux_shape_dict)
    )


def torch_network(network, inputs, fixed=(), params=None):
    """The graph of a network as PyTorch module, with parameters as by `filled`."""
    from dcn.formats import symbol_json
    from dcn.torch import Network

    return Network(symbol_json.loads(network.sym.tojson()), *filled(network, inputs, params), fixed)


def predicted(network, inputs):
    """{output name: array} as the engine tests the network: rewritten."""
    import torch

    from dcn.torch.predictor import Predictor

    return Predictor(network.sym, torch.device('cpu'), *filled(network, inputs)).predict(inputs)


def run(network, inputs, gradients=False):
    """As tests.graphs.runs.run: (outputs by name, gradients by name or None), NumPy arrays."""
    import torch

    module = torch_network(network, inputs).train(gradients)
    tensors = {name: torch.from_numpy(np.asarray(value, np.float32)) for name, value in inputs.items()}
    with torch.set_grad_enabled(gradients):
        outputs = module(**tensors)
    found = {name: output.detach().numpy() for name, output in outputs.items()}
    if not gradients:
        return found, None
    heads = [output for output in outputs.values() if output.requires_grad]
    torch.autograd.backward(heads, [torch.ones_like(head) for head in heads])
    zero = {name: np.zeros(tuple(p.shape), np.float32) for name, p in module.named_parameters() if p.grad is None}
    return found, {**zero, **{n: p.grad.numpy() for n, p in module.named_parameters() if p.grad is not None}}
