"""How a layout reaches a denoiser: what every way has in common.

Shapes: B images, R regions, c latent channels, h w latent grid, T text tokens, E text width, Q query tokens, Kt key
tokens, N image tokens, S tokens of a joint sequence, d head dimension.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from mmseg_g4seg.registry import NUMBER, expect_option, expect_part

from .layouts import JointLayout, RegionLayout


class InjectedPrior(Protocol):
    """What an injector asks of the prior that it works in; every `DiffusionPrior` answers it."""

    latent_stride: int

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def attention_replaced(
        self, injector: 'AttentionInjector', layout: RegionLayout
    ) -> AbstractContextManager[None]: ...


class Injector:
    """Brings a layout into one pass of a denoiser: by its attention, by further inputs, or both.

    A way of your own is a subclass with `@register`, named by `type` in a refiner's `injection`.
    """

    reads_region_maps = False
    """Whether it looks at `RegionLayout.region_maps`. If no injector does, nobody makes them."""

    def check(self, prior: InjectedPrior) -> None:
        """Raises ValueError if a prior cannot take what this injects; called once, before any work."""

    def to(self, device: torch.device | str) -> 'Injector':
        """Moves what has weights to a device, in place."""
        return self

    @contextmanager
    def installed(self, prior: InjectedPrior, layout: RegionLayout) -> Iterator[None]:
        """Changes the prior's denoiser for one pass, and undoes it whatever happens."""
        yield

    def arguments(self, layout: RegionLayout, latents: Tensor, timestep: int, embeds: Tensor) -> dict[str, Any]:
        """Further arguments of the denoiser's forward pass.

        Args:
            layout: on the device and in the dtype of the latents.
            latents: (B, c, h, w) noisy latents.
            timestep: a training timestep.
            embeds: (B, T, E) encoded prompts.
        """
        return {}


class AttentionInjector(Injector, ABC):
    """An injector that is a rule of attention; how a family's layers are reached is the family's matter."""

    def __init__(self, *, cross_weight: float = 1.0, self_weight: float = 0.3) -> None:
        """Args:
            cross_weight: in attention from image to text; 0 leaves it as it is, bit by bit.
            self_weight: in attention from image to image, likewise.

        Raises:
            ValueError: if a weight is below 0.
        """
        for name, weight in (('cross_weight', cross_weight), ('self_weight', self_weight)):
            expect_option(name, weight, NUMBER, 'a finite number of at least 0', holds=lambda v: 0 <= v < float('inf'))
        self.cross_weight, self.self_weight = float(cross_weight), float(self_weight)

    @contextmanager
    def installed(self, prior: InjectedPrior, layout: RegionLayout) -> Iterator[None]:
        with prior.attention_replaced(self, layout):
            yield

    def is_off(self, *, is_cross: bool) -> bool:
        """Whether a kind of layer is left as it is."""
        return (self.cross_weight if is_cross else self.self_weight) == 0

    @abstractmethod
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
        """Attends in a layer of image queries alone, as U-Nets have them.

        Args:
            query: (B, heads, Q, d) float.
            key: (B, heads, Kt, d) float.
            value: (B, heads, Kt, d) float.
            query_regions: (B, Q, R) float in [0, 1].
            key_regions: (B, Kt, R) float in [0, 1].
            is_cross: whether the keys are text.
            noise_level: see `RegionLayout`.

        Returns:
            (B, heads, Q, d).
        """

    @abstractmethod
    def attend_jointly(
        self, query: Tensor, key: Tensor, value: Tensor, joint: JointLayout, *, has_text: bool
    ) -> Tensor:
        """Attends where image and text stand in one sequence, or in a layer of image tokens of such a model.

        Args:
            query: (B, heads, S, d) float; (B, heads, N, d) where there is no text.
            key: as `query`.
            value: as `query`.
            joint: the layout along the sequence.
            has_text: whether text is in it.

        Returns:
            As `query`.
        """


@dataclass(frozen=True)
class Injection:
    """What is injected in one pass: a layout, and the ways in which it reaches the denoiser.

    Attributes:
        layout: of B images.
        injectors: any number; their arguments and changes add up.
    """

    layout: RegionLayout
    injectors: Sequence[Injector]

    def to(self, like: Tensor) -> 'Injection':
        """On the device and in the dtype of `like`, (B, c, h, w) latents."""
        return replace(self, layout=self.layout.to(like))

    def take(self, images: Sequence[int], tokens: int) -> 'Injection':
        """Of some images, see `RegionLayout.take`."""
        return replace(self, layout=self.layout.take(images, tokens))

    @contextmanager
    def installed(self, prior: InjectedPrior) -> Iterator[None]:
        """Every injector's change of the denoiser at once."""
        # an error in the second undoes the first: its processors would stay in a prior that others share
        with ExitStack() as stack:
            for injector in self.injectors:
                stack.enter_context(injector.installed(prior, self.layout))
            yield

    def arguments(self, latents: Tensor, timestep: int, embeds: Tensor) -> dict[str, Any]:
        """Every injector's further arguments for (B, c, h, w) latents, see `Injector.arguments`.

        Raises:
            ValueError: if two injectors give the same one.
        """
        found: dict[str, Any] = {}
        for injector in self.injectors:
            own = injector.arguments(self.layout, latents, timestep, embeds)
            twice = sorted(found.keys() & own.keys())
            if twice:  # of two ControlNets the second's residuals would stand in the first's place
                raise ValueError(f'injection: expected one injector that gives {twice[0]!r}, got two')
            found |= own
        return found


def injector_list(injection: Injector | Sequence[Injector] | None) -> list[Injector]:
    """One injector, several, or none, as a list.

    Raises:
        ValueError: if one is something else.
    """
    listed = list(injection) if isinstance(injection, Sequence) else [] if injection is None else [injection]
    for injector in listed:
        expect_part('injection', injector, Injector)
    rules = [type(injector).__name__ for injector in listed if isinstance(injector, AttentionInjector)]
    if len(rules) > 1:  # the second would stand in front of the first, which nobody would notice
        raise ValueError(f'injection: expected one rule of attention at the most, got {" and ".join(rules)}')
    return listed
