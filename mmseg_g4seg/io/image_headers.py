"""What an image file says beside its pixels: how many bits a channel has, and which way is up.

Shapes: H W size of the upright picture, h w grid of a mask.
"""

from contextlib import suppress
from pathlib import Path

from PIL import Image

from .storage import AnyPath, StoredPath, readable

ORIENTATION, WIDTH, HEIGHT, BITS = 0x0112, 0x0100, 0x0101, 0x0102
"""Tags of EXIF and TIFF."""
EXCHANGING = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""


def has_sixteen_bits(image: Image.Image) -> bool:
    """Whether a file has more than 8 bits a channel, also where Pillow gives 8: it drops the lower ones of colour.

    A picture that was converted, or decoded from memory, does not tell any more.
    """
    if image.mode.startswith('I;16'):
        return True
    if image.format == 'TIFF':
        bits = getattr(image, 'tag_v2', {}).get(BITS, 8)
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    if tiles := getattr(image, 'tile', []):  # of an image that is not decoded yet
        return any(';16' in str(tile[3]) for tile in tiles)
    if image.format != 'PNG' or not (name := getattr(image, 'filename', '')):
        return False
    with suppress(OSError), Path(name).open('rb') as file:  # a temporary one may be gone since
        return file.read(25)[24:] == b'\x10'  # the depth, behind signature, length, IHDR, width and height
    return False


def orientation(image: Image.Image) -> int:
    """The EXIF tag: 1 for a picture that is stored upright."""
    value = image.getexif().get(ORIENTATION)
    return value if isinstance(value, int) else 1


def upright_size(path: Path) -> tuple[int, int]:
    """(W, H) of an image as a viewer shows it, from its header alone."""
    with Image.open(path) as image:
        stored = image.size
        if image.format == 'TIFF':  # whose size some versions of Pillow exchange on opening
            tags = getattr(image, 'tag_v2', {})
            stored = (tags[WIDTH], tags[HEIGHT])
        if image.format == 'PNG' and 'exif' not in image.info and not _mentions_exif(path):
            return stored  # Pillow would decode all of it in search of a tag behind the pixels
        return stored[::-1] if orientation(image) in EXCHANGING else stored


def _mentions_exif(png: Path) -> bool:
    with png.open('rb') as file:
        head = file.read(65536)
        file.seek(max(0, png.stat().st_size - 65536))
        return any(name in text for text in (head, file.read()) for name in (b'eXIf', b'Raw profile type exif'))


def frame_note(image: 'AnyPath | Image.Image', size: tuple[int, int], grid: tuple[int, int]) -> str:
    """What to say of a mask that lies across its picture because an EXIF tag turns that; empty where none does.

    Pictures are upright in every door. A mask that was made of the stored pixels is refused, not turned: of a square
    picture, or one upside down, nobody could tell.

    Args:
        image: the picture, or its file.
        size: (H, W) of the upright picture.
        grid: (h, w) of the mask, on any scale.
    """
    if (size[0] - size[1]) * (grid[0] - grid[1]) >= 0:
        return ''
    if isinstance(image, (Path, StoredPath)):
        try:
            with Image.open(readable(image)) as opened:
                tag = orientation(opened)
        except OSError:
            return ''
    else:
        tag = orientation(image)
    if tag not in EXCHANGING:
        return ''
    return (
        f': the image has EXIF orientation {tag}, which exchanges height and width, and pictures are read upright; '
        'turn the mask, which fits the stored pixels, in the same way'
    )
