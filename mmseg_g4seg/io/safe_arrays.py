"""Reads arrays from `.npy` and `.npz`, pickled ones through an unpickler that admits data alone.

Weakly supervised methods save a dictionary with `numpy.save`, which pickles it; an ordinary unpickler
would run whatever such a file says.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy_format

from .storage import AnyPath

NPY_MAGIC, ZIP_MAGIC = b'\x93NUMPY', b'PK'


def read_arrays(path: AnyPath) -> Any:
    """Reads what `numpy.save` or `numpy.savez` wrote.

    Args:
        path: of the file; its content decides, not its name.

    Returns:
        An array; or what a pickled 0-dimensional one holds, such as a dictionary; or, of an `.npz`,
        a dictionary of its members.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is damaged, or its pickle asks for anything but arrays, tensors and plain
            containers.
    """
    with path.open('rb') as file:
        try:
            start = file.read(len(ZIP_MAGIC))
            file.seek(0)
            return _read_npz(file) if start == ZIP_MAGIC else _read_npy(file)
        except (OSError, ValueError):
            raise
        except Exception as error:
            raise ValueError(f'damaged: {type(error).__name__}: {error}') from error


def _read_npz(file: IO[bytes]) -> dict[str, Any]:
    members = {}
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            # from the archive: scores of 4096 x 4096 pixels would lie in memory a second time, as bytes
            with archive.open(name) as member:
                members[name.removesuffix('.npy')] = _read_npy(member)
                while member.read(2**20):  # to the end, where the check sum is compared
                    pass
    return members


def _read_npy(file: IO[bytes]) -> Any:
    start = file.read(len(NPY_MAGIC))
    if start != NPY_MAGIC:
        raise ValueError(f'expected a file of numpy.save or numpy.savez, it starts with {start!r}')
    file.seek(0)
    version = npy_format.read_magic(file)
    read_header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    dtype = read_header(file)[2]
    if not dtype.hasobject:
        file.seek(0)
        return npy_format.read_array(file, allow_pickle=False)
    content = unpickle_arrays(file)
    if isinstance(content, np.ndarray) and content.shape == ():
        return content.item()
    return content


def unpickle_arrays(file: IO[bytes]) -> Any:
    """Unpickles arrays, tensors and plain containers.

    Raises:
        ValueError: if the pickle names anything else, or is damaged.
    """
    try:
        return _ArrayUnpickler(file, encoding='latin1').load()
    except Exception as error:
        raise ValueError(f'unsafe or damaged pickle: {error}') from error


class _DType:
    """A dtype as pickled: NumPy's own would take any state, so that bytes could pass for pointers."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self.code = code
        self.order: Any = '='  # whatever a pickle says; NumPy judges it

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def build(self) -> np.dtype:
        dtype = np.dtype(self.code).newbyteorder(self.order)
        if dtype.kind not in 'biufcSUO':
            raise pickle.UnpicklingError(f'an array of {dtype}')
        return dtype


class _Array(np.ndarray):
    """An array that is still empty."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, content = state
        super().__setstate__((version, shape, dtype.build(), fortran, content))


def _empty_array(kind: str, shape: tuple, code: bytes) -> np.ndarray:
    return np.zeros(0, np.uint8).view(_Array)


def _array_of_bytes(
    content: bytes, dtype: _DType, shape: tuple, order: str, axes: Sequence[int] | None = None
) -> np.ndarray:
    flat = np.frombuffer(content, dtype.build())
    if order == 'K' and axes is not None:
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order='F' if order == 'F' else 'C')


def _scalar(dtype: _DType, content: bytes | str) -> Any:
    # old protocols write bytes as text
    return np.frombuffer(content.encode('latin1') if isinstance(content, str) else content, dtype.build())[0]


def _storage(content: bytes) -> Any:
    """The bytes of a tensor's storage, which torch pickles once more."""
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)


def _encode(text: str, encoding: str) -> bytes:
    """What old protocols write for bytes."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'encoding {encoding!r}')
    return text.encode('latin1')


ADMITTED: dict[tuple[str, str], Any] = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): _encode,
    ('numpy', 'ndarray'): 'numpy.ndarray',  # named, never called
    ('numpy', 'dtype'): _DType,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _storage,
}
for _core in ('numpy.core', 'numpy._core'):  # NumPy 2 renamed it; files of either name are read by either
    ADMITTED[f'{_core}.multiarray', '_reconstruct'] = _empty_array
    ADMITTED[f'{_core}.multiarray', 'scalar'] = _scalar
    ADMITTED[f'{_core}.numeric', '_frombuffer'] = _array_of_bytes


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f'{module}.{name} is no array, tensor or plain container')
        return ADMITTED[module, name]
