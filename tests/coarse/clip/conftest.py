"""A CLIP of random weights on disk, as open_clip's hub has them."""

import json
from dataclasses import asdict

import pytest
import torch


@pytest.fixture(scope='session')
def clip_folder(tmp_path_factory):
    return write_clip_folder(tmp_path_factory.mktemp('clip'))


def write_clip_folder(folder):
    """Writes `open_clip_config.json` and weights: ViT of width 32, patch 8, side 32, QuickGELU, CLIP's own words."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=32, head_width=16, patch_size=8, image_size=32)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=16, heads=2, layers=1)
    model = CLIP(16, vision, text, quick_gelu=True)
    torch.save(model.state_dict(), folder / 'open_clip_pytorch_model.bin')
    towers = {
        f'{name}_cfg': {k: v for k, v in asdict(cfg).items() if v is not None}
        for name, cfg in (('vision', vision), ('text', text))
    }
    config = {'embed_dim': 16, 'quick_gelu': True, **towers}
    (folder / 'open_clip_config.json').write_text(json.dumps({'model_cfg': config, 'preprocess_cfg': {}}))
    return folder
