"""One image with a coarse prediction of exactly K classes, drawn, not loaded.

Shapes: K classes to refine, C = K + 1 classes with the background, H W image size.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from mmseg_g4seg.prediction import Prediction

BACKGROUND = 0
"""Index of the class that is never refined."""
PROMPT = 'a photo of {name}'

THINGS = (
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('dining table', 'dog', 'horse', 'motorbike', 'person', 'potted plant', 'sheep', 'sofa', 'train'),
)


@dataclass(frozen=True)
class Case:
    """What a refiner is given.

    Attributes:
        image: (3, H, W) float32 RGB in [0, 1].
        prediction: of C classes, all of them in the label map, unsure along every border.
        class_names: C names.
    """

    image: torch.Tensor
    prediction: Prediction
    class_names: list[str]


def class_names(count: int) -> list[str]:
    """Background and `count` things; beyond the list they are numbered."""
    numbered = [f'{THINGS[i % len(THINGS)]} {i // len(THINGS) + 1}' for i in range(len(THINGS), count)]
    return ['background', *[*THINGS, *numbered][:count]]


def make_case(count: int, size: int, *, device: torch.device | str = 'cpu', seed: int = 0) -> Case:
    """Draws regions around random points, one a class, each of its own colour under noise.

    Args:
        count: K, the classes to refine.
        size: H and W, pixels.
        device: of image and prediction.
        seed: of points, colours and noise, drawn on the CPU.

    Raises:
        ValueError: if there are not as many pixels as classes.
    """
    total = count + 1
    if count < 1 or total > size * size:
        raise ValueError(f'classes: expected 1 to {size * size - 1} in {size}x{size} pixels, got {count}')
    generator = torch.Generator().manual_seed(seed)
    # the pixel of a class's own point is nearest to it: every class is in the label map
    points = torch.randperm(size * size, generator=generator)[:total]
    rows, columns = torch.arange(size)[:, None], torch.arange(size)[None]
    squares = [(rows - p // size) ** 2 + (columns - p % size) ** 2 for p in points]
    distances = torch.stack(squares).float().sqrt() / size  # (C, H, W)
    probs = (-12 * distances).softmax(0)
    labels = distances.argmin(0)
    colours = torch.rand(total, 3, generator=generator)
    noise = F.interpolate(torch.randn(1, 3, max(1, size // 4), max(1, size // 4), generator=generator), (size, size))[0]
    image = (colours[labels].permute(2, 0, 1) + 0.1 * noise).clamp(0, 1)
    prediction = Prediction(probs.to(device), labels.to(device))
    return Case(image.to(device), prediction, class_names(count))
