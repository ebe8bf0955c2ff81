"""Writes archives as ``torch.save`` does, without torch."""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

KINDS = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char"}
KINDS |= {"u1": "Byte", "b1": "Bool"}


class Tensor:
    """What a pickle says of one tensor."""

    def __init__(self, storage: np.ndarray, size: tuple, stride: tuple, offset: int = 0, kind: str = "") -> None:
        self.storage, self.size, self.stride, self.offset = storage, size, stride, offset
        self.kind = (kind or KINDS[storage.dtype.str[1:]]) + "Storage"


def tensor(array: np.ndarray) -> Tensor:
    """A contiguous tensor with a storage of its own."""
    array = np.asarray(array)
    stride = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides) if array.ndim else ()
    return Tensor(array.reshape(-1).copy(), array.shape, stride)


class _Storage:
    def __init__(self, kind: type, key: str, count: int) -> None:
        self.pid = ("storage", kind, key, "cpu", count)


class _Pickler(pickle._Pickler):
    def __init__(self, file: io.BytesIO, modules: dict[str, types.ModuleType]) -> None:
        super().__init__(file, protocol=2)
        self.modules, self.storages = modules, []

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, _Storage) else None

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return NotImplemented
        known = [i for i, values in enumerate(self.storages) if values is obj.storage]
        self.storages += [] if known else [obj.storage]
        key = known[0] if known else len(self.storages) - 1
        storage = _Storage(getattr(self.modules["torch"], obj.kind), str(key), len(obj.storage))
        rebuild = self.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (storage, obj.offset, obj.size, obj.stride, False, {})


def _stand_ins() -> dict[str, types.ModuleType]:
    """Modules that hold just the names that a pickle of tensors has."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in [f"{kind}Storage" for kind in (*KINDS.values(), "BFloat16")]:
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_: Any) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2, torch._utils = _rebuild_tensor_v2, utils
    return {"torch": torch, "torch._utils": utils}


def pickled(value: Any) -> tuple[bytes, list[np.ndarray]]:
    """The pickle of `value`, in which :class:`Tensor` stands for tensors, and the storages that it refers to."""
    modules, out = _stand_ins(), io.BytesIO()
    with mock.patch.dict(sys.modules, modules):
        pickler = _Pickler(out, modules)
        pickler.dump(value)
    return out.getvalue(), pickler.storages


def save(file: Path, value: Any, *, root: str = "archive", extra: Mapping[str, bytes] | None = None) -> Path:
    """Write `value` as ``torch.save`` does; arrays become tensors, `extra` files are added or put in place."""
    value = (
        {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in value.items()} if type(value) is dict else value
    )
    data, storages = pickled(value)
    files = {f"{root}/data.pkl": data, f"{root}/byteorder": b"little", f"{root}/version": b"3\n"}
    files |= {f"{root}/data/{i}": values.tobytes() for i, values in enumerate(storages)}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (files | dict(extra or {})).items():
            archive.writestr(name, content)
    return file


def byol_s(file: Path, *, seed: int = 0) -> Path:
    """Random weights of BYOL-S in the published format, of a size that keeps every layer alive."""
    rng, out = np.random.default_rng(seed), {}
    for number, channels in ((0, 1), (4, 64), (8, 64)):
        out[f"features.{number}.weight"] = rng.standard_normal((64, channels, 3, 3)) * np.sqrt(2 / (9 * channels))
        out[f"features.{number}.bias"] = rng.standard_normal(64) * 0.1
        norm = f"features.{number + 1}"
        out[f"{norm}.weight"], out[f"{norm}.bias"] = rng.uniform(0.5, 2, 64), rng.standard_normal(64) * 0.2
        out[f"{norm}.running_mean"], out[f"{norm}.running_var"] = rng.standard_normal(64) * 0.2, rng.uniform(0.5, 2, 64)
    for number in (0, 3):
        out[f"fc.{number}.weight"] = rng.standard_normal((512, 512)) * np.sqrt(2 / 512)
        out[f"fc.{number}.bias"] = rng.standard_normal(512) * 0.1
    return save(file, {name: array.astype(np.float32) for name, array in out.items()})
