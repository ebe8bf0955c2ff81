"""Tensors are read as torch would; everything else in a file is refused, and nothing in it is executed."""

from __future__ import annotations

import importlib.util
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch_archive
from torch_archive import Tensor

from ser_utils import study, torch_zip, weights


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    found = {
        f"x_{kind}": (rng.standard_normal((3, 4)) * 50).astype(f"<{kind}") for kind in ("f8", "f4", "f2", "i8", "i4")
    }
    found |= {"x_i2": np.arange(5, dtype="<i2"), "x_i1": np.array([-3, 7], "i1"), "x_u1": np.array([200], "u1")}
    return found | {"x_b1": np.array([True, False]), "scalar": np.array(7, "<i8"), "empty": np.zeros((0, 3), "<f4")}


def refused(file):
    with pytest.raises(study.UserError) as caught:
        torch_zip.read_tensors(file)
    return str(caught.value)


# --- what is read -----------------------------------------------------------------------------------------------------


def test_tensors_come_back_with_their_names_types_and_values(arrays, tmp_path):
    found = torch_zip.read_tensors(torch_archive.save(tmp_path / "a.pth", arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_views_with_strides_and_offsets_share_a_storage(tmp_path):
    values = np.arange(24, dtype="<f4")
    views = {
        "transposed": Tensor(values, (4, 6), (1, 4)),
        "part": Tensor(values, (2, 3), (6, 2), offset=5),
        "expanded": Tensor(values, (3, 2), (0, 1), offset=1),
    }
    file = torch_archive.save(tmp_path / "a.pth", OrderedDict(views))
    assert sum("/data/" in name for name in zipfile.ZipFile(file).namelist()) == 1
    found = torch_zip.read_tensors(file)
    np.testing.assert_array_equal(found["transposed"], values.reshape(6, 4).T)
    np.testing.assert_array_equal(found["part"], [[5, 7, 9], [11, 13, 15]])
    np.testing.assert_array_equal(found["expanded"], [[1, 2]] * 3)
    with pytest.raises(ValueError, match="read-only"):
        found["part"][0, 0] = 1


def test_bfloat16_is_widened_without_loss(tmp_path):
    values = np.array([1.0, -2.5, 3.140625, 1e30, 0.0], dtype="<f4")
    halves = (values.view("<u4") >> 16).astype("<u2")
    found = torch_zip.read_tensors(
        torch_archive.save(tmp_path / "a.pth", OrderedDict(x=Tensor(halves, (5,), (1,), kind="BFloat16")))
    )
    np.testing.assert_array_equal(found["x"], (values.view("<u4") >> 16 << 16).view("<f4"))


def test_nested_mappings_join_their_names(tmp_path):
    inner = torch_archive.tensor(np.ones(2, "<f4"))
    file = torch_archive.save(tmp_path / "a.pth", OrderedDict(net=OrderedDict(a={"w": inner}), w=inner))
    assert sorted(torch_zip.read_tensors(file)) == ["net.a.w", "w"]


@pytest.mark.skipif(
    not importlib.util.find_spec("torch"), reason="torch is not installed (requirements-pretrained.lock)"
)
def test_reads_what_torch_itself_wrote(tmp_path):
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 5), torch.nn.BatchNorm1d(3), torch.nn.LSTM(3, 4))
    kept = {name: value for name, value in net.state_dict().items()}
    kept |= {"half": torch.randn(3).half(), "wide": torch.randn(4).bfloat16(), "slice": torch.randn(6, 4)[::2, 1:].T}
    kept |= {"parameter": torch.nn.Parameter(torch.randn(2)), "flags": torch.tensor([True, False])}
    torch.save(kept, tmp_path / "a.pth")
    found = torch_zip.read_tensors(tmp_path / "a.pth")
    assert sorted(found) == sorted(kept)
    for name, value in kept.items():
        value = value.detach()
        np.testing.assert_array_equal(found[name], (value.float() if value.dtype == torch.bfloat16 else value).numpy())
    torch.save(kept, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert "no whole zip archive" in refused(tmp_path / "old.pth")


def test_reads_the_published_weights():
    try:
        found = torch_zip.read_tensors(weights.find("byol_s"))
    except study.UserError as error:
        pytest.skip(f"no weights of BYOL-S: {error}")
    assert len(found) == 25
    assert found["features.4.weight"].shape == (64, 64, 3, 3)
    assert found["features.1.num_batches_tracked"].dtype == np.int64
    assert all(np.isfinite(array).all() for array in found.values())


# --- what is refused --------------------------------------------------------------------------------------------------


class Calls:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("where", ["alone", "beside tensors", "inside a mapping", "in the metadata", "bare pickle"])
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(where, tmp_path):
    mark = tmp_path / "was_here"
    evil = Calls(os.system, f"touch {mark}")
    values = {"w": torch_archive.tensor(np.ones(3, "<f4"))}
    content = {
        "alone": evil,
        "beside tensors": OrderedDict(values, x=evil),
        "inside a mapping": OrderedDict(values, deep=OrderedDict(x={"y": evil})),
    }.get(where)
    if where == "in the metadata":
        content = OrderedDict(values)
        content._metadata = evil
    file = tmp_path / "a.pth"
    if where == "bare pickle":
        file.write_bytes(pickle.dumps(evil))
    else:
        torch_archive.save(file, content)
    message = refused(file)
    assert ("no whole zip" if where == "bare pickle" else "names posix.system") in message
    assert str(file) in message
    assert not mark.exists()
    pickle.loads(pickle.dumps(evil))  # the same object does run a command where anything is loaded
    assert mark.exists()


@pytest.mark.parametrize(
    ("function", "name"),
    [(eval, "eval"), (getattr, "getattr"), (print, "print"), (__import__, "__import__"), (bytearray, "bytearray")],
)
def test_harmless_looking_functions_are_refused_too(function, name, tmp_path):
    assert f"names __builtin__.{name}" in refused(
        torch_archive.save(tmp_path / "a.pth", OrderedDict(x=Calls(function, "1")))
    )


def test_the_storage_of_a_tensor_may_not_be_a_call_either(tmp_path):
    lying = Tensor(np.ones(2, "<f4"), (Calls(os.system, "true"),), (1,))
    assert "names posix.system" in refused(torch_archive.save(tmp_path / "a.pth", OrderedDict(x=lying)))


class HidesItsMethod:
    """Pickled as a mapping whose attribute `items` is a text."""

    def __reduce__(self):
        items = [("x", torch_archive.tensor(np.ones(1, "<f4")))]
        return OrderedDict, (), {"items": "gone"}, None, iter(items)


def cyclic():
    mapping = OrderedDict()
    mapping["again"] = mapping
    return mapping


def deep():
    mapping = {}
    for _ in range(100):
        mapping = {"x": mapping}
    return OrderedDict(x=mapping)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch_archive.tensor(np.ones(2, "<f4")), "not a mapping of names"),
        (OrderedDict(epoch=3), "'epoch' holds a value of type int"),
        (OrderedDict(a=[torch_archive.tensor(np.ones(2, "<f4"))]), "'a' holds a value of type list"),
        (OrderedDict({1: torch_archive.tensor(np.ones(2, "<f4"))}), "not a text"),
        (OrderedDict(x=Tensor(np.ones(4, "<f4"), (5,), (1,))), "reaches beyond its storage of 4"),
        (OrderedDict(x=Tensor(np.ones(4, "<f4"), (2,), (1,), offset=3)), "reaches beyond"),
        (OrderedDict(x=Tensor(np.ones(4, "<f4"), (2,), (-1,), offset=3)), "stride (-1,)"),
        (OrderedDict(x=Tensor(np.ones(4, "<f4"), (2, 2), (1,))), "size (2, 2) and stride (1,)"),
        (OrderedDict(x=Tensor(np.ones(4, "<f4"), (2,), (1,), offset=-1)), "offset -1"),
        (cyclic(), "'again' holds"),
        (deep(), "holds a value of type dict"),
    ],
)
def test_anything_but_well_formed_tensors_is_refused(value, message, tmp_path):
    assert message in refused(torch_archive.save(tmp_path / "a.pth", value))


