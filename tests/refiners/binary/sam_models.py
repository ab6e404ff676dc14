"""SAM and SAM 2 with small random weights."""

from typing import Any

import torch
from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig, SamConfig, SamModel

SIDE = 64
PROMPTS: dict[str, Any] = dict(hidden_size=32, image_size=SIDE, patch_size=16, mask_input_channels=8)
DECODER: dict[str, Any] = dict(
    hidden_size=32, mlp_dim=32, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=32
)


def loud(model: torch.nn.Module) -> torch.nn.Module:
    """With random weights answers are near 0 everywhere: larger ones make masks with both signs."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and 'positional' not in name:
                weight.normal_(std=2.0 / weight[0].numel() ** 0.5)
    return model.eval()


def tiny_sam() -> torch.nn.Module:
    torch.manual_seed(0)
    vision = dict(
        hidden_size=32,
        output_channels=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=16,
        window_size=2,
        global_attn_indexes=[1],
        num_pos_feats=16,
        mlp_dim=64,
    )
    prompts = dict(PROMPTS, image_embedding_size=4)
    return loud(SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=DECODER)))


def tiny_sam2() -> torch.nn.Module:
    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[SIDE, SIDE],
        window_positional_embedding_background_size=[4, 4],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 2, 2],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=32,
    )
    return loud(Sam2Model(Sam2Config(vision_config=vision, prompt_encoder_config=PROMPTS, mask_decoder_config=DECODER)))
