"""Lets `_base_ = ['mmseg::…', 'mmseg_g4seg::…']` resolve, whichever distribution of mmsegmentation is installed."""

from importlib.metadata import PackageNotFoundError, distribution

DISTRIBUTIONS = ('mmsegmentation', 'onedl-mmsegmentation')
"""Both bring the module `mmseg`."""


def installed_mmseg() -> str | None:
    """What the installed distribution of mmseg is called; None where none is."""
    for name in DISTRIBUTIONS:
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        return name
    return None


def name_installed_distributions() -> None:
    """Tells mmengine what the distributions behind `mmseg` and `mmseg_g4seg` are called.

    mmengine looks a module up in this table and then asks for the distribution of that name. Its table has the
    original's name for `mmseg`, and no word of this package.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    # without asking: where there is no distribution, as in a clone on the path, mmengine looks for a module
    MODULE2PACKAGE['mmseg_g4seg'] = 'mmseg_g4seg'
    mmseg = installed_mmseg()
    if mmseg is not None:
        MODULE2PACKAGE['mmseg'] = mmseg
