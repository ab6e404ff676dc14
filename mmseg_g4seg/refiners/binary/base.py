"""What refiners of one object at a time share: which classes go in, and how they come together again.

Shapes: C classes of the data set, K classes refined, H W image size.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.ops.binary_masks import merge_binary_masks
from mmseg_g4seg.ops.masks import present_classes
from mmseg_g4seg.ops.noise import noise_key
from mmseg_g4seg.ops.precision import without_autocast
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner, check_inputs, redecide


class BinaryMaskRefiner(Refiner):
    """Runs a refiner of binary masks over the classes present, one after the other, and merges them.

    Probabilities are lost on the way in (the network sees each class's hard mask) and regained on the
    way out from the network's own soft output; see `merge_binary_masks`.
    """

    def __init__(self, *, min_area: float = 0.0) -> None:
        """Args:
            min_area: least share of an image's pixels that a class must cover to be refined; the background never is,
                and takes what no other class claims.

        Raises:
            ValueError: if `min_area` is no share.
        """
        if not 0 <= min_area <= 1:
            raise ValueError(f'min_area: expected a share in [0, 1], got {min_area}')
        self.min_area = min_area

    @abstractmethod
    def refine_mask(self, image: Tensor, mask: Tensor, key: Key) -> Tensor:
        """Refines the mask of one object.

        Args:
            image: (3, H, W) float RGB in [0, 1].
            mask: (H, W) bool.
            key: of image and class, for what is drawn at random.

        Returns:
            (H, W) float probability of the object, in [0, 1].
        """

    def refine_masks(self, image: Tensor, masks: Tensor, keys: Sequence[Key]) -> Tensor:
        """Refines the masks of an image, one after the other; a network that reads the image once overrides it.

        Args:
            image: (3, H, W) float RGB in [0, 1].
            masks: (K, H, W) bool.
            keys: K, one a mask.

        Returns:
            (K, H, W) float probabilities in [0, 1].
        """
        return torch.stack([self.refine_mask(image, mask, key) for mask, key in zip(masks, keys, strict=True)])

    @without_autocast()
    @torch.no_grad()
    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        classes = ClassList.of(classes)
        check_inputs(images, predictions, len(classes))
        keys = list(range(len(images))) if keys is None else keys
        return [self._refine(*case, classes) for case in zip(images, predictions, keys, strict=True)]

    def _refine(self, image: Tensor, prediction: Prediction, key: Key, classes: ClassList) -> Prediction:
        background = classes.background
        present = present_classes(
            prediction.label_map, len(prediction.probs), min_area=self.min_area, background_index=background
        )
        if not present:  # all background, or too small: nothing to ask
            return prediction
        masks = torch.stack([prediction.label_map == c for c in present])  # (K, H, W)
        claims = self.refine_masks(image, masks, [noise_key(key, part=classes.number(c)) for c in present])
        # one NaN of a network would spread to every class of its pixel when claims are merged
        if not claims.isfinite().all():
            raise FloatingPointError(
                f'{self.name}: expected finite probabilities of its network, got NaN or infinite ones'
            )
        probs = merge_binary_masks(prediction.probs, present, claims, background_index=background)
        return redecide(prediction, probs, classes)
