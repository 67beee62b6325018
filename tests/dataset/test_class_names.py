"""Names of a configuration's classes: those that training gives them."""

import subprocess
import sys

import pytest
from easydict import EasyDict

from dcn.dataset.class_names import class_names
from dcn.errors import UserError


def section(count, classes=None, name='PascalVOC'):
    return EasyDict(dataset=name, NUM_CLASSES=count, CLASSES=classes)


@pytest.mark.parametrize('classes', [['bolt', 'nut'], ['__background__', 'Bolt', ' Nut ']])
def test_lists_with_and_without_background_mean_the_same(classes):
    assert class_names(section(3, classes)) == ('__background__', 'bolt', 'nut')


def test_known_data_sets():
    assert class_names(section(21))[:2] == ('__background__', 'aeroplane')
    assert class_names(section(81, name='coco'))[80] == 'toothbrush'
    assert class_names(section(6, name='shapes')) == class_names(section(6, name='shapes_coco'))


def test_another_count_is_told():
    with pytest.raises(UserError, match='NUM_CLASSES is 4 .*, but 2 class names are known for PascalVOC'):
        class_names(section(4, ['bolt', 'nut']))


BLOCKED = """
import sys
for name in ('scipy', 'skimage', 'pycocotools', 'dcn.dataset.shapes', 'mxnet'):
    sys.modules[name] = None  # importing it fails
from easydict import EasyDict
from dcn.dataset.class_names import class_names, palette
for kind, names in {'detection': ('PascalVOC', 'coco', 'shapes', 'shapes_coco'),
                    'segmentation': ('PascalVOC', 'CityScape', 'shapes', 'shapes_cityscape')}.items():
    for name in names:
        count = {'PascalVOC': 21, 'coco': 81, 'shapes': 6, 'shapes_coco': 6}.get(name, 19)
        section = EasyDict(dataset=name, NUM_CLASSES=count)
        assert len(class_names(section, kind)) == count
        assert kind == 'detection' or palette(section).shape == (count, 3)
"""


def test_naming_classes_needs_neither_the_painter_nor_its_libraries():
    subprocess.run([sys.executable, '-c', BLOCKED], check=True)


def test_segmentation_takes_classes_with_and_without_the_background():
    for classes in (['bolt', 'nut'], ['background', 'bolt', 'nut']):
        names = class_names(section(3, classes), 'segmentation')
        assert names == ('background', 'bolt', 'nut')
    assert class_names(section(2, ['bolt', 'nut']), 'segmentation') == ('bolt', 'nut')
