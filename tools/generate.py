"""Generates pictures with masks: `mmseg_g4seg/cli/generate.py`, for those who work in a clone."""

import sys

from mmseg_g4seg.cli.generate import main

if __name__ == '__main__':
    sys.exit(main())
