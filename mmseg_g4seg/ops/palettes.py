"""Colours of label maps, and of heat maps."""

import numpy as np


def voc_palette(count: int = 256) -> np.ndarray:
    """The colours of PASCAL VOC's masks: (count, 3) uint8; an index's bits are dealt to the channels in turn."""
    indices = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((indices >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


BLUE, VERMILLION, PURPLE = (0, 114, 178), (213, 94, 0), (204, 121, 167)
"""Three that colour-blind readers tell apart: Okabe and Ito, Color Universal Design, 2008."""
MUTED = (
    (204, 102, 119), (51, 34, 136), (221, 204, 119), (17, 119, 51), (136, 204, 238), (136, 34, 85), (68, 170, 153),
    (153, 153, 51), (170, 68, 153), (221, 221, 221),
)  # fmt: skip
"""Ten likewise, for classes: Paul Tol, Colour Schemes, SRON technical note, 2021."""
HEAT = ((0, 32, 77), (52, 66, 109), (102, 105, 112), (149, 143, 120), (203, 186, 105), (255, 234, 70))
"""Dark blue to yellow, of even steps in lightness, colour-blind or not: Nunez et al., PLOS ONE 13(7), 2018."""


def heat_colours(values: np.ndarray) -> np.ndarray:
    """Colours of numbers: (H, W) float in [0, 1] -> (H, W, 3) uint8, between the colours of `HEAT`."""
    stops = np.linspace(0, 1, len(HEAT))
    channels = [np.interp(values, stops, np.array(HEAT)[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
