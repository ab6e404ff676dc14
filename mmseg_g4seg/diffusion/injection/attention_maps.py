"""Reads a denoiser's attention while it works: what the other files of this folder write.

Shapes: B images, h w latent grid, h' w' token grid of a level, N = h' w' image tokens, T text tokens, Q queries and Kt
keys of a layer (S = N + T each in a joint sequence), d head dimension, M maps of a level: layers (times heads).

Levels are those of `AttentionLayer`.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention_layers import AttentionLayer
from .unet_layers import replaced_processors

CELLS_AT_ONCE = 2**22
"""Attention weights that exist at once: 16 MB. All 8 heads of a 64 x 64 layer have 2^27."""


class AttentionMaps:
    """Attention from image tokens, averaged over passes and heads as it comes; filled by `recorded_attention`."""

    def __init__(
        self,
        latent_grid: Sequence[int],
        *,
        cross_layers: Sequence[AttentionLayer] = (),
        self_layers: Sequence[AttentionLayer] = (),
        keep_heads: bool = False,
    ) -> None:
        """Args:
            latent_grid: (h, w).
            cross_layers: whose attention to text is kept, each on its own.
            self_layers: whose attention to the image is kept, averaged over the layers of a level.
            keep_heads: whether `cross` tells heads apart.

        Raises:
            ValueError: if a layer has no attention of that kind.
        """
        wrong = [layer for layer in cross_layers if not layer.reads_text]
        wrong += [layer for layer in self_layers if not layer.reads_image]
        if wrong:
            raise ValueError(
                f'expected layers of the kind that is recorded, got {wrong[0].kind!r} in {wrong[0].part!r}'
            )
        self.latent_grid, self.keep_heads = tuple(latent_grid), keep_heads
        self.cross_layers, self.self_layers = list(cross_layers), list(self_layers)
        self._sums: dict[Any, Tensor] = {}
        self._counts: dict[Any, int] = {}

    @property
    def layers(self) -> dict[Any, AttentionLayer]:
        """What is recorded, by module."""
        return {layer.module: layer for layer in [*self.cross_layers, *self.self_layers]}

    def grid(self, level: int) -> tuple[int, int]:
        """(h', w') of a level."""
        return math.ceil(self.latent_grid[0] / level), math.ceil(self.latent_grid[1] / level)

    @torch.no_grad()
    def add(self, layer: AttentionLayer, query: Tensor, key: Tensor) -> None:
        """Adds the attention of one call of a layer.

        Args:
            layer: one of those to record.
            query: (B, heads, Q, d) float.
            key: (B, heads, Kt, d) float.

        Raises:
            ValueError: if the layer's tokens do not fit the latent grid, or B differs from earlier calls.
        """
        text, image = self._places(layer, query.shape[2], key.shape[2])
        if layer.kind == 'joint':
            query = query[:, :, image]  # (B, heads, N, d)
        images, heads, tokens = query.shape[:3]
        kept = heads if self.keep_heads else 1
        words = len(range(key.shape[2])[text])
        cross = self._sum(layer, (images, kept, tokens, words), query) if layer in self.cross_layers else None
        own = self._sum(layer.level, (images, tokens, tokens), query) if layer in self.self_layers else None
        stripe = max(1, CELLS_AT_ONCE // (images * key.shape[2]))
        for head in range(heads):
            keys = key[:, head].float().mT * query.shape[-1] ** -0.5  # (B, d, Kt)
            for top in range(0, tokens, stripe):
                rows = slice(top, top + stripe)
                probs = torch.softmax(query[:, head, rows].float() @ keys, dim=-1)  # (B, rows, Kt)
                if cross is not None:  # all heads into one sum unless they are kept apart
                    cross[:, head % kept, rows].add_(probs[..., text], alpha=kept / heads)
                if own is not None:
                    own[:, rows].add_(probs[..., image], alpha=1 / heads)

    def _places(self, layer: AttentionLayer, queries: int, keys: int) -> tuple[slice, slice]:
        """Where text and image stand among the keys; ValueError if they do not fit the latent grid."""
        tokens = math.prod(self.grid(layer.level))
        expected = {'cross': (tokens, keys), 'self': (tokens, tokens), 'joint': (keys, max(keys, tokens))}[layer.kind]
        if (queries, keys) != expected:
            raise ValueError(
                f'a layer has {queries} queries and {keys} keys; the latent grid {self.latent_grid} has {tokens} image '
                f'tokens at {layer.level} cells a token'
            )
        if layer.kind != 'joint':
            return slice(None), slice(None)
        words = keys - tokens
        return (slice(words), slice(words, None)) if layer.text_first else (slice(tokens, None), slice(tokens))

    def _sum(self, name: Any, shape: Sequence[int], like: Tensor) -> Tensor:
        """The running sum that goes by a name; zeros of (B, ...) at the first call."""
        if name not in self._sums:
            self._sums[name] = torch.zeros(*shape, device=like.device)
        if self._sums[name].shape != tuple(shape):
            raise ValueError(f'expected attention {tuple(self._sums[name].shape)} as in earlier passes, got {shape}')
        self._counts[name] = self._counts.get(name, 0) + 1
        return self._sums[name]

    def cross(self, level: int, image_index: int = 0) -> Tensor:
        """Attention to text at a level: (M, T, h', w') float32, a map each layer (and each head, where kept).

        Layers of a finer level are averaged over blocks where none of this level was recorded.

        Raises:
            ValueError: if there is no layer to take it from.
        """
        native = self._native(level, self.cross_layers)
        layers = [layer for layer in self.cross_layers if layer.level == native]
        means = torch.cat([self._mean(layer, image_index) for layer in layers])  # (M, N, T)
        maps = means.mT.unflatten(-1, self.grid(native))  # (M, T, h', w')
        return maps if native == level else _block_means(maps, level // native)

    def self_attention(self, level: int, image_index: int = 0) -> Tensor:
        """Attention to the image at a level: (N, N) float32, averaged over its layers.

        From a finer level where none of this one was recorded, see `coarsen_attention`.

        Raises:
            ValueError: if there is no layer to take it from.
        """
        native = self._native(level, self.self_layers)
        mean = self._mean(native, image_index)
        return mean if native == level else coarsen_attention(mean, self.grid(native), level // native)

    def _mean(self, name: Any, image_index: int) -> Tensor:
        """One image's share of a running sum, over the calls that it is of."""
        if name not in self._sums:
            raise RuntimeError('no pass was recorded: run the denoiser inside recorded_attention first')
        return self._sums[name][image_index] / self._counts[name]

    def _native(self, level: int, layers: Sequence[AttentionLayer]) -> int:
        """The level of the layers that a level is taken from: its own, or the coarsest finer one."""
        levels = {layer.level for layer in layers}
        fitting = [own for own in levels if level % own == 0]
        if not fitting:
            raise ValueError(
                f'level: expected one of {sorted(levels)} latent cells a token, or a multiple, got {level}'
            )
        return max(fitting)


