"""R-FCN whose parts can be drawn."""

from rfcn.symbols.base import RFCN


class deform_psroi_demo(RFCN):
    """Plain convolutions, 3x3 deformable parts; the test graph puts out the class offsets (R, 2C, 3, 3) first."""

    roi_pooling = 'deformable'
    pooled_size = 3

    def _shown(self, conv_offsets, part_offset):
        return [part_offset]
