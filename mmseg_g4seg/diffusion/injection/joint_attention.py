"""A layout where image and text tokens attend to each other in one sequence (SD 3, FLUX.1).

Shapes: B images, R regions, h w latent grid, N image tokens, T text tokens, S = N + T tokens of the
joint sequence, d head dimension.

The two biases of G4Seg concern the image's queries alone: `cross_weight * a[i, r] * b[j, r]` on text
keys, `self_weight * a[i, r] * a[j, r]` on image keys. With the weights on the keys both are one bias
of rank R over the whole sequence, whose query channels are 0 on text tokens.
"""

from torch import Tensor

from .base import AttentionInjector
from .layouts import JointLayout


class JointAttention:
    """An injector at work in a joint sequence: what a family's attention processor asks."""

    def __init__(self, injector: AttentionInjector, joint: JointLayout) -> None:
        self.injector, self.joint = injector, joint

    def is_off(self, *, has_text: bool) -> bool:
        """Whether a layer, of the joint sequence or of image tokens alone, is left as it is."""
        return self.injector.is_off(is_cross=False) and (not has_text or self.injector.is_off(is_cross=True))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, has_text: bool) -> Tensor:
        """Attends under the injector's rule.

        Args:
            query: (B, heads, S, d) float, after normalisation and rotation; (B, heads, N, d) in
                layers of image tokens alone.
            key: as `query`.
            value: as `query`.
            has_text: whether the sequence is the joint one.

        Returns:
            As `query`.

        Raises:
            ValueError: if the layout does not fit the sequence.
        """
        self.joint.check_fits(query, has_text=has_text)
        return self.injector.attend_jointly(query, key, value, self.joint, has_text=has_text)
