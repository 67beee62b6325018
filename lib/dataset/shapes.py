"""stub"""
from lib.dataset.pascal_voc import PascalVOC


class Shapes(PascalVOC):
    base = 'shapes'
