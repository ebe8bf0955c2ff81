"""Tensors from files that ``torch.save`` wrote, read without torch; nothing in them is executed.

Such a file is a zip archive: ``<name>/data.pkl`` is a pickle of the names, and ``<name>/data/<key>`` holds the bytes of
each storage. A pickle may name any function of Python and have it called, so the reader here knows tensors,
``OrderedDict`` and plain containers, and refuses everything else before it is looked up.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ser_utils import study

STORAGES = {  # class of torch → how its bytes lie in the file
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),  # upper half of a float32
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
LARGEST_PICKLE = 2**26  # bytes; names and shapes of a large net take a few hundred kB
DEEPEST = 20  # mappings inside one another


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a state dict that ``torch.save`` wrote as a zip archive.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str → np.ndarray
        In the order of the file, with the types of the file (bfloat16 as float32); read-only. Names in a nested
        mapping are joined by dots.

    Raises
    ------
    study.UserError
        When the file is no such archive (the older format is a bare pickle), is cut short or damaged, was written in
        big-endian order, or holds or names anything but tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return dict(_leaves(_unpickled(archive)))
    except OSError as error:
        raise study.UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _Refused as error:
        raise study.UserError(f"{path}: {error}; only files of plain tensors are read") from error
    except Exception as error:  # a damaged archive makes zipfile fail in many ways, BadZipFile is one of them
        raise study.UserError(
            f"{path}: no whole zip archive ({error}); fetch it again, or save it anew with torch 1.6 or later"
        ) from error


class _Refused(Exception):
    """What is wrong with the file, in a few words."""


def _unpickled(archive: zipfile.ZipFile) -> Any:
    pickles = [entry for entry in archive.infolist() if entry.filename.count("/") == 1]
    pickles = [entry for entry in pickles if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _Refused(f"holds {len(pickles)} files NAME/data.pkl instead of one")
    if pickles[0].file_size > LARGEST_PICKLE:
        raise _Refused(f"{pickles[0].filename} would take {pickles[0].file_size} bytes")
    root = pickles[0].filename.removesuffix("data.pkl")
    try:
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise _Refused("was written in another byte order than little-endian")
        return _Tensors(io.BytesIO(archive.read(pickles[0])), archive, root).load()
    except (_Refused, zipfile.BadZipFile):
        raise
    except Exception as error:  # bytes that are no pickle make it fail in any way that Python knows
        raise _Refused(f"{pickles[0].filename} cannot be read ({type(error).__name__}: {error})") from error


def _leaves(mapping: Any, prefix: str = "", inside: tuple[int, ...] = ()) -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of every tensor of a mapping; `inside` are the mappings around it, so that none holds itself."""
    if not isinstance(mapping, dict):
        raise _Refused(f"holds {_kind(mapping)}, not a mapping of names to tensors")
    inside = (*inside, id(mapping))
    for name, item in dict.items(mapping):  # the pickle may have hidden the method of the mapping itself
        if not isinstance(name, str):
            raise _Refused(f"the name {prefix}{name!r} is {_kind(name)}, not a text")
        if isinstance(item, np.ndarray):
            yield prefix + name, item
        elif isinstance(item, dict) and id(item) not in inside and len(inside) < DEEPEST:
            yield from _leaves(item, f"{prefix}{name}.", inside)
        else:
            raise _Refused(f"'{prefix}{name}' holds {_kind(item)}, not a tensor")


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"


# --- the unpickler ------------------------------------------------------------------------------------------------


class _Rebuild:
    """``torch._utils._rebuild_tensor_v2``: a view of a storage. Without a ``__dict__``: a pickle cannot change it."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
        if type(storage) is not _Storage or type(size) is not tuple or type(stride) is not tuple:
            raise _Refused("a tensor is not described as torch does")
        if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
            raise _Refused(f"a tensor has offset {offset}, size {size} and stride {stride}")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if all(size) and last >= len(storage.values):
            raise _Refused(f"a tensor of size {size} reaches beyond its storage of {len(storage.values)} values")
        if not all(size):
            return np.empty(size, storage.values.dtype)
        steps = [step * storage.values.itemsize for step in stride]
        view = as_strided(storage.values[offset:], size, steps, writeable=False)
        return _widened(view) if storage.halves else view


class _Parameter:
    """``torch._utils._rebuild_parameter``: its tensor."""

    __slots__ = ()

    def __call__(self, tensor: Any, *_: Any) -> Any:
        return tensor


class _Storage:
    """Values of one file of the archive; `halves` are upper halves of float32."""

    __slots__ = ("halves", "values")

    def __init__(self, values: np.ndarray, halves: bool) -> None:
        self.values, self.halves = values, halves


def _widened(halves: np.ndarray) -> np.ndarray:
    """bfloat16 as float32, which has the same exponent."""
    whole = np.left_shift(halves.astype(np.uint32), 16).view(np.float32)
    whole.flags.writeable = False
    return whole


_KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _Parameter(),
    **{("torch", name): name for name in STORAGES},
}


class _Tensors(pickle.Unpickler):
    """Knows the names of :data:`_KNOWN` and no other; storages come from the archive."""

    def __init__(self, data: io.BytesIO, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(data)
        self.archive, self.root, self.storages = archive, root, {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise _Refused(f"names {module}.{name}, which a file of tensors has no use for")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Storage of ``("storage", class, key, device, number of values)``."""
        if type(pid) is not tuple or len(pid) != 5 or pid[0] != "storage" or type(pid[2]) is not str:
            raise _Refused(f"refers to {str(pid)[:80]} instead of a storage")
        _, kind, key, _, count = pid
        if kind not in STORAGES:
            raise _Refused(f"a storage is of class {str(kind)[:80]}")
        if key not in self.storages:
            self.storages[key] = (kind, self._values(key, STORAGES[kind], count))
        known, values = self.storages[key]
        if known != kind:
            raise _Refused(f"storage {key} is both {known} and {kind}")
        return _Storage(values, halves=kind == "BFloat16Storage")

    def _values(self, key: str, dtype: np.dtype, count: Any) -> np.ndarray:
        name = f"{self.root}data/{key}"
        try:
            entry = self.archive.getinfo(name)
        except KeyError as error:
            raise _Refused(f"{name} is absent") from error
        if entry.compress_type != zipfile.ZIP_STORED:  # torch never packs them: a small file that unpacks to a huge one
            raise _Refused(f"{name} is compressed")
        if type(count) is not int or entry.file_size != count * dtype.itemsize:
            raise _Refused(f"{name} has {entry.file_size} bytes, not those of {count} values of type {dtype}")
        return np.frombuffer(self.archive.read(entry), dtype)
