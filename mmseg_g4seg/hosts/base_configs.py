"""Lets `_base_ = ['mmseg::…', 'mmseg_g4seg::…']` resolve, whichever distribution of mmsegmentation is installed."""

from importlib.metadata import PackageNotFoundError, distribution

DISTRIBUTIONS = {'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'), 'mmseg_g4seg': ('mmseg_g4seg',)}


def name_installed_distributions() -> None:
    """Tells mmengine what the distributions behind `mmseg` and `mmseg_g4seg` are called.

    mmengine looks a module up in this table and then asks for the distribution of that name. Its table has the
    original's name for `mmseg`, and no word of this package.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    for module, names in DISTRIBUTIONS.items():
        for name in names:
            try:
                distribution(name)
            except PackageNotFoundError:
                continue
            MODULE2PACKAGE[module] = name
            break
