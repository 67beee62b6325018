"""R-FCN whose sampling points can be drawn."""

from rfcn.symbols.base import RFCN


class deform_conv_demo(RFCN):
    """Deformable convolutions in res5 with one group; the test graph puts out their offsets (1, 18, h, w) first."""

    deformable = ('res5',)
    deformable_groups = 1
    offset_dilated = False  # the original's demo predicts offsets from an undilated window

    def _shown(self, conv_offsets, part_offset):
        return list(conv_offsets.values())
