"""What tests inject."""

from mmseg_g4seg.diffusion.injection import Injection, Injector, MaskInjector, RegionLayout


def inject(region_masks, token_masks, *injectors: Injector, **layout) -> Injection:
    """(B, R, h, w) and (B, R, T) masks under some injectors; G4Seg's rule with its defaults where none is given."""
    return Injection(RegionLayout(region_masks, token_masks, **layout), injectors or [MaskInjector()])
