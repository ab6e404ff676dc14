"""Files that Pillow reads and cannot write: 16-bit colour."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def write_rgb16(path: Path, pixels: np.ndarray) -> None:
    """Writes (H, W, 3) uint16 as PNG, or as TIFF, as the suffix says."""
    height, width, _ = pixels.shape
    path.write_bytes(_tiff(pixels, height, width) if path.suffix == '.tif' else _png(pixels, height, width))


def _png(pixels: np.ndarray, height: int, width: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))

    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
    header = struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def _tiff(pixels: np.ndarray, height: int, width: int) -> bytes:
    # 9 entries of 12 bytes behind header and count, then the three depths, then the pixels
    depths, start = 8 + 2 + 9 * 12 + 4, 8 + 2 + 9 * 12 + 4 + 6
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, depths),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, start),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, 1, pixels.size * 2),
    ]
    table = b''.join(struct.pack('<HHII', *entry) for entry in entries)
    content = struct.pack('<H', len(entries)) + table + struct.pack('<IHHH', 0, 16, 16, 16)
    return b'II*\0' + struct.pack('<I', 8) + content + pixels.astype('<u2').tobytes()


def save_turned(path: Path, pixels: np.ndarray, tag: int) -> None:
    """Saves (H, W, 3) uint8 as they are, with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(pixels).save(path, exif=exif)
