"""What limits the gain of G4Seg on a set of images: the prior's knowledge, its calibration, the matches, the mask."""
