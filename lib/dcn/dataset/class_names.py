"""Class names of a configuration's data set, without its files: what a detector needs to name what it finds."""

from dcn.dataset.coco import COCO_CLASSES
from dcn.dataset.pascal_voc import VOC_CLASSES, listed_names
from dcn.dataset.shapes.detection import SHAPES_CLASSES
from dcn.errors import UserError

KNOWN = {'PascalVOC': VOC_CLASSES, 'coco': COCO_CLASSES, 'shapes': SHAPES_CLASSES, 'shapes_coco': SHAPES_CLASSES}


def class_names(dataset):
    """('__background__', ...) for the section ``dataset`` of a configuration: its CLASSES, or the data set's own."""
    given = dataset.get('CLASSES')
    names = listed_names(given) if given else KNOWN.get(dataset.dataset, ())
    if len(names) + 1 != dataset.NUM_CLASSES:
        raise UserError(
            f'dataset.NUM_CLASSES is {dataset.NUM_CLASSES} (background included), but {len(names)} class '
            f'names are known for {dataset.dataset}; set dataset.CLASSES to the names'
        )
    return ('__background__',) + names
