"""The graph that both DeepLab networks are variants of."""

from typing import Optional

from dcn.networks.resnet import ResNetNetwork
from dcn.symbols.losses import softmax_loss
from dcn.symbols.segmentation_head import segmentation_head

import mxnet as mx

IGNORED = 255  # label of the pixels that do not count


class DeepLab(ResNetNetwork):
    """DeepLab on res5 of stride 16. Inputs: data (B, 3, H, W), for training also label (B, 1, H, W).

    The output softmax (B, C, H, W) holds the classes' probabilities at each pixel.
    """

    new_layers = ('fc6', 'score', 'upsampling')
    deformable_groups = 1
    offset_dilated = False  # the original predicts offsets from an undilated window
    offset_lr = (1.0, 2.0)

    init_weights = ResNetNetwork.init_weight  # the original's name here

    def _train_outputs(self, cfg):
        return [pixel_losses(self._scores(cfg), mx.sym.Variable('label'), cfg.TRAIN.BATCH_IMAGES)]

    def _test_outputs(self, cfg):
        return [pixel_loss(self._scores(cfg), None, 'softmax')]

    def _scores(self, cfg):
        data = mx.sym.Variable('data')
        stages, _ = self._backbone(cfg, data)
        return segmentation_head(
            stages['res5'], data, cfg.dataset.NUM_CLASSES, cfg.network.head_filters, self._feature_strides(cfg)[-1]
        )


def pixel_losses(scores: mx.sym.Symbol, label: mx.sym.Symbol, images: int) -> mx.sym.Symbol:
    """Probabilities (B, C, H, W), the mean over the pixels of each of the ``images`` as its loss. Images on a device
    add up as those on several devices do, however many of their pixels count."""
    if images == 1:
        return pixel_loss(scores, label, 'softmax')
    parts = zip(*(mx.sym.SliceChannel(values, num_outputs=images, axis=0) for values in (scores, label)))
    losses = [pixel_loss(*part, f'softmax{number}') for number, part in enumerate(parts)]
    return mx.sym.Concat(*losses, dim=0, name='softmax')


def pixel_loss(scores: mx.sym.Symbol, label: Optional[mx.sym.Symbol], name: str) -> mx.sym.Symbol:
    """Probabilities of the classes at each pixel (B, C, H, W) from ``scores`` of that shape, their cross entropy with
    ``label`` (B, 1, H, W) as the loss."""
    return softmax_loss(scores, label, name, None, IGNORED, multi_output=True)
