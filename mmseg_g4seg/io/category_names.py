"""What data sets call their classes, as words for a prompt."""

import re

from mmseg_g4seg.prediction import ClassName

SUFFIXES = re.compile(r'(-(stuff|other|merged))+$')
"""What COCO hangs on the names of its stuff; a prior takes it for words."""


def clean_name(name: ClassName, *, stuff: bool = False) -> ClassName:
    """A data set's name as words: `road, route` is two synonyms, `traffic_light` a traffic light.

    Args:
        name: as the data set has it; synonyms that are apart already stay as they are.
        stuff: whether it is of stuff: `mirror-stuff` is a mirror, `wall-tile` a wall tile. Things keep their hyphens:
            LVIS has a T-shirt.
    """
    if not isinstance(name, str):
        return name
    parts = [part.strip() for part in name.split(',')]
    if stuff:
        parts = [SUFFIXES.sub('', part).replace('-', ' ') for part in parts]
    words = [' '.join(part.replace('_', ' ').replace('(', ' ').replace(')', ' ').split()) for part in parts]
    found = [word for word in words if word]
    return found[0] if len(found) == 1 else tuple(found)
