"""Patch tokens of a self-supervised vision transformer (DINO, DINOv2), as transformers loads it.

Shapes: B images, H W image size, D feature channels, h w patch grid.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_g4seg.diffusion.weights.hub import find_variant, refuse_missing_weights, without_loading_bar
from mmseg_g4seg.ops.imagenet import imagenet_pixels


class PatchFeatures(nn.Module):
    """The last layer's patch tokens."""

    def __init__(self, network: Any) -> None:
        """Args:
        network: a transformers vision model with `config.patch_size`, such as `ViTModel` or `Dinov2Model`.
        """
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, source: str) -> 'PatchFeatures':
        """Loads the network of a folder or a hub id.

        Raises:
            ValueError: if weights are missing, which transformers leaves random with a warning.
        """
        from transformers import AutoModel

        with without_loading_bar('transformers'):
            loaded: Any = AutoModel.from_pretrained(source, variant=find_variant(source), output_loading_info=True)
        network, info = loaded
        # the pooler of `ViTModel` is not DINO's, and nobody reads it
        needed = [name for name in info['missing_keys'] if not name.startswith('pooler.')]
        refuse_missing_weights({**info, 'missing_keys': needed}, f'features {source!r}', network)
        return cls(network)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float RGB in [0, 1], of any size -> (B, D, h, w) float32."""
        config = self.network.config
        # of a strip of 14 pixels, a patch of CLIP's ViT-L/14, no patch of 16 would be left
        lacking = [max(0, config.patch_size - side) for side in images.shape[-2:]]
        images = F.pad(images, (0, lacking[1], 0, lacking[0]), mode='replicate')
        grid = [side // config.patch_size for side in images.shape[-2:]]
        pixels = imagenet_pixels(images).to(next(self.network.parameters()))
        # DINO interpolates positions where it is asked to, DINOv2 always
        options = {'interpolate_pos_encoding': True} if config.model_type == 'vit' else {}
        tokens = self.network(pixel_values=pixels, **options).last_hidden_state
        # the whole image's token comes first, and registers after it
        patches = tokens[:, tokens.shape[1] - grid[0] * grid[1] :]
        return patches.transpose(1, 2).unflatten(2, grid).float()
