"""Measures what Detectron2's wrapper costs beside a Mask2Former forward, when there is no refiner.

    OMP_NUM_THREADS=1 python -m projects.benchmark.wrapper --height 256 --width 256

The model is Mask2Former's own code in its standard size for COCO's panoptic set: ResNet-50, six encoder and nine
decoder layers, 100 queries. Weights are random, nothing is downloaded. What the wrapper adds is measured around an
empty model, since microseconds do not show in a difference of seconds.
"""

import argparse
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from mmseg_g4seg.hosts.detectron2 import RefinedModel
from projects.benchmark.device import device_name

CALLS = 2000
"""Of a model that does nothing; the least of five rounds counts."""


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--height', type=int, default=256, help='of the picture, pixels')
    parser.add_argument('--width', type=int, default=256)
    parser.add_argument('--repeats', type=int, default=5, help='forwards, after one that warms up')
    return parser.parse_args(arguments)


def build_mask2former(*, depth: int = 50, width: int = 256, encoder_layers: int = 6, queries: int = 100) -> nn.Module:
    """Builds a Mask2Former for COCO's 133 classes with random weights; the arguments' defaults are the standard ones.

    Raises:
        ImportError: if Detectron2 or Mask2Former is missing.
    """
    package = import_mask2former()
    from detectron2.config import get_cfg
    from detectron2.modeling import build_backbone, build_sem_seg_head

    cfg = get_cfg()
    package.add_maskformer2_config(cfg)
    cfg.MODEL.BACKBONE.NAME = 'build_resnet_backbone'
    resnet, head, former = cfg.MODEL.RESNETS, cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.MASK_FORMER
    resnet.DEPTH, resnet.STRIDE_IN_1X1, resnet.RES2_OUT_CHANNELS = depth, False, 256 if depth >= 50 else 64
    head.NAME, head.PIXEL_DECODER_NAME, head.NUM_CLASSES = 'MaskFormerHead', 'MSDeformAttnPixelDecoder', 133
    resnet.OUT_FEATURES = head.IN_FEATURES = ['res2', 'res3', 'res4', 'res5']
    head.CONVS_DIM = head.MASK_DIM = former.HIDDEN_DIM = width
    head.TRANSFORMER_ENC_LAYERS, former.DEC_LAYERS, former.NUM_OBJECT_QUERIES = encoder_layers, 10, queries
    former.TRANSFORMER_IN_FEATURE, former.DROPOUT = 'multi_scale_pixel_decoder', 0.0
    backbone = build_backbone(cfg)
    return package.MaskFormer(
        backbone=backbone,
        sem_seg_head=build_sem_seg_head(cfg, backbone.output_shape()),
        criterion=nn.Identity(),  # of training alone
        num_queries=queries,
        object_mask_threshold=0.8,
        overlap_threshold=0.8,
        metadata=SimpleNamespace(thing_dataset_id_to_contiguous_id={i: i for i in range(80)}),
        size_divisibility=32,
        sem_seg_postprocess_before_inference=True,
        pixel_mean=cfg.MODEL.PIXEL_MEAN,
        pixel_std=cfg.MODEL.PIXEL_STD,
        semantic_on=False,
        panoptic_on=True,
        instance_on=False,
        test_topk_per_image=100,
    ).eval()


def import_mask2former() -> Any:
    """The package. Its evaluation asks for Detectron2's compiled part at import, and for nothing of it here."""
    needed = 'detectron2._C' not in sys.modules
    if needed:
        sys.modules['detectron2._C'] = types.ModuleType('detectron2._C')
    try:
        import mask2former
    finally:
        if needed:  # left in, Detectron2 would ask it for its compiler
            del sys.modules['detectron2._C']
    return mask2former


@torch.no_grad()
def measure(model: nn.Module, *, height: int, width: int, repeats: int) -> dict[str, float]:
    """Times a model's forward on a random picture of this size, and what the wrapper adds to any.

    Returns:
        `forward_s`, the median, and `added_s`; the process's own time, which with one thread is what the clock of an
        idle machine shows.
    """
    inputs = [{'image': 255 * torch.rand(3, height, width), 'height': height, 'width': width}]
    forwards = [_seconds(lambda: model(inputs), 1) for _ in range(repeats + 1)]
    empty = nn.Identity().eval()
    wrapped = RefinedModel(empty, None).eval()
    rounds = [(_seconds(lambda: wrapped(inputs), CALLS), _seconds(lambda: empty(inputs), CALLS)) for _ in range(5)]
    added = min(own for own, _ in rounds) - min(plain for _, plain in rounds)
    return {'forward_s': statistics.median(forwards[1:]), 'added_s': added}


def _seconds(call: Callable[[], Any], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    model = build_mask2former()
    found = measure(model, height=args.height, width=args.width, repeats=args.repeats)
    share = 100 * found['added_s'] / found['forward_s']
    print(f'{len(model.state_dict())} weights; {args.width}x{args.height}, {device_name(torch.device("cpu"))}')
    print(f'forward {found["forward_s"]:.2f} s, wrapper {1e6 * found["added_s"]:.1f} us: {share:.5f} % (aim 1 %)')


if __name__ == '__main__':
    main()
