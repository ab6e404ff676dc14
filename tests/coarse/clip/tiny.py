"""CLIP models of open_clip's architecture, small; with the oracles' weights or random ones."""

import torch
from torch import Tensor


def build_clip(*, quick_gelu: bool = True, **vision):
    """Random weights: ViT of width 64, 4 layers, 2 heads, patch 8, side 64, unless `vision` says otherwise."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    sizes = {'layers': 4, 'width': 64, 'head_width': 32, 'patch_size': 8, 'image_size': 64, **vision}
    text = CLIPTextCfg(context_length=24, vocab_size=512, width=32, heads=2, layers=1)
    return CLIP(32, CLIPVisionCfg(**sizes), text, quick_gelu=quick_gelu).eval()


def tokenizer(texts: list[str]) -> Tensor:
    """Each character a token, the longest 22 of them; the end has the highest id, as CLIP's has."""
    ids = torch.zeros(len(texts), 24, dtype=torch.int64)
    for row, text in zip(ids, texts, strict=True):
        codes = [ord(c) % 500 + 1 for c in text.encode().decode()[-22:]]
        row[: len(codes) + 1] = torch.tensor([*codes, 511])
    return ids


def load_visual(model, weights: dict[str, Tensor]):
    """Puts the oracles' weights in, whose images are normalised already."""
    own = {name.removeprefix('weight_visual.'): w for name, w in weights.items() if name.startswith('weight_visual.')}
    model.visual.load_state_dict(own, strict=True)
    model.visual.image_mean, model.visual.image_std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return model
