import builtins
import functools
import importlib
import io
import operator
import os
import pickle
import subprocess
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseg_g4seg.io.safe_arrays import read_arrays

CONTENT = {
    'C': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    'F': np.asfortranarray(np.random.default_rng(0).random((3, 4))),
    'K': np.arange(24, dtype=np.int16).reshape(2, 3, 4).transpose(2, 0, 1),
    'strided': np.arange(24)[::5],
    'big-endian': np.arange(5, dtype='>i4'),
    'half': np.linspace(0, 1, 7, dtype=np.float16),
    'bool': np.array([True, False]),
    'text': np.array(['cat', 'hot air balloon']),
    'one': np.array(3.5),
    'scalar': np.float32(0.1),
    'integer scalar': np.int64(7),
    'objects': np.array([None, 'cat', 3], object),
    'tensor': torch.arange(6.0).reshape(2, 3),
    'half tensor': torch.rand(3).half(),
    'tensor of indices': torch.tensor([0, 14]),
    'part of a tensor': torch.rand(4, 6)[1:, ::2],
    'tensor with gradient': torch.rand(2).requires_grad_(),
    'containers': [(1, 2.5, None), {'a': b'bytes'}, OrderedDict(b='text'), True],
}


def boxed(content: Any) -> np.ndarray:
    array = np.empty((), object)
    array[()] = content
    return array


def npy(content: Any, protocol: int | None = None) -> bytes:
    """As `numpy.save` writes an object, with any of pickle's protocols."""
    array, buffer = boxed(content), io.BytesIO()
    if protocol is None:
        np.save(buffer, array)
    else:
        np.lib.format.write_array_header_1_0(buffer, {'descr': '|O', 'fortran_order': False, 'shape': ()})
        pickle.dump(array, buffer, protocol=protocol)
    return buffer.getvalue()


def read(content: bytes, folder: Path) -> Any:
    (folder / 'a.npy').write_bytes(content)
    return read_arrays(folder / 'a.npy')


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray | np.generic):
        assert found.dtype.newbyteorder('=') == expected.dtype.newbyteorder('=')
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
        assert found.dtype == expected.dtype
    else:
        assert found == expected


