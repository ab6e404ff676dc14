"""Refines instance masks in Detectron2's form, each against the rest of the image: Mask R-CNN, PointRend.

Shapes: N instances, H W image size.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmseg_g4seg.ops.masks import BORDER_WIDTH, soften_labels
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner

if TYPE_CHECKING:
    from detectron2.structures import Instances


def refine_instances(
    refiner: Refiner,
    image: Tensor,
    instances: 'Instances',
    names: ClassList | Sequence[ClassName],
    *,
    key: Key = 0,
) -> 'Instances':
    """Refines the masks of one image; instances may overlap, so each is refined alone.

    Args:
        refiner: of `build_refiner`.
        image: (3, H, W) float RGB in [0, 1].
        instances: `pred_masks` (N, H, W) bool, or 0 and 1, and `pred_classes` (N,), after postprocessing.
        names: of the classes that `pred_classes` counts.
        key: of the image.

    Returns:
        Copies of the instances that still have a pixel, scores and all else as they were; the boxes of masks that
        changed are those of the new masks.

    Raises:
        ValueError: if shapes or classes do not fit.
        ImportError: if Detectron2 is missing.
    """
    try:
        from detectron2.structures import BitMasks, Boxes
    except ImportError as error:
        raise ImportError('instances need Detectron2, which is built from its repository') from error
    names, masks = ClassList.of(names), instances.pred_masks
    labels = instances.pred_classes.tolist()
    if masks.shape[1:] != image.shape[1:]:
        raise ValueError(f'pred_masks: expected (N, {image.shape[1]}, {image.shape[2]}), got {tuple(masks.shape)}')
    if labels and max(labels) >= len(names):
        raise ValueError(f'pred_classes: expected classes below {len(names)}, one a name, got {max(labels)}')
    refined = [refine_mask(refiner, image, m > 0, names, label, key) for m, label in zip(masks, labels, strict=True)]
    found = instances[:]  # a copy: evaluators of the coarse masks read the given ones
    found.pred_masks = torch.stack(refined).to(masks) if refined else masks
    changed = (found.pred_masks != masks).flatten(1).any(dim=1)
    if found.has('pred_boxes'):
        boxes = BitMasks(found.pred_masks.bool()).get_bounding_boxes().tensor.to(found.pred_boxes.tensor)
        found.pred_boxes = Boxes(torch.where(changed[:, None], boxes, found.pred_boxes.tensor))
    return found[found.pred_masks.flatten(1).any(dim=1)]


def refine_mask(refiner: Refiner, image: Tensor, mask: Tensor, names: ClassList, label: int, key: Key = 0) -> Tensor:
    """Refines the mask of one object against the rest of the image.

    Args:
        refiner: of `build_refiner`.
        image: (3, H, W) float RGB in [0, 1].
        mask: (H, W) bool.
        names: of all classes.
        label: the object's class; one that the prior does not know, or the background, is left as it is.
        key: of the image.

    Returns:
        (H, W) bool.
    """
    if not mask.any() or not names.knows(label) or label == names.background:
        return mask
    label_map = mask.long()
    coarse = Prediction(soften_labels(label_map, 2, BORDER_WIDTH * max(mask.shape)), label_map)
    classes = ClassList(['background', names[label]], background=0)
    return refiner.refine(image.to(mask.device), coarse, classes, key=key).label_map == 1
