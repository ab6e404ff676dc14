"""Cityscapes' raw label ids and the 19 training ids.

Source: `cityscapesscripts.helpers.labels`. A label file stores the licence plate, -1 there, as 255.
"""

from mmseg_g4seg.prediction import IGNORE_INDEX

LABEL_IDS = range(34)
TRAIN_IDS_OF_LABEL_IDS = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14,
    28: 15, 31: 16, 32: 17, 33: 18,
}  # fmt: skip
LABEL_MAP = {label_id: TRAIN_IDS_OF_LABEL_IDS.get(label_id, IGNORE_INDEX) for label_id in LABEL_IDS}
"""Training id, or 255, of each of the 34 raw ids."""

NUM_CLASSES = 19
TRAIN_IDS = frozenset({*range(NUM_CLASSES), IGNORE_INDEX})
"""What files of training ids hold; they pass as raw ids, but those have one above 18 (sky 23, car 26)."""
CLASSES = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain',
    'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle',
)  # fmt: skip
