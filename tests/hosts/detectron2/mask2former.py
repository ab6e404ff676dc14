"""A small Mask2Former of the real code, with random weights: ResNet-18, two layers, 20 queries.

It has 202 weights: 100 of the ResNet, 16 an encoder layer, 18 a decoder layer, 34 of projections, pyramid and heads.
With one level of features in the encoder there are 206: the pyramid has two steps more. The standard ResNet-50 has 557.
"""

import importlib
import sys
import types
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch


def import_mask2former():
    """The package. Its evaluation asks for Detectron2's compiled part at import, and for nothing of it here."""
    pytest.importorskip('detectron2', reason='Detectron2 is not installed')
    if find_spec('mask2former') is None:
        pytest.skip('Mask2Former is not installed')
    needed = 'detectron2._C' not in sys.modules
    if needed:
        sys.modules['detectron2._C'] = types.ModuleType('detectron2._C')
    try:
        return importlib.import_module('mask2former')
    finally:
        if needed:  # left in, `default_setup` would ask it for its compiler
            del sys.modules['detectron2._C']


def build_mask2former(num_classes=4, things=(2, 3), queries=20, encoded=('res3', 'res4', 'res5')):
    """Gives panoptic segments, too; classes `things` are things, the features `encoded` go through the encoder."""
    package = import_mask2former()
    from detectron2.config import get_cfg
    from detectron2.modeling import build_backbone
    from mask2former.modeling.meta_arch.mask_former_head import MaskFormerHead
    from mask2former.modeling.pixel_decoder.msdeformattn import MSDeformAttnPixelDecoder
    from mask2former.modeling.transformer_decoder.mask2former_transformer_decoder import (
        MultiScaleMaskedTransformerDecoder,
    )

    torch.manual_seed(0)
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = 'build_resnet_backbone'
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.OUT_FEATURES = ['res2', 'res3', 'res4', 'res5']
    backbone = build_backbone(cfg)
    shapes = backbone.output_shape()
    width = dict(conv_dim=32, mask_dim=32)
    pixel_decoder = MSDeformAttnPixelDecoder(
        shapes, transformer_dropout=0.0, transformer_nheads=4, transformer_dim_feedforward=64,
        transformer_enc_layers=2, norm='GN', transformer_in_features=encoded, common_stride=4, **width,
    )  # fmt: skip
    predictor = MultiScaleMaskedTransformerDecoder(
        32, num_classes=num_classes, hidden_dim=32, num_queries=queries, nheads=4, dim_feedforward=64, dec_layers=2,
        pre_norm=False, mask_dim=32, enforce_input_project=False,
    )  # fmt: skip
    head = MaskFormerHead(
        shapes, num_classes=num_classes, pixel_decoder=pixel_decoder, transformer_predictor=predictor,
        transformer_in_feature='multi_scale_pixel_decoder',
    )  # fmt: skip
    with torch.no_grad():  # plain random weights call everything one class, by queries that agree
        for part in (predictor.query_feat, predictor.class_embed, predictor.mask_embed.layers[-1]):
            part.weight.mul_(20)
    metadata = SimpleNamespace(
        thing_dataset_id_to_contiguous_id={i: i for i in things}, stuff_classes=['sky', 'grass', 'fish', 'star']
    )
    return package.MaskFormer(
        backbone=backbone, sem_seg_head=head, criterion=torch.nn.Identity(), num_queries=queries,
        object_mask_threshold=0.0, overlap_threshold=0.0, metadata=metadata, size_divisibility=32,
        sem_seg_postprocess_before_inference=True, pixel_mean=[0.0] * 3, pixel_std=[255.0] * 3, semantic_on=False,
        panoptic_on=True, instance_on=False, test_topk_per_image=10,
    ).eval()  # fmt: skip


def random_inputs(count=2, height=64, width=96):
    """Pictures of random colours, in Detectron2's form."""
    generator = torch.Generator().manual_seed(0)
    return [
        {'image': torch.rand(3, height, width, generator=generator) * 255, 'height': height, 'width': width}
        for _ in range(count)
    ]