def test_a_mapping_that_hides_its_own_method_is_read_as_the_mapping_that_it_is(tmp_path):
    assert list(torch_zip.read_tensors(torch_archive.save(tmp_path / "a.pth", HidesItsMethod()))) == ["x"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"archive/byteorder": b"big"}, "another byte order"),
        ({"archive/data/0": b"1234"}, "has 4 bytes, not those of 2 values"),
        ({"archive/data.pkl": b"\x80\x02not a pickle"}, "cannot be read"),
        ({"archive/data.pkl": b""}, "cannot be read"),
        ({"other/data.pkl": b"N."}, "holds 2 files NAME/data.pkl"),
    ],
)
def test_a_damaged_archive_is_refused(extra, message, tmp_path):
    file = torch_archive.save(tmp_path / "a.pth", {"x": np.ones(2, "<f4")}, extra=extra)
    assert message in refused(file)


def test_a_missing_storage_and_a_compressed_one_are_refused(tmp_path):
    whole = torch_archive.save(tmp_path / "a.pth", {"x": np.zeros(1000, "<f4")})
    for name, message in (("absent", "archive/data/0 is absent"), ("packed", "archive/data/0 is compressed")):
        file = tmp_path / name
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(file, "w") as new:
            for entry in old.infolist():
                packed = entry.filename == "archive/data/0"
                if not (packed and name == "absent"):
                    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
                    new.writestr(entry.filename, old.read(entry), compress_type=kind)
        assert message in refused(file)


def test_a_file_that_is_cut_or_altered_anywhere_never_passes_with_other_values(tmp_path):
    values = np.random.default_rng(0).standard_normal(50).astype("<f4")
    whole = torch_archive.save(tmp_path / "a.pth", {"x": values}).read_bytes()
    file = tmp_path / "b.pth"
    for length in range(0, len(whole), 37):
        file.write_bytes(whole[:length])
        assert str(file) in refused(file)
    for position in range(0, len(whole), 5):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            found = torch_zip.read_tensors(file)
        except study.UserError:
            continue
        assert [array.tobytes() for array in found.values()] == [values.tobytes()]  # what was altered says nothing


def test_no_file_and_a_folder_are_told(tmp_path):
    assert "No such file" in refused(tmp_path / "none.pth")
    assert "cannot be read" in refused(tmp_path)
