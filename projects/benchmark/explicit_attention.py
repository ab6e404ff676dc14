"""Injection as the paper writes it: Q x Kt bias masks, built and added to the logits before a plain softmax.

Shapes: B images, Q query tokens, Kt key tokens, N image tokens, S tokens of a joint sequence, R regions, d head
dimension. As DenseDiffusion's code does, a mask is built once for all layers of one size.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from mmseg_g4seg.diffusion.injection.base import AttentionInjector, InjectedPrior
from mmseg_g4seg.diffusion.injection.layouts import JointLayout, RegionLayout


def explicit_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(QK^T/sqrt(d) + bias) V: (B, heads, N, d) three times and (B, Q, Kt) -> (B, heads, Q, d)."""
    similarity = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return (similarity + bias[:, None]).softmax(-1) @ value


class ExplicitMaskInjector(AttentionInjector):
    """`MaskInjector`'s rule with its masks in memory: (B, Q, Kt) in U-Nets, (B, S, S) in joint sequences."""

    def __init__(self, *, cross_weight: float = 1.0, self_weight: float = 0.3) -> None:
        """Args:
        cross_weight: see `AttentionInjector`.
        self_weight: likewise.
        """
        super().__init__(cross_weight=cross_weight, self_weight=self_weight)
        self._biases: dict[tuple[int, bool], Tensor] = {}

    @contextmanager
    def installed(self, prior: InjectedPrior, layout: RegionLayout) -> Iterator[None]:
        # masks serve all layers of one pass; the next pass has another layout
        self._biases.clear()
        with super().installed(prior, layout):
            yield
        self._biases.clear()

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        query_regions: Tensor,
        key_regions: Tensor,
        *,
        is_cross: bool,
        noise_level: float,
    ) -> Tensor:
        """(B, heads, Q, d), (B, heads, Kt, d) twice, (B, Q, R) and (B, Kt, R) -> (B, heads, Q, d)."""
        weight = self.cross_weight if is_cross else self.self_weight
        bias = self._bias(query, is_cross, lambda: weight * query_regions @ key_regions.transpose(1, 2))
        return explicit_attention(query, key, value, bias)

    def attend_jointly(
        self, query: Tensor, key: Tensor, value: Tensor, joint: JointLayout, *, has_text: bool
    ) -> Tensor:
        """(B, heads, S, d) three times, (B, heads, N, d) without text -> the same."""
        keys = joint.weighted_keys(self.cross_weight, self.self_weight, has_text=has_text)
        queries = joint.queries if has_text else joint.image
        return explicit_attention(
            query, key, value, self._bias(query, has_text, lambda: queries @ keys.transpose(1, 2))
        )

    def _bias(self, query: Tensor, kind: bool, build: Callable[[], Tensor]) -> Tensor:
        """The mask of a layer's size and kind, built where no layer of this pass had it yet: (B, Q, Kt)."""
        place = (query.shape[2], kind)
        if place not in self._biases:
            self._biases[place] = build()
        return self._biases[place]
