"""CascadePSP (Cheng et al., CVPR 2020, arXiv 2005.02551) as a refiner, on its authors' package.

Shapes: H W image size.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from mmseg_g4seg.ops.imagenet import imagenet_pixels
from mmseg_g4seg.prediction import Key
from mmseg_g4seg.registry import register

from .base import BinaryMaskRefiner
from .checkpoints import load_checkpoint

CACHE = Path('~/.segmentation-refinement')
"""Where the authors' package keeps its weights."""


@register
class CascadePSPRefiner(BinaryMaskRefiner):
    """Refines each class's mask with CascadePSP: a global pass, then, unless `fast`, local ones."""

    name = 'CascadePSP'

    def __init__(self, network: nn.Module, *, fast: bool = False, max_side: int = 900, min_area: float = 0.0) -> None:
        """Args:
            network: `load_cascade_psp`.
            fast: the global pass alone.
            max_side: of what goes through the network at once (the authors' L); lower saves memory, and
                time: smaller images are enlarged to it.
            min_area: see `BinaryMaskRefiner`.

        Raises:
            ValueError: if `max_side` is too small for the local passes, which overlap by 64 pixels.
        """
        super().__init__(min_area=min_area)
        if max_side < 72:
            raise ValueError(f'max_side: expected at least 72, got {max_side}')
        self.network, self.fast, self.max_side = network.eval(), fast, max_side

    @classmethod
    def from_config(
        cls,
        weights: str | Path | None = None,
        *,
        download: bool = False,
        fast: bool = False,
        max_side: int = 900,
        min_area: float = 0.0,
    ) -> 'CascadePSPRefiner':
        """Builds one as configs say it, by `load_cascade_psp`'s arguments in place of the network."""
        network = load_cascade_psp(weights, download=download)
        return cls(network, fast=fast, max_side=max_side, min_area=min_area)

    def refine_mask(self, image: Tensor, mask: Tensor, key: Key) -> Tensor:
        from segmentation_refinement.eval_helper import process_high_res_im, process_im_single_pass

        device = next(self.network.parameters()).device
        # the authors' own refiner takes bytes: the same rounding gives the same result
        pixels = imagenet_pixels((image.float() * 255).round().clamp(0, 255) / 255)
        # the network was trained on masks in [-1, 1]; one in [0, 1] reads as an object everywhere
        signed = mask[None].float() * 2 - 1  # (1, H, W) in {-1, 1}
        process = process_im_single_pass if self.fast else process_high_res_im
        refined = process(self.network, pixels[None].to(device), signed[None].to(device), self.max_side)
        return refined[0, 0].clamp(0, 1).to(image.device)

    def to(self, device: torch.device | str) -> 'CascadePSPRefiner':
        self.network.to(device)
        return self


def load_cascade_psp(weights: str | Path | None = None, *, download: bool = False) -> nn.Module:
    """Builds CascadePSP's network with its authors' weights.

    Args:
        weights: file in the format of the authors' release (a state dict, with or without the prefix
            `module.`); the authors' cache, `~/.segmentation-refinement/model`, when not given.
        download: fetch the release into the cache where it is not there.

    Raises:
        ImportError: if the package segmentation-refinement is missing.
        FileNotFoundError: if there is no such file and no download was asked for.
        ValueError: if the file does not hold these weights, or both arguments are given.
    """
    try:
        from segmentation_refinement.download import download_and_or_check_model_file
        from segmentation_refinement.models.psp.pspnet import RefinementModule
    except ImportError as error:
        raise ImportError('CascadePSP needs segmentation-refinement: pip install "mmseg_g4seg[cascadepsp]"') from error
    if weights is not None and download:
        raise ValueError("weights and download=True exclude each other: a download goes to the authors' cache")
    path = (CACHE / 'model' if weights is None else Path(weights)).expanduser()
    if weights is None and download:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_and_or_check_model_file(str(path))
    if weights is None and not path.is_file():
        raise FileNotFoundError(
            f"CascadePSP: no weights at {path}; expected weights=FILE, the authors' release, or download=True"
        )
    with torch.device('meta'):  # random weights would take a second, and give way to the file's
        network = RefinementModule()
    load_checkpoint(network, path, prefix='module.', what='CascadePSP')
    return network
