"""Class names of a configuration's data set, without its files: what a detector needs to name what it finds."""
from lib.dataset.pascal_voc import VOC_CLASSES, listed_names
from lib.dataset.shapes import SHAPES_CLASSES
from lib.errors import UserError

# the 80 categories of COCO's instances files, in the order of their ids
COCO_CLASSES = tuple('''person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,
stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,
handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,
surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,
broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,
laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,
scissors,teddy bear,hair drier,toothbrush'''.replace('\n', '').split(','))

KNOWN = {'PascalVOC': VOC_CLASSES, 'shapes': SHAPES_CLASSES, 'coco': COCO_CLASSES}


def class_names(dataset):
    """('__background__', ...) for the section ``dataset`` of a configuration: its CLASSES, or the data set's own."""
    given = dataset.get('CLASSES')
    names = listed_names(given) if given else KNOWN.get(dataset.dataset, ())
    if len(names) + 1 != dataset.NUM_CLASSES:
        raise UserError(f'dataset.NUM_CLASSES is {dataset.NUM_CLASSES} (background included), but {len(names)} class '
                        f'names are known for {dataset.dataset}; set dataset.CLASSES to the names')
    return ('__background__',) + names
