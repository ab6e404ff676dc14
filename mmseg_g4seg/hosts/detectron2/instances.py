"""Refines instance masks in Detectron2's form, each against the rest of the image: Mask R-CNN, PointRend.

Shapes: N instances, n of one class, H W image size.
"""

from collections.abc import Sequence

import torch
from detectron2.structures import BitMasks, Boxes, Instances
from torch import Tensor

from mmseg_g4seg.ops.masks import soften_labels
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER

MASKS_PER_BATCH = 8
"""Of one class, refined together. More would take more memory: each has two maps of the image's size."""


def refine_instances(
    refiner: Refiner,
    image: Tensor,
    instances: Instances,
    names: ClassList | Sequence[ClassName],
    *,
    soften: float = SEGMENT_BORDER,
    key: Key = 0,
) -> Instances:
    """Refines the masks of one image, each against the rest of it, since instances may overlap.

    Args:
        refiner: of `build_refiner`.
        image: (3, H, W) float RGB in [0, 1].
        instances: `pred_masks` (N, H, W) bool, or 0 and 1, and `pred_classes` (N,), after postprocessing.
        names: of the classes that `pred_classes` counts.
        soften: how wide borders of masks are unsure, see `refine_panoptic`.
        key: of the image.

    Returns:
        Copies of the instances that still have a pixel, scores and all else as they were; the boxes of masks that
        changed are those of the new masks.

    Raises:
        ValueError: if there are no masks, or shapes or classes do not fit.
    """
    if not instances.has('pred_masks'):  # of a detector of boxes
        raise ValueError(f'instances: expected pred_masks, got {sorted(instances.get_fields())}; is MODEL.MASK_ON set?')
    names, masks = ClassList.of(names), instances.pred_masks
    labels = instances.pred_classes.tolist()
    if masks.shape[1:] != image.shape[1:]:
        raise ValueError(f'pred_masks: expected (N, {image.shape[1]}, {image.shape[2]}), got {tuple(masks.shape)}')
    if labels and max(labels) >= len(names):
        raise ValueError(f'pred_classes: expected classes below {len(names)}, one a name, got {max(labels)}')
    refined = masks > 0
    for label in sorted(set(labels)):
        # classes of their own: a refiner's batch has one list of classes
        own = (instances.pred_classes == label).to(refined.device)
        refined[own] = refine_masks(refiner, image, refined[own], names, label, soften, key)
    found = instances[:]  # a copy: evaluators of the coarse masks read the given ones
    found.pred_masks = refined.to(masks)
    changed = (found.pred_masks != masks).flatten(1).any(dim=1)
    if found.has('pred_boxes'):
        boxes = BitMasks(found.pred_masks.bool()).get_bounding_boxes().tensor.to(found.pred_boxes.tensor)
        found.pred_boxes = Boxes(torch.where(changed[:, None], boxes, found.pred_boxes.tensor))
    return found[found.pred_masks.flatten(1).any(dim=1)]


def refine_masks(
    refiner: Refiner, image: Tensor, masks: Tensor, names: ClassList, label: int, soften: float, key: Key
) -> Tensor:
    """Refines the masks of objects of one class, each against the rest of the image; an empty one stays empty.

    Args:
        refiner: of `build_refiner`.
        image: (3, H, W) float RGB in [0, 1].
        masks: (n, H, W) bool.
        names: of all classes.
        label: the objects' class; one that the prior does not know, or the background, is left as it is.
        soften: see `refine_instances`.
        key: of the image.

    Returns:
        (n, H, W) bool.
    """
    refined = masks.clone()
    if not names.knows(label) or label == names.background:
        return refined
    classes = ClassList(['background', names[label]], background=0)
    for batch in masks.flatten(1).any(dim=1).nonzero()[:, 0].split(MASKS_PER_BATCH):
        coarse = [_soften(masks[i], soften) for i in batch.tolist()]
        images, keys = [image.to(masks.device)] * len(coarse), [key] * len(coarse)
        found = refiner.refine_batch(images, coarse, classes, keys=keys)
        refined[batch] = torch.stack([prediction.label_map == 1 for prediction in found])
    return refined


def _soften(mask: Tensor, soften: float) -> Prediction:
    """A mask (H, W) bool as two classes, the object second."""
    label_map = mask.long()
    return Prediction(soften_labels(label_map, 2, soften * max(mask.shape)), label_map)
