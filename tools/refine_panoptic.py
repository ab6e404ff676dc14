"""Refines saved panoptic predictions: `mmseg_g4seg/cli/refine_panoptic.py`, for those who work in a clone."""

import sys

from mmseg_g4seg.cli.refine_panoptic import main

if __name__ == '__main__':
    sys.exit(main())
