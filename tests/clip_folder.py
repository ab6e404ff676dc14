"""A CLIP of random weights on disk, as open_clip's hub has them."""

import json
from dataclasses import asdict
from pathlib import Path

import torch


def write_clip_folder(folder: Path) -> Path:
    """Writes `open_clip_config.json` and weights: ViT of width 32, patch 8, side 32, QuickGELU, CLIP's own words."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=32, head_width=16, patch_size=8, image_size=32)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=16, heads=2, layers=1)
    torch.save(CLIP(16, vision, text, quick_gelu=True).state_dict(), folder / 'open_clip_pytorch_model.bin')
    # open_clip takes what is there for given, None too
    sizes = {
        f'{name}_cfg': {k: v for k, v in asdict(c).items() if v is not None}
        for name, c in (('vision', vision), ('text', text))
    }
    config = {'embed_dim': 16, 'quick_gelu': True, **sizes}
    (folder / 'open_clip_config.json').write_text(json.dumps({'model_cfg': config, 'preprocess_cfg': {}}))
    return folder
