"""`python -m mmseg_g4seg.cli` is `g4seg`; torchrun wants a module."""

from .command import main

if __name__ == '__main__':
    raise SystemExit(main())
