"""What attention layers a denoiser has, and what each of them attends to.

Shapes: B images, d head dimension.

A level is the number of latent cells that a token has along each side: 1, 2, 4 ... in a U-Net, the patch size in a
transformer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from .unet_layers import project

Part = Literal['down', 'middle', 'up', 'transformer']


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """An attention layer of a denoiser, as its family describes it.

    Attributes:
        module: of diffusers, with a `processor`.
        kind: `cross` attends to text, `self` to the image, `joint` to both in one sequence.
        part: of the denoiser where it stands.
        block: number of its block in that part; of a transformer, in the order of a pass.
        level: latent cells a token, along each side.
        project: query, key and value (B, heads, tokens, d) of the layer and its processor's arguments.
        text_first: whether a joint sequence is [text, image].
    """

    module: Any
    kind: Literal['cross', 'self', 'joint']
    part: Part
    block: int
    level: int
    project: Callable[..., tuple[Tensor, Tensor, Tensor]]
    text_first: bool = False

    @property
    def reads_text(self) -> bool:
        return self.kind != 'self'

    @property
    def reads_image(self) -> bool:
        return self.kind != 'cross'


def unet_attention_layers(unet: Any) -> list[AttentionLayer]:
    """Lists the attention layers of a diffusers U-Net, in the order of a pass."""
    depth = len(unet.down_blocks)
    blocks: list[tuple[Part, int, int, Any]] = [('down', i, i, block) for i, block in enumerate(unet.down_blocks)]
    if unet.mid_block is not None:
        blocks.append(('middle', 0, depth - 1, unet.mid_block))
    blocks += [('up', i, depth - 1 - i, block) for i, block in enumerate(unet.up_blocks)]
    return [
        # not by the name `attn1`: under `only_cross_attention`, which the embedded prior has, it attends to text
        AttentionLayer(layer, 'cross' if layer.is_cross_attention else 'self', part, i, 2**halvings, project)
        for part, i, halvings, block in blocks
        for layer in block.modules()
        if hasattr(layer, 'set_processor')
    ]
