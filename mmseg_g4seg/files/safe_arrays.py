"""Reads arrays from `.npy` and `.npz`, pickled ones through an unpickler that admits data alone.

Weakly supervised methods save a dictionary with `numpy.save`, which pickles it; an ordinary unpickler
would run whatever such a file says.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy_format

NPY_MAGIC = b'\x93NUMPY'


def read_arrays(path: Path) -> Any:
    """Reads what `numpy.save` or `numpy.savez` wrote.

    Args:
        path: of the file; its content decides, not its name.

    Returns:
        An array; or what a pickled 0-dimensional one holds, such as a dictionary; or, of an `.npz`,
        a dictionary of its members.

    Raises:
        ValueError: if the file is damaged, or its pickle asks for anything but arrays, tensors and
            plain containers.
    """
    with path.open('rb') as file:
        if zipfile.is_zipfile(file):
            return _read_npz(file)
        file.seek(0)
        return _read_npy(file)


def _read_npz(file: IO[bytes]) -> dict[str, Any]:
    members = {}
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                members[name.removesuffix('.npy')] = _read_npy(io.BytesIO(member.read()))
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
    except pickle.UnpicklingError as error:
        raise ValueError(f'unsafe or damaged pickle: {error}') from error


def _storage(content: bytes) -> Any:
    """The bytes of a tensor's storage, which torch pickles once more."""
    return torch.load(io.BytesIO(content), weights_only=True)


def _encode(text: str, encoding: str) -> bytes:
    """What old protocols write for bytes."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'encoding {encoding!r}')
    return text.encode('latin1')


# NumPy 2 renamed the module; files of either name are read by either
_multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
ADMITTED: dict[tuple[str, str], Callable] = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): _encode,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _storage,
    **{
        (f'{core}.multiarray', name): getattr(_multiarray, name)
        for core in ('numpy.core', 'numpy._core')
        for name in ('_reconstruct', 'scalar')
    },
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f'{module}.{name} is no array, tensor or plain container')
        return ADMITTED[module, name]
