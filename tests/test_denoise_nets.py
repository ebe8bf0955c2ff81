"""Published nets against forward passes that are written down anew, on weights that are drawn here."""

from __future__ import annotations

import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from sounds import noise, voice

from ser_utils import study, weights
from ser_utils.denoise import DENOISERS, blocks, dtln, gtcrn, metricgan


@pytest.fixture(scope="module", autouse=True)
def seeded():
    """Fixes the threads of TensorFlow before MetricGAN+ starts it: later tests in this process ask for that."""
    study.seed_everything(0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def sound(seconds: float = 0.5) -> np.ndarray:
    return voice(150, seconds) + noise(0, seconds)


def streamed(stream: blocks.Stream, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Through a stream in blocks of random lengths, empty ones too."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(y) + 1, 40))
    parts = [stream.push(part) for part in np.split(y, cuts)]
    return np.concatenate([*parts, stream.flush()])


# --- DTLN -------------------------------------------------------------------------------------------------------


def dtln_arrays(*, normalised: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    arrays = {"conv1d/kernel": draw(1, 512, 256) / 20, "conv1d_1/kernel": draw(1, 256, 512) * 5}
    for name, n_in in {"lstm": 257, "lstm_1": 128, "lstm_2": 256, "lstm_3": 128}.items():
        arrays |= {f"{name}/kernel": draw(n_in, 512), f"{name}/recurrent_kernel": draw(128, 512)}
        arrays[f"{name}/bias"] = draw(512)
    for name, n_out in {"dense": 257, "dense_1": 256}.items():
        arrays |= {f"{name}/kernel": draw(128, n_out), f"{name}/bias": draw(n_out)}
    norms = {"instant_layer_normalization": 257, "instant_layer_normalization_1": 256}
    for name, size in norms.items() if normalised else {"layer_normalization": 256}.items():
        arrays |= {f"{name}/gamma": 1 + draw(size), f"{name}/beta": draw(size)}
    return arrays


def write_h5(file: Path, arrays: dict[str, np.ndarray]) -> Path:
    import h5py

    with h5py.File(file, "w") as out:
        for name, array in arrays.items():
            layer, weight = name.split("/")
            out[f"{layer}/{layer}/{weight}:0"] = array
    return file


def dtln_by_hand(y: np.ndarray, a: dict[str, np.ndarray]) -> np.ndarray:
    """Block by block, gate by gate, in 64 bits, as the publication has it."""
    states = {name: (np.zeros(128), np.zeros(128)) for name in ("lstm", "lstm_1", "lstm_2", "lstm_3")}

    def lstm(name: str, x: np.ndarray) -> np.ndarray:
        h, c = states[name]
        gates = x @ a[f"{name}/kernel"] + h @ a[f"{name}/recurrent_kernel"] + a[f"{name}/bias"]
        i, f, g, o = gates[:128], gates[128:256], gates[256:384], gates[384:]
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        states[name] = sigmoid(o) * np.tanh(c), c
        return states[name][0]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        return (x - x.mean()) / np.sqrt(x.var() + 1e-7) * a[f"{name}/gamma"] + a[f"{name}/beta"]

    normalised = "instant_layer_normalization_1/gamma" in a
    padded = np.pad(y.astype(np.float64), (384, 1024))
    out = np.zeros(len(padded))
    for at in range(0, len(padded) - 511, 128):
        spectrum = np.fft.rfft(padded[at : at + 512])
        x = np.abs(spectrum)
        x = norm("instant_layer_normalization", np.log(x + 1e-7)) if normalised else x
        mask = sigmoid(lstm("lstm_1", lstm("lstm", x)) @ a["dense/kernel"] + a["dense/bias"])
        encoded = np.fft.irfft(spectrum * mask) @ a["conv1d/kernel"][0]
        x = norm("instant_layer_normalization_1" if normalised else "layer_normalization", encoded)
        mask = sigmoid(lstm("lstm_3", lstm("lstm_2", x)) @ a["dense_1/kernel"] + a["dense_1/bias"])
        out[at : at + 512] += (encoded * mask) @ a["conv1d_1/kernel"][0]
    return out[384 : 384 + len(y)]


@pytest.mark.parametrize("normalised", [True, False])
def test_dtln_is_the_published_net(tmp_path, normalised):
    arrays = dtln_arrays(normalised=normalised)
    file = write_h5(tmp_path / "dtln.h5", arrays)
    y = sound()
    out, expected = dtln.denoise(y, file=file), dtln_by_hand(y, arrays)
    assert np.abs(expected).max() > 0.01
    assert np.abs(out - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(streamed(dtln.stream(file=file), y) - out).max() < 1e-4 * np.abs(out).max()


def test_a_file_that_is_no_hdf5_is_one_sentence(tmp_path):
    (tmp_path / "dtln.h5").write_bytes(b"no weights")
    with pytest.raises(study.UserError, match=r"dtln\.h5: not an HDF5 file"):
        dtln.denoise(sound(), file=tmp_path / "dtln.h5")


# --- GTCRN ------------------------------------------------------------------------------------------------------


def write_graph(file: Path) -> Path:
    """A graph with the inputs of GTCRN: a quarter of this frame, and as much of the sum of those before, as it is kept
    in the first cells of a state."""
    import onnx
    from onnx import TensorProto, helper

    def info(name: str, shape: tuple[int, ...]) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    size = (1, 257, 1, 2)
    state = ("reshape", gtcrn.STATES["conv_cache"])
    n = int(np.prod(state[1]))
    constants = {"quarter": np.array([0.25]), "flat": np.array([n]), "cut": np.array([514]), "start": np.array([0])}
    constants |= {
        "whole": np.array(state[1]),
        "frame": np.array(size),
        "end": np.array([n]),
        "many": np.array([0, n - 514]),
    }
    made = [
        helper.make_tensor(k, TensorProto.FLOAT if v.dtype == float else TensorProto.INT64, v.shape, v)
        for k, v in constants.items()
    ]
    nodes = [
        ("Reshape", ["conv_cache", "flat"], ["cells"]),
        ("Slice", ["cells", "start", "cut"], ["kept"]),
        ("Reshape", ["kept", "frame"], ["before"]),
        ("Add", ["mix", "before"], ["sum"]),
        ("Mul", ["sum", "quarter"], ["enh"]),
        ("Reshape", ["sum", "cut"], ["new"]),
        ("Pad", ["new", "many"], ["padded"]),
        ("Reshape", ["padded", "whole"], ["conv_cache_out"]),
        ("Identity", ["tra_cache"], ["tra_cache_out"]),
        ("Identity", ["inter_cache"], ["inter_cache_out"]),
    ]
    inputs = [info("mix", size), *(info(name, shape) for name, shape in gtcrn.STATES.items())]
    outputs = [info("enh", size), *(info(f"{name}_out", shape) for name, shape in gtcrn.STATES.items())]
    graph = helper.make_graph([helper.make_node(*node) for node in nodes], "g", inputs, outputs, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, file)
    return file


def test_gtcrn_gets_every_frame_with_its_state(tmp_path):
    file = write_graph(tmp_path / "gtcrn.onnx")
    y = sound()
    window = np.sqrt(np.hanning(513)[:512])
    padded, before = np.pad(y.astype(np.float64), (256, 1024)), np.zeros(257, dtype=complex)
    expected = np.zeros(len(padded))
    for at in range(0, len(padded) - 511, 256):
        before = before + np.fft.rfft(padded[at : at + 512] * window)
        expected[at : at + 512] += np.fft.irfft(before / 4) * window
    expected = expected[256 : 256 + len(y)]
    out = gtcrn.denoise(y, file=file)
    assert np.abs(out - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(streamed(gtcrn.stream(file=file), y) - out).max() < 1e-4 * np.abs(out).max()


def test_a_file_that_is_no_graph_is_one_sentence(tmp_path):
    (tmp_path / "gtcrn.onnx").write_bytes(b"no graph")
    with pytest.raises(study.UserError, match=r"gtcrn\.onnx: not an ONNX graph"):
        gtcrn.denoise(sound(), file=tmp_path / "gtcrn.onnx")


# --- MetricGAN+ -------------------------------------------------------------------------------------------------


class Storage:
    """Bytes of one tensor, as torch refers to them."""

    def __init__(self, key: str, array: np.ndarray) -> None:
        self.key, self.array = key, array


def _rebuild_tensor_v2(*_: object) -> None:
    """Stands for torch's function of this name."""


class Tensor:
    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def __reduce__(self) -> tuple:
        shape = self.storage.array.shape
        stride = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
        return _rebuild_tensor_v2, (self.storage, 0, shape, stride, False, OrderedDict())


class FloatStorage:
    """Stands for torch's class of this name."""


class Pickler(pickle.Pickler):
    def persistent_id(self, item: object) -> tuple | None:
        return ("storage", FloatStorage, item.key, "cpu", item.array.size) if isinstance(item, Storage) else None


def write_checkpoint(file: Path, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state dict as torch.save writes it."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module, item in ((torch, FloatStorage), (utils, _rebuild_tensor_v2)):
        monkeypatch.setattr(item, "__module__", module.__name__)
        setattr(module, item.__name__, item)
    storages = {name: Storage(str(k), array) for k, (name, array) in enumerate(arrays.items())}
    with monkeypatch.context() as patch, zipfile.ZipFile(file, "w") as archive:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        with archive.open("net/data.pkl", "w") as out:
            Pickler(out, protocol=2).dump(OrderedDict((name, Tensor(storage)) for name, storage in storages.items()))
        for storage in storages.values():
            archive.writestr(f"net/data/{storage.key}", storage.array.tobytes())
    return file


def metricgan_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    tensors = {
        name: (rng.standard_normal(shape) / np.sqrt(shape[-1]) * 2).astype(np.float32)
        for name, shape in metricgan.shapes().items()
    }
    tensors["Learnable_sigmoid.slope"] += 1  # masks from below the floor to the ceiling
    return tensors | {"linear2.weight": 3 * tensors["linear2.weight"]}


def metricgan_by_hand(y: np.ndarray, a: dict[str, np.ndarray]) -> np.ndarray:
    """Frame by frame, as torch and SpeechBrain do it."""
    window = np.hamming(513)[:512]
    padded = np.pad(y.astype(np.float64), 256)
    starts = range(0, len(padded) - 511, 256)
    spectra = np.array([np.fft.rfft(padded[at : at + 512] * window) for at in starts])
    logs = x = np.log1p(np.abs(spectra))
    for layer in (0, 1):
        sides = []
        for way in ("", "_reverse"):
            h, c, out = np.zeros(200), np.zeros(200), []
            for row in x[::-1] if way else x:
                gates = a[f"blstm.rnn.weight_ih_l{layer}{way}"] @ row + a[f"blstm.rnn.bias_ih_l{layer}{way}"]
                gates = gates + a[f"blstm.rnn.weight_hh_l{layer}{way}"] @ h + a[f"blstm.rnn.bias_hh_l{layer}{way}"]
                i, f, g, o = np.split(gates, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
                out.append(h)
            sides.append(np.array(out[::-1] if way else out))
        x = np.hstack(sides)
    x = x @ a["linear1.weight"].T + a["linear1.bias"]
    x = np.where(x > 0, x, 0.3 * x) @ a["linear2.weight"].T + a["linear2.bias"]
    mask = np.maximum(1.2 * sigmoid(a["Learnable_sigmoid.slope"] * x), 0.05)
    magnitude = np.expm1(mask * logs)
    out, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for at, amount, spectrum in zip(starts, magnitude, spectra, strict=True):
        out[at : at + 512] += np.fft.irfft(amount * np.exp(1j * np.angle(spectrum))) * window
        weight[at : at + 512] += window**2
    return (out / np.maximum(weight, 1e-9))[256 : 256 + len(y)]


def test_metricgan_is_the_published_net(tmp_path, monkeypatch):
    tensors = metricgan_tensors()
    file = write_checkpoint(tmp_path / "enhance_model.ckpt", tensors, monkeypatch)
    for y in (sound(), sound(0.52)[:-33], sound(0.1)[:1]):
        out, expected = metricgan.denoise(y, file=file), metricgan_by_hand(y, tensors)
        assert out.shape == y.shape
        assert np.abs(out - expected).max() < 1e-4 * np.abs(expected).max()
    assert 0.2 < np.std(metricgan_by_hand(sound(), tensors)) / np.std(sound()) < 1.1
    assert metricgan.net(file).count_params() + 4 * 800 + 257 == DENOISERS["metricgan_plus"].n_parameters


def test_another_net_in_the_checkpoint_is_refused(tmp_path, monkeypatch):
    tensors = metricgan_tensors()
    small = tensors | {"linear1.bias": np.zeros(10, dtype=np.float32)}
    absent = {name: array for name, array in tensors.items() if name != "Learnable_sigmoid.slope"}
    for arrays, message in ((small, r"linear1\.bias is \(10,\), not \(300,\)"), (absent, "slope is nothing")):
        file = write_checkpoint(tmp_path / f"{len(arrays)}.ckpt", arrays, monkeypatch)
        with pytest.raises(study.UserError, match=message):
            metricgan.net(file)


# --- what the catalogue says of them ------------------------------------------------------------------------------


def test_absent_weights_are_said_and_never_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    monkeypatch.delenv("SER_PRETRAINED", raising=False)
    for name, entry in DENOISERS.items():
        if entry.needs in weights.WEIGHTS:
            assert entry.not_run.startswith("not run: "), name
            assert weights.WEIGHTS[entry.needs].address in entry.not_run
            with pytest.raises(study.UserError, match="is not in"):
                entry(sound())
        else:
            assert entry.not_run == ""
