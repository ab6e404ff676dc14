"""Refines a folder of masks: `mmseg_g4seg/cli/refine_masks.py`, for those who work in a clone."""

import sys

from mmseg_g4seg.cli.refine_masks import main

if __name__ == '__main__':
    sys.exit(main())
