"""ControlNet (arXiv 2302.05543): a painted layout steers a U-Net through residuals, beside attention or in its place.

The ControlNet's own attention is never modulated: it was trained to read the layout from the image.

Shapes: B images, R regions, C classes of the data set, H' W' image size of the prior, c latent channels, h w latent
grid, T text tokens, E text width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.weights.controlnet import (
    check_controlnet,
    control_stride,
    load_controlnet,
    read_controlnet_config,
)
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.registry import register

from .base import InjectedPrior, Injector
from .control_images import control_colours, paint_regions
from .layouts import RegionLayout


@register
class ControlNetInjector(Injector):
    """Shows a ControlNet-seg the layout in ADE20K's colours; for SD 1.x, 2.x and LCM.

    Alone it stands in place of injection into attention; in a list beside `MaskInjector` both work.
    """

    reads_region_maps = True

    def __init__(self, source: str | Path | Any, *, scale: float = 1.0) -> None:
        """Args:
            source: folder or hub id of a ControlNet trained on ADE20K's segmentations, such as
                `lllyasviel/control_v11p_sd15_seg`, or a loaded diffusers `ControlNetModel`, which takes the prior's
                device and dtype. Of a folder or id the config is read now, the weights once it fits the prior.
            scale: factor on what it adds; 0 turns it off.

        Raises:
            FileNotFoundError: if the source is neither local nor reachable.
            ValueError: if it is something else than a ControlNet, or the scale is below 0.
        """
        if not (isinstance(scale, int | float) and 0 <= scale < float('inf')):
            raise ValueError(f'scale: expected a finite number of at least 0, got {scale!r}')
        self.scale = float(scale)
        self.source: str | Path | None = None
        self.controlnet: Any = None
        if isinstance(source, str | Path):
            self.source, self.config = source, read_controlnet_config(source)
        else:
            self.controlnet, self.config = source.eval().requires_grad_(False), dict(source.config)
        self._colours: tuple[ClassList, Tensor] | None = None

    def check(self, prior: InjectedPrior) -> None:
        what = 'controlnet' if self.source is None else f'controlnet {str(self.source)!r}'
        unet = getattr(prior, 'unet', None)
        # SDXL has a U-Net, too, whose ControlNets read pooled text and the image's size besides
        if unet is None or not getattr(prior, 'takes_controlnet', False):
            raise ValueError(f'{what}: expected a prior of SD 1.x, SD 2.x or LCM, got a {type(prior).__name__}')
        check_controlnet(self.config, unet.config, latent_stride=prior.latent_stride, what=what)
        if self.controlnet is None:
            assert self.source is not None
            self.controlnet = load_controlnet(self.source, dtype=prior.dtype).eval().requires_grad_(False)
        # one built by the caller is in float32 on the CPU, and a float16 U-Net cannot add what it gives
        self.controlnet.to(prior.device, prior.dtype)

    def to(self, device: torch.device | str) -> 'ControlNetInjector':
        if self.controlnet is not None:
            self.controlnet.to(device)
        return self

    def arguments(self, layout: RegionLayout, latents: Tensor, timestep: int, embeds: Tensor) -> dict[str, Any]:
        """The U-Net's arguments that take the residuals of (B, c, h, w) latents; none with a scale of 0.

        Raises:
            ValueError: if the layout's maps do not have the size that the latents stand for.
        """
        # no residuals rather than zeros: the pass is then the one without, bit by bit, and the ControlNet's is saved
        if self.scale == 0:
            return {}
        image = self.paint(layout).to(latents)
        wanted = (len(latents), 3, *(side * control_stride(self.config) for side in latents.shape[-2:]))
        if image.shape != wanted:
            raise ValueError(f'control image: expected {wanted}, got {tuple(image.shape)}')
        down, middle = self.controlnet(
            latents, timestep, embeds, controlnet_cond=image, conditioning_scale=self.scale, return_dict=False
        )
        return {'down_block_additional_residuals': down, 'mid_block_additional_residual': middle}

    def paint(self, layout: RegionLayout) -> Tensor:
        """Paints every region in the colour that stands for its class: (B, 3, H', W') float32 RGB in [0, 1].

        Raises:
            ValueError: if the layout has no maps.
        """
        if layout.region_maps is None or layout.classes is None:
            raise ValueError('ControlNetInjector: expected a layout with region_maps and classes, got one without')
        colours = self._class_colours(layout.classes)
        pairs = zip(layout.region_maps, layout.region_classes, strict=True)
        return torch.stack([paint_regions(regions, colours[list(classes)]) for regions, classes in pairs])

    def _class_colours(self, classes: ClassList) -> Tensor:
        """(C, 3) uint8; found once a data set, since every name is looked up."""
        # of the whole list: a class that ADE20K lacks gets a colour that no other class has
        whole = classes.whole or classes
        if self._colours is None or self._colours[0] != whole:
            own = None if whole.palette is None else whole.palette[: len(whole)]
            self._colours = (whole, control_colours(whole, own))
        return self._colours[1][[classes.number(c) for c in range(len(classes))]]
