"""What a ControlNet-seg is shown: each region of a layout in the colour of an ADE20K class.

Shapes: C classes of the data set, R regions of a layout, H W label map, H' W' image size of the prior.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.prediction import ClassName, synonyms

from .ade20k_colours import ADE20K_CLASSES

Colour = tuple[int, int, int]

ADE20K_COLOURS: tuple[Colour, ...] = tuple(dict.fromkeys(colour for _, colour in ADE20K_CLASSES))
"""The 149 different colours, in the order of the classes."""


def control_colours(class_names: Sequence[ClassName], palette: Sequence[Sequence[int]] | None = None) -> Tensor:
    """Gives every class a colour that a ControlNet trained on ADE20K has seen.

    A class that ADE20K has, under any of its names, gets its colour there. Any other gets the one
    nearest to its own colour (Euclidean, in RGB) among those that the fewest classes have: while
    there are free colours, it shares none. Names, palette and their order alone decide.

    Args:
        class_names: C names; a name may hold synonyms separated by commas.
        palette: C colours, RGB in 0 to 255, of the data set; PASCAL VOC's by index when not given.

    Returns:
        (C, 3) uint8 RGB on the CPU.

    Raises:
        ValueError: if the palette does not have one colour a class.

    Source:
        G4Seg's option of ControlNet-seg in place of attention injection (arXiv 2506.01539).
    """
    if palette is not None and len(palette) != len(class_names):
        raise ValueError(f'palette: expected {len(class_names)} colours, one a class, got {len(palette)}')
    uses = dict.fromkeys(ADE20K_COLOURS, 0)
    chosen: dict[int, Colour] = {}
    for i, known in enumerate(map(_known_colours, class_names)):
        if known:
            # where its names stand for several classes, one that no class before it has
            chosen[i] = min(known, key=lambda colour: uses[colour] > 0)
            uses[chosen[i]] += 1
    own = voc_palette(len(class_names)).tolist() if palette is None else palette
    for i in (i for i in range(len(class_names)) if i not in chosen):
        chosen[i] = min(ADE20K_COLOURS, key=lambda colour: (uses[colour], _distance(colour, own[i])))
        uses[chosen[i]] += 1
    return torch.tensor([chosen[i] for i in range(len(class_names))], dtype=torch.uint8).reshape(-1, 3)


def number_regions(label_map: Tensor, classes: Sequence[int], size: Sequence[int]) -> Tensor:
    """Says which of R classes each pixel of another size has, by the nearest pixel of the label map.

    Args:
        label_map: (H, W) int64.
        classes: R classes.
        size: (H', W').

    Returns:
        (H', W') int64: 1 to R in the order of `classes`, 0 where none of them is.
    """
    # labels fit into a float32's 24 bits
    nearest = F.interpolate(label_map[None, None].float(), (int(size[0]), int(size[1])), mode='nearest-exact')[0, 0]
    regions = torch.zeros_like(nearest, dtype=torch.long)
    for number, c in enumerate(classes, start=1):
        regions[nearest == c] = number
    return regions


def paint_regions(regions: Tensor, colours: Tensor) -> Tensor:
    """Paints regions, black where there is none.

    Args:
        regions: (H', W') int64 of 0 to R, see `number_regions`.
        colours: (R, 3) uint8 RGB.

    Returns:
        (3, H', W') float32 RGB in [0, 1], on the device of `regions`.
    """
    table = F.pad(colours.float() / 255, (0, 0, 1, 0)).to(regions.device)  # (1 + R, 3)
    return table[regions].permute(2, 0, 1)


def _distance(colour: Colour, other: Sequence[int]) -> int:
    return sum((int(a) - int(b)) ** 2 for a, b in zip(colour, other, strict=True))


def _known_colours(name: ClassName) -> list[Colour]:
    """Colours of the ADE20K classes that a class's names are, in the order of the names."""
    return [_BY_NAME[key] for key in _keys(synonyms(name)) if key in _BY_NAME]


def _keys(names: Iterable[str]) -> list[str]:
    """Names as they are compared: in lower case, words apart by one space."""
    single = [part for name in names for part in name.split(',')]
    return [' '.join(name.lower().replace('-', ' ').replace('_', ' ').split()) for name in single]


def _index_names() -> dict[str, Colour]:
    """Every name of an ADE20K class -> its colour; a class's main name goes before another's synonym."""
    names = [(_keys([listed]), colour) for listed, colour in ADE20K_CLASSES]
    by_name = {keys[0]: colour for keys, colour in names}
    for keys, colour in names:
        for key in keys[1:]:
            by_name.setdefault(key, colour)
    return by_name


_BY_NAME = _index_names()
