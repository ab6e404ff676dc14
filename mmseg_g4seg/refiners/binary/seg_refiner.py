"""SegRefiner (Wang et al., NeurIPS 2023, arXiv 2312.12425) as a refiner: discrete mask diffusion.

Shapes: H W image size, s side of what goes through the network (256), N patches.

A pixel is in one of two states, coarse or fine. Going from timestep 5 to 0, each pixel moves to the
fine state, the network's own mask, with a probability that follows the network's confidence.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_g4seg.ops.imagenet import imagenet_pixels
from mmseg_g4seg.ops.noise import image_generator
from mmseg_g4seg.prediction import Key
from mmseg_g4seg.registry import register

from .base import BinaryMaskRefiner
from .checkpoints import load_checkpoint
from .seg_refiner_network import TIMESTEPS, SegRefinerUNet

COARSE_SHARE = torch.linspace(0.8, 0.0, TIMESTEPS, dtype=torch.float64).tolist()
"""Probability that a pixel is still coarse after each timestep (the authors' cumulative betas)."""


@register
class SegRefinerRefiner(BinaryMaskRefiner):
    """Refines each class's mask: five steps on the whole image, one more on patches that stay unsure."""

    name = 'SegRefiner'

    def __init__(
        self,
        network: nn.Module,
        *,
        side: int = 256,
        local: bool = True,
        sure: float = 0.9,
        overlap: float = 0.3,
        patches_per_batch: int = 32,
        seed: int = 0,
        min_area: float = 0.0,
    ) -> None:
        """Args:
            network: `load_seg_refiner`.
            side: s, what the network was trained at, a multiple of 32.
            local: refine patches at full resolution, too, in images of at least s x s.
            sure: patches centre on pixels whose confidence is below this share of the greatest.
            overlap: intersection over union beyond which a patch is dropped for a less sure one.
            patches_per_batch: that go through the network at once.
            seed: of the draws.
            min_area: see `BinaryMaskRefiner`.

        Raises:
            ValueError: if `side` is no multiple of 32.
        """
        super().__init__(min_area=min_area)
        if side < 32 or side % 32:
            raise ValueError(f'side: expected a multiple of 32, got {side}')
        self.network, self.side, self.local = network.eval(), side, local
        self.sure, self.overlap, self.patches_per_batch = sure, overlap, patches_per_batch
        self.seed = seed

    @classmethod
    def from_config(
        cls,
        weights: str | Path,
        *,
        side: int = 256,
        local: bool = True,
        sure: float = 0.9,
        overlap: float = 0.3,
        patches_per_batch: int = 32,
        seed: int = 0,
        min_area: float = 0.0,
    ) -> 'SegRefinerRefiner':
        """Builds one as configs say it, by a checkpoint of its authors in place of the network."""
        return cls(
            load_seg_refiner(weights),
            side=side,
            local=local,
            sure=sure,
            overlap=overlap,
            patches_per_batch=patches_per_batch,
            seed=seed,
            min_area=min_area,
        )

    def refine_mask(self, image: Tensor, mask: Tensor, key: Key) -> Tensor:
        device = next(self.network.parameters()).device
        pixels = imagenet_pixels(image.float())[None].to(device)
        coarse = mask[None, None].float().to(device)
        refined, confidence = self._refine_whole(pixels, coarse, image_generator(seed=self.seed, key=key))
        if self.local and min(mask.shape) >= self.side:
            refined = self._refine_patches(pixels, refined, confidence)
        return refined[0, 0].to(image.device)

    def _refine_whole(self, pixels: Tensor, coarse: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Timesteps 5 to 1 at s x s: probability (1, 1, H, W), and confidence (1, 1, s, s)."""
        size = (self.side, self.side)
        small_pixels, small_coarse = F.interpolate(pixels, size), F.interpolate(coarse, size)
        current, fine = small_coarse, torch.zeros_like(small_coarse)
        for timestep in reversed(range(1, TIMESTEPS)):
            logits = self.network(torch.cat([small_pixels, current], dim=1), timestep)
            fine = fine_probability(fine, logits, timestep)
            drawn = torch.rand(fine.shape, generator=generator).to(fine) < fine
            current = torch.where(drawn, (logits >= 0).float(), small_coarse)
        return F.interpolate(logits.sigmoid(), pixels.shape[-2:]), fine

    def _refine_patches(self, pixels: Tensor, refined: Tensor, confidence: Tensor) -> Tensor:
        """Timestep 0 on the patches that the borders of unsure regions run through: (1, 1, H, W)."""
        hard = (refined >= 0.5).float()
        corners = [
            (y, x)
            for y, x in self._patch_corners(confidence[0, 0], hard.shape[-2:])
            if 0 < float(hard[..., y : y + self.side, x : x + self.side].mean()) < 1
        ]
        total, count = torch.zeros_like(hard), torch.zeros_like(hard)
        for start in range(0, len(corners), self.patches_per_batch):
            chunk = corners[start : start + self.patches_per_batch]
            windows = [(..., slice(y, y + self.side), slice(x, x + self.side)) for y, x in chunk]
            inputs = torch.cat([torch.cat([pixels[w], hard[w]], dim=1) for w in windows])
            for window, probs in zip(windows, self.network(inputs, 0).sigmoid(), strict=True):
                total[window] += probs
                count[window] += 1
        return torch.where(count > 0, total / count.clamp_min(1), refined)

    def _patch_corners(self, confidence: Tensor, size: torch.Size) -> list[tuple[int, int]]:
        """Top left corners (y, x) of the patches that cover what is unsure, the least sure first."""
        try:
            from torchvision.ops import nms
        except ImportError as error:
            raise ImportError('SegRefiner needs torchvision: pip install "mmseg_g4seg[segrefiner]"') from error
        rows, columns = torch.where(confidence < self.sure * confidence.max())
        grid = confidence.new_tensor([size[0] / self.side, size[1] / self.side])
        centres = (torch.stack([rows, columns], dim=1) * grid).int()
        limit = centres.new_tensor([size[0] - self.side, size[1] - self.side])
        corners = torch.minimum((centres - self.side // 2).clamp_min(0), limit)
        boxes = torch.cat([corners, corners + self.side], dim=1).float()
        kept = nms(boxes, 1 - confidence[rows, columns].float(), self.overlap)
        return [(int(y), int(x)) for y, x in corners[kept]]

    def to(self, device: torch.device | str) -> 'SegRefinerRefiner':
        self.network.to(device)
        return self


def fine_probability(fine: Tensor, logits: Tensor, timestep: int) -> Tensor:
    """Probability that each pixel is in the fine state after one more step: (..., H, W) as `fine`.

    A pixel moves from coarse to fine with the posterior of the two-state chain, given that the network
    is right there with probability 2 |sigmoid(logits) - 0.5|.
    """
    confidence = 2 * (logits.sigmoid() - 0.5).abs()
    now = COARSE_SHARE[timestep]
    before = COARSE_SHARE[timestep - 1] if timestep else 1.0
    moves = confidence * (before - now) / (1 - confidence * now)
    return fine + (1 - fine) * moves


def load_seg_refiner(weights: str | Path) -> nn.Module:
    """Builds SegRefiner's network with weights in the format of the authors' checkpoints.

    Args:
        weights: checkpoint file with `state_dict`, its names starting with `denoise_model.`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold these weights.
    """
    network = SegRefinerUNet()
    load_checkpoint(network, weights, prefix='denoise_model.', what='SegRefiner')
    return network
