"""Colours of label maps."""

import numpy as np


def voc_palette(count: int = 256) -> np.ndarray:
    """The colours of PASCAL VOC's masks: (count, 3) uint8; an index's bits are dealt to the channels in turn."""
    indices = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((indices >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours
