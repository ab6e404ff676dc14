"""The denoising U-Net of SegRefiner, its parts named as in the authors' checkpoints.

Shapes: N masks, c channels, e = 4 base channels of the time embedding, h w the grid of a level.

The architecture is Improved DDPM's (Nichol and Dhariwal, arXiv 2102.09672) with a learned embedding of
the six timesteps; SegRefiner: Wang et al., arXiv 2312.12425.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
TIMESTEPS = 6


class SegRefinerUNet(nn.Module):
    """Predicts the logits of the fine mask from image and current mask."""

    def __init__(
        self,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 1, 2, 2, 4, 4),
        blocks: int = 2,
        attention_strides: Sequence[int] = (16, 32),
        heads: int = 4,
    ) -> None:
        """The defaults are those of the released checkpoints."""
        super().__init__()
        embedding, levels = 4 * channels, len(multipliers)
        self.time_embed = nn.Embedding(TIMESTEPS, embedding)
        self.input_blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(4, channels, 3, padding=1))])
        widths, width = [channels], channels

        def block(inputs: int, outputs: int, level: int) -> list[nn.Module]:
            attention = [AttentionBlock(outputs, heads)] if 2**level in attention_strides else []
            return [ResidualBlock(inputs, outputs, embedding), *attention]

        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                self.input_blocks.append(nn.Sequential(*block(width, multiplier * channels, level)))
                width = multiplier * channels
                widths.append(width)
            if level + 1 < levels:
                self.input_blocks.append(nn.Sequential(Downsample(width)))
                widths.append(width)
        self.middle_block = nn.Sequential(
            ResidualBlock(width, width, embedding), AttentionBlock(width, heads), ResidualBlock(width, width, embedding)
        )
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(levels)):
            for i in range(blocks + 1):
                layers = block(width + widths.pop(), multipliers[level] * channels, level)
                width = multipliers[level] * channels
                if level and i == blocks:
                    layers.append(Upsample(width))
                self.output_blocks.append(nn.Sequential(*layers))
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, image_and_mask: Tensor, timestep: int) -> Tensor:
        """One pass.

        Args:
            image_and_mask: (N, 4, h, w), normalised RGB and the current mask in {0, 1}; sides are
                multiples of 32.
            timestep: 0 to 5.

        Returns:
            (N, 1, h, w) logits.
        """
        index = torch.full((len(image_and_mask),), timestep, device=image_and_mask.device)
        embedding = self.time_embed(index)
        skips, hidden = [], image_and_mask
        for block in self.input_blocks:
            hidden = _run(block, hidden, embedding)
            skips.append(hidden)
        hidden = _run(self.middle_block, hidden, embedding)
        for block in self.output_blocks:
            hidden = _run(block, torch.cat([hidden, skips.pop()], dim=1), embedding)
        return self.out(hidden)


def _run(block: nn.Module, hidden: Tensor, embedding: Tensor) -> Tensor:
    assert isinstance(block, nn.Sequential)
    for layer in block:
        hidden = layer(hidden, embedding) if isinstance(layer, ResidualBlock) else layer(hidden)
    return hidden


class ResidualBlock(nn.Module):
    """Two convolutions, the time embedding added between them."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        # the third entry holds the place of the authors' dropout, which is off
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, outputs), nn.SiLU(), nn.Identity(), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        inner = self.in_layers(hidden) + self.emb_layers(embedding)[..., None, None]
        return self.skip_connection(hidden) + self.out_layers(inner)


class AttentionBlock(nn.Module):
    """Self-attention over all locations of the grid."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        flat = hidden.flatten(2)  # (N, c, h w)
        # each head's channels hold its query, key and value next to each other
        query, key, value = self.qkv(self.norm(flat)).unflatten(1, (self.heads, 3, -1)).transpose(-1, -2).unbind(2)
        attended = F.scaled_dot_product_attention(query, key, value)  # (N, heads, h w, c / heads)
        return (flat + self.proj_out(attended.transpose(-1, -2).flatten(1, 2))).view_as(hidden)


class Downsample(nn.Module):
    """Halves the grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.op(hidden)


class Upsample(nn.Module):
    """Doubles the grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv(F.interpolate(hidden, scale_factor=2.0, mode='nearest'))
