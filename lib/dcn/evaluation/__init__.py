"""The metrics: PASCAL VOC, COCO, semantic segmentation, recall of proposals."""
