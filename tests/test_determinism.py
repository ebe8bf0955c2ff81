"""Fresh processes train the same net to the same bits, on a net deep enough to show when they would not.

The control is the usual recipe, seed and op determinism alone: its bits change with the number of cores.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TRAIN = """
import hashlib, os, sys
if sys.argv[2] == "one" and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from ser_utils import study
if sys.argv[1] == "pinned":
    study.seed_everything(0)
import keras, numpy as np
if sys.argv[1] == "seeded":
    import tensorflow as tf
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
layers = keras.layers
x = inputs = keras.Input((48, 48, 1))
for filters in (16, 32, 64, 128):
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.2)(layers.MaxPooling2D()(x))
net = keras.Model(inputs, layers.Dense(7, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
net.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
rng = np.random.default_rng(0)
data, target = rng.standard_normal((64, 48, 48, 1)).astype("float32"), rng.integers(0, 7, 64)
for _ in range(6):
    net.train_on_batch(data, target)
print(hashlib.sha256(b"".join(w.tobytes() for w in net.get_weights())).hexdigest())
"""


def weights(how: str, *cores: str) -> list[str]:
    """Hashes of the weights after training in fresh processes, one for each of `cores`, side by side."""
    commands = [[sys.executable, "-c", TRAIN, how, allowed] for allowed in cores]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    answers = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs)
    return answers


def test_a_deep_net_repeats_bit_for_bit_whatever_the_cores():
    assert len(set(weights("pinned", "all", "all", "one"))) == 1


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="needs two cores to differ")
def test_without_pinned_threads_the_same_net_does_not_repeat():
    assert len(set(weights("seeded", "all", "one"))) == 2
