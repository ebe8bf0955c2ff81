"""Saved nets for other programs: ONNX and TensorFlow Lite, each compared with Keras before it is handed over."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_utils import study
from ser_utils.saved.card import Card
from ser_utils.saved.store import SavedModel

if TYPE_CHECKING:  # it imports TensorFlow
    import keras

TOLERANCE = 1e-4  # of a probability
CARD = "ser_utils.json"  # what an exported file calls its card


def to_onnx(saved: SavedModel, file: Path | str) -> float:
    """Write a net as ONNX: inputs ``frames`` (batch, time, columns) and ``mask`` (batch, time), any batch and time.

    Features are not normalised before: that is inside. The card lies in the model's metadata as ``ser_utils.json``.

    Returns
    -------
    float
        Greatest difference of a probability to Keras's.

    Raises
    ------
    study.UserError
        When it exceeds :data:`TOLERANCE`; nothing is written then.
    """
    import onnx
    import onnxruntime

    _needs_tensorflow("ONNX")
    saved.model(list(_clips(saved, [64], 64)))  # Keras exports what was called before
    with study.atomic(Path(file)) as temporary:
        _write_onnx(saved.model, temporary)
        model = onnx.load(temporary)
        onnx.helper.set_model_props(model, {CARD: _card_text(saved.card)})
        onnx.save(model, temporary)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        run = lambda x, mask: session.run(None, {"frames": x, "mask": mask})[0]  # noqa: E731
        lengths = [saved.spec.max_frames, max(2, saved.spec.max_frames // 3), 2]
        return _compared(saved, run, [lengths, lengths[1:2]], "ONNX")


def _write_onnx(model: keras.Model, file: Path) -> None:
    from tf2onnx.handler import tf_op

    tf_op("Erfc").register_compat_handler(_erfc, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras mends tf2onnx for NumPy 2, and NumPy remarks on how
        model.export(file, format="onnx", verbose=False)


def _erfc(graph: Any, node: Any, **_: Any) -> None:
    """1 − erf for tf2onnx, which does not know erfc, the heart of TensorFlow's exact GELU."""
    known = {"shapes": node.output_shapes, "dtypes": node.output_dtypes}
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", node.input, **known)
    one = graph.make_const(f"{node.name}_one", np.array(1, np.float32))
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=node.output, name=node.name, **known)


def to_tflite(saved: SavedModel, file: Path | str) -> float:
    """Write a net for TensorFlow Lite.

    It takes one clip at a time: ``frames`` (1, max_frames, columns) and ``mask`` (1, max_frames). Shorter clips are
    padded with zeros, and the mask is 0 there. Only built-in operations are used. The card is attached as a ZIP
    archive, as TensorFlow Lite's own metadata are.

    Returns
    -------
    float
        Greatest difference of a probability to Keras's.

    Raises
    ------
    study.UserError
        When it exceeds :data:`TOLERANCE`, or the net cannot be run; nothing is written then.
    """
    _needs_tensorflow("TensorFlow Lite")
    with study.atomic(Path(file)) as temporary:
        temporary.write_bytes(_flat(saved))
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CARD, _card_text(saved.card))
        longest = saved.spec.max_frames
        runs = [[n] for n in (longest, max(2, longest // 3), 2)]
        try:
            return _compared(saved, _lite_runner(temporary), runs, "TensorFlow Lite", pad=longest)
        except RuntimeError as error:  # the converter writes what the interpreter may not run
            raise study.UserError(
                f"{saved.name} cannot be run by TensorFlow Lite ({' '.join(str(error).split())}); use ONNX"
            ) from error


def _flat(saved: SavedModel) -> bytes:
    import tensorflow as tf

    @tf.function
    def one_clip(frames, mask):
        return saved.model([frames, mask], training=False)

    shape = (1, saved.spec.max_frames)
    concrete = one_clip.get_concrete_function(
        tf.TensorSpec((*shape, len(saved.spec.columns)), tf.float32, name="frames"),
        tf.TensorSpec(shape, tf.float32, name="mask"),
    )
    # without the model itself beside the function its weights become constants; TensorFlow logs that this is old
    with _quiet("absl"):
        return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


@contextlib.contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Nothing below an error from a logger."""
    level = logging.getLogger(logger).level
    logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger(logger).setLevel(level)


def _lite_runner(file: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the interpreter will move to a package of its own
        interpreter = tf.lite.Interpreter(os.fspath(file))
    interpreter.allocate_tensors()
    places = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    output = interpreter.get_output_details()[0]["index"]

    def run(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(places["frames"], x)
        interpreter.set_tensor(places["mask"], mask)
        interpreter.invoke()
        return interpreter.get_tensor(output)

    return run


def _compared(
    saved: SavedModel,
    run: Callable[[np.ndarray, np.ndarray], np.ndarray],
    batches: list[list[int]],
    what: str,
    *,
    pad: int | None = None,
) -> float:
    """Greatest difference between `run` and Keras over batches of clips of given lengths, frames."""
    worst = 0.0
    for lengths in batches:
        x, mask = _clips(saved, lengths, pad or max(lengths))
        theirs, ours = run(x, mask), np.asarray(saved.model([x, mask], training=False))
        difference = float(np.abs(theirs - ours).max())
        if not difference <= TOLERANCE:  # also when it is not a number
            raise study.UserError(
                f"{saved.name} as {what} differs by {difference:.2g} from Keras, more than {TOLERANCE:g}, and was not "
                "written; use the .keras file"
            )
        worst = max(worst, difference)
    return worst


def _clips(saved: SavedModel, lengths: list[int], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Random features as they are before the normaliser, and their mask."""
    mean, std = saved.model.get_layer("normaliser_0").get_weights()
    mask = (np.arange(longest) < np.array(lengths)[:, None]).astype(np.float32)
    drawn = np.random.default_rng(0).standard_normal((*mask.shape, len(mean)), dtype=np.float32)
    return (mean + std * drawn) * mask[:, :, None], mask


def _needs_tensorflow(what: str) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise study.UserError(
            f"{what} is written by the TensorFlow backend, and this is {keras.backend.backend()}; unset KERAS_BACKEND"
        )


def _card_text(card: Card) -> str:
    content: dict[str, Any] = dataclasses.asdict(card) | {"columns": card.spec.columns}
    return json.dumps(content, ensure_ascii=False)
