"""Names of a configuration's classes: those that training gives them."""

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
