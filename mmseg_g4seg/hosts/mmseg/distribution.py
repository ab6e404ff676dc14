"""Lets `mmseg::` base configs resolve whichever distribution of mmsegmentation is installed."""

from importlib.metadata import PackageNotFoundError, distribution

from mmengine.config.utils import MODULE2PACKAGE

DISTRIBUTIONS = ('mmsegmentation', 'onedl-mmsegmentation')


def name_installed_distribution() -> None:
    """Tells mmengine what the distribution behind the module `mmseg` is called.

    mmengine looks `mmseg` up in this table and then asks for the distribution of that name; its
    table knows the original's name only.
    """
    for name in DISTRIBUTIONS:
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        MODULE2PACKAGE['mmseg'] = name
        return