@pytest.mark.parametrize('protocol', [None, 0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize('name', CONTENT)
def test_data_of_every_protocol(tmp_path, name, protocol):
    assert_same(read(npy({name: CONTENT[name]}, protocol), tmp_path)[name], CONTENT[name])


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    arrays = {'probs': CONTENT['C'], 'objects': CONTENT['objects'], 'F': CONTENT['F']}
    save(tmp_path / 'a.npz', **arrays)
    found = read_arrays(tmp_path / 'a.npz')
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        assert_same(found[name], array)


@pytest.mark.parametrize('version', [(1, 0), (2, 0), (3, 0)])
def test_plain_arrays(tmp_path, version):
    with (tmp_path / 'a.npy').open('wb') as file:
        np.lib.format.write_array(file, CONTENT['C'], version)
    assert_same(read_arrays(tmp_path / 'a.npy'), CONTENT['C'])


class Call:
    """Pickles as a call: `function(*arguments)` runs when it is unpickled."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable, tuple]:
        return self.function, self.arguments


class OwnClass:
    """Nothing bad about it but that it is no data."""


Pair = namedtuple('Pair', 'a b')


def writes(flag: str) -> dict[str, Any]:
    """Pickles of which each, read by an ordinary unpickler, makes the file `flag`, or just might."""
    write = f'open({flag!r}, "w").close()'
    shell = f'touch {flag}'
    evil = pickle.dumps(Call(os.system, shell), 2)
    return {
        'os.system': Call(os.system, shell),
        'eval': Call(eval, write),
        'exec': Call(exec, write),
        'open': Call(open, flag, 'w'),
        'getattr': Call(getattr, Call(importlib.import_module, 'os'), 'system'),
        '__import__': Call(builtins.__import__, 'antigravity'),
        'subprocess': Call(subprocess.Popen, ['touch', flag]),
        'partial': Call(functools.partial, Call(os.system, shell)),
        'attrgetter': Call(operator.attrgetter, 'system'),
        'pickle.loads': Call(pickle.loads, evil),
        'numpy.load': Call(np.load, flag, None, True),
        'numpy.fromfile': Call(np.fromfile, sys.executable, 'u1', 4),
        'memmap': Call(np.memmap, flag, 'u1', 'w+', 0, (1,)),
        'torch.load': Call(torch.load, flag),
        'torch.save': Call(torch.save, 1, flag),
        'storage of bytes': Call(torch.storage._load_from_bytes, evil),
        'storage of a file': Call(torch.storage._load_from_bytes, saved(Call(os.system, shell), zipped=True)),
        'storage of an old file': Call(torch.storage._load_from_bytes, saved(Call(os.system, shell), zipped=False)),
        'parameter': Call(torch._utils._rebuild_parameter, Call(os.system, shell), False, OrderedDict()),
        'tensor': Call(torch._utils._rebuild_tensor_v2, Call(os.system, shell), 0, (1,), (1,), False, OrderedDict()),
        'own class': OwnClass(),
        'named tuple': Pair(1, 2),
        'class itself': OwnClass,
        'in a list': [np.ones(3), [Call(os.system, shell)]],
        'as a key': {Call(os.system, shell): 1},
        'in an array': np.array([1, Call(os.system, shell)], object),
        'in a dtype': Call(np.dtype, Call(eval, write)),
    }


def saved(content: Any, *, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize('protocol', [2, 4, 5])
@pytest.mark.parametrize('name', writes(''))
def test_calls_nothing(tmp_path, name, protocol):
    flag = tmp_path / 'flag'
    content = npy({'keys': [0], 'high_res': writes(str(flag))[name]}, protocol)
    with pytest.raises(ValueError, match='unsafe or damaged pickle'):
        read(content, tmp_path)
    np.savez(tmp_path / 'b.npz', probs=np.ones(3), classes=boxed(writes(str(flag))[name]))
    with pytest.raises(ValueError, match='unsafe or damaged pickle'):
        read_arrays(tmp_path / 'b.npz')
    assert not flag.exists()


def test_the_calls_above_do_run_elsewhere(tmp_path):
    flag = tmp_path / 'flag'
    for name in ('os.system', 'eval', 'storage of an old file', 'in an array'):
        if name == 'storage of an old file':
            torch.load(io.BytesIO(writes(str(flag))[name].arguments[0]), weights_only=False)
        else:
            np.load(io.BytesIO(npy(writes(str(flag))[name])), allow_pickle=True)
        assert flag.exists()
        flag.unlink()


def reduced(function: Callable, arguments: tuple, state: Any) -> Any:
    class Reduced:
        def __reduce__(self) -> tuple:
            return function, arguments, state

    return Reduced()


def test_bytes_do_not_pass_for_pointers(tmp_path):
    """NumPy's own dtypes take any state when unpickled: one that says it holds no objects, and does."""
    hidden = reduced(np.dtype, ('V8', False, True), (3, '|', None, ('a',), {'a': (np.dtype('O'), 0)}, 8, 1, 0))
    plain = reduced(np.dtype, ('O8', False, True), (3, '|', None, None, None, -1, -1, 0))
    reconstruct, scalar_of = np.ones(1).__reduce__()[0], np.float32(1).__reduce__()[0]
    for dtype in (hidden, plain):
        array = reduced(reconstruct, (np.ndarray, (0,), b'b'), (1, (1,), dtype, False, b'A' * 8))
        called = Call(np.ndarray, (1,), dtype, b'A' * 8)
        raw = Call(reconstruct, np.ndarray, (4,), dtype)
        scalar = Call(scalar_of, dtype, b'A' * 8)
        for content in (array, called, scalar):
            with pytest.raises(ValueError, match='unsafe or damaged pickle'):
                read(npy({'a': content}, 2), tmp_path)
        assert read(npy({'a': raw}, 2), tmp_path)['a'].size == 0


@pytest.mark.parametrize(
    'content', [b'', b'text', b'\x93NUMPY', b'\x93NUMPY\x01\x00', b'PK\x03\x04', pickle.dumps({'keys': [1]})]
)
def test_other_files(tmp_path, content):
    with pytest.raises(ValueError, match=r'damaged|expected a file of numpy|EOF'):
        read(content, tmp_path)


def test_every_cut_is_an_error(tmp_path):
    np.savez_compressed(tmp_path / 'a.npz', probs=CONTENT['C'])
    seed = npy({'keys': torch.tensor([0, 1]), 'high_res': CONTENT['C']})
    for content in (seed, (tmp_path / 'a.npz').read_bytes()):
        for length in range(0, len(content), 5):
            with pytest.raises(ValueError, match=r'damaged|expected a file of numpy|magic string|array data|header'):
                read(content[:length], tmp_path)


def test_every_change_is_data_or_an_error(tmp_path):
    """There are no check sums in such files, but nothing crashes and nothing is run."""
    content = npy({'keys': torch.tensor([0, 1]), 'high_res': CONTENT['C']})
    generator = np.random.default_rng(0)
    for place in range(0, len(content), 5):
        changed = bytes([content[place] ^ int(generator.integers(1, 256))])
        with suppress(ValueError):
            read(content[:place] + changed + content[place + 1 :], tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / 'a.npy')
