"""Which attention layers of a prior a source reads, and on which levels.

A level is named by its latent cells a token, along each side.
"""

from collections.abc import Sequence

from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.prior import DiffusionPrior


def readable_layers(prior: DiffusionPrior, blocks: Sequence[int] | None) -> list[AttentionLayer]:
    """The attention layers of a U-Net; of a transformer those of some blocks that see text and image.

    Args:
        prior: the diffusion model.
        blocks: of a transformer, see `AttentionSource`.

    Raises:
        ValueError: if the prior has none, or lacks a block.
    """
    layers = [layer for layer in prior.attention_layers if layer.part != 'transformer' or layer.kind == 'joint']
    if not any(layer.reads_text for layer in layers) or not any(layer.reads_image for layer in layers):
        raise ValueError(f'prior: expected attention to text and to the image, {type(prior).__name__} lacks one')
    if layers[0].part != 'transformer':
        if blocks is not None:
            raise ValueError(f'blocks: a U-Net is read by levels, expected None, got {list(blocks)}')
        return layers
    known = [layer.block for layer in layers]
    for block in blocks or ():
        if block not in known:
            raise ValueError(f'blocks: this prior has {known[0]} to {known[-1]}, got {block}')
    chosen = [known[3 * len(known) // 8]] if blocks is None else blocks
    return [layer for layer in layers if layer.block in chosen]


def choose_levels(layers: Sequence[AttentionLayer], levels: Sequence[int] | None, what: str) -> list[int]:
    """Levels to read, coarsest first: all that some layers have, or those asked for.

    Args:
        layers: that count.
        levels: asked for; a transformer also has multiples of its one level.
        what: the layers are, for the message.

    Raises:
        ValueError: if there is no such level.
    """
    known = sorted({layer.level for layer in layers}, reverse=True)
    if levels is None:
        return known
    for level in levels:
        if level not in known and not (layers[0].part == 'transformer' and level > 0 and level % known[0] == 0):
            raise ValueError(f'levels: this prior has {what} at {known} latent cells a token, got {level}')
    return sorted(set(levels), reverse=True)