def coarsen_attention(attention: Tensor, grid: Sequence[int], factor: int) -> Tensor:
    """Averages queries, and sums keys, over blocks of tokens.

    Args:
        attention: (N, N) float.
        grid: (h', w') of its N tokens.
        factor: side of a block; blocks at the border may be smaller.

    Returns:
        (N', N') with N' = ceil(h' / factor) * ceil(w' / factor); rows that sum to 1 still do.
    """
    maps = attention.unflatten(1, tuple(grid))  # (N, h', w')
    # zeros fill the blocks at the border, so that a mean times a full block's size is the sum of what is there
    padding = (0, -grid[1] % factor, 0, -grid[0] % factor)
    keys = F.avg_pool2d(F.pad(maps, padding), factor).flatten(1) * factor**2  # (N, N')
    return _block_means(keys.mT.unflatten(1, tuple(grid)), factor).flatten(1).mT  # (N', N')


def _block_means(maps: Tensor, factor: int) -> Tensor:
    """Means over blocks, of fewer cells at the border: (..., h', w') -> (..., ceil(h' / f), ceil(w' / f))."""
    return F.avg_pool2d(maps, factor, ceil_mode=True, count_include_pad=False)


class RecordingProcessor:
    """A diffusers attention processor that notes queries and keys, and leaves the output to the one it stands for."""

    def __init__(self, original: Any, maps: AttentionMaps) -> None:
        self.original, self.maps, self.layers = original, maps, maps.layers

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        image_rotary_emb: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Takes and gives what the original does: (B, N, channels) both ways, and text likewise where it has some."""
        # diffusers before 0.35 passes on what a signature names, and nothing else: without its name FLUX.1 would lose
        # its positions
        if image_rotary_emb is not None:
            kwargs['image_rotary_emb'] = image_rotary_emb
        call = (attn, hidden_states, encoder_hidden_states, attention_mask, *args)
        layer = self.layers[attn]
        query, key, _ = layer.project(*call, **kwargs)
        self.maps.add(layer, query, key)
        # projected twice, a few per cent of a pass: an attention of our own would round otherwise than the kernels'
        return self.original(*call, **kwargs)


@contextmanager
def recorded_attention(maps: AttentionMaps) -> Iterator[AttentionMaps]:
    """Fills maps by every pass of the denoiser whose layers they record; undone whatever happens.

    Args:
        maps: empty, or of earlier passes, which count as much.

    Yields:
        The maps.
    """
    # the recorded layers alone: all others keep their processors
    recorded = nn.ModuleList(maps.layers)
    with replaced_processors(recorded, lambda original: RecordingProcessor(original, maps)):
        yield maps
