"""The one place that reads what a host does not promise to keep: its private attributes, by every spelling."""

from typing import Any

SPELLINGS = {
    'channel_conversion': ('_channel_conversion', 'channel_conversion'),
    'enable_normalize': ('_enable_normalize', 'enable_normalize'),
}
"""What an attribute is called: by the maintained continuation of mmseg (and mmengine), by mmseg 1.2.2."""


def private_attribute(owner: object, name: str) -> Any:
    """Reads a private attribute of a host's object.

    A default in place of the error would be a guess: mmseg 1.2.2 spells one of these without the underscore, and
    every picture then had red and blue exchanged.

    Args:
        owner: the host's object.
        name: a key of `SPELLINGS`.

    Raises:
        AttributeError: if the object has it under none of its spellings.
    """
    for spelling in SPELLINGS[name]:
        if hasattr(owner, spelling):
            return getattr(owner, spelling)
    raise AttributeError(
        f'{type(owner).__name__}: expected one of the attributes {", ".join(SPELLINGS[name])}, by which the picture '
        f"behind normalised inputs is recovered; found none: give the model mmseg's SegDataPreProcessor"
    )
