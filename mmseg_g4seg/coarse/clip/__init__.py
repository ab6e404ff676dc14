"""Sources of coarse masks that read CLIP's vision transformer, without training."""
