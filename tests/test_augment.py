"""Augmentation of batches: what is disturbed, and what must stay."""

from __future__ import annotations

import numpy as np
import pytest

from ser_utils import study
from ser_utils.augment import FrameAugmentation, disturb


def test_augmentation_keeps_shapes_padding_and_targets():
    rng = np.random.default_rng(0)
    x = np.ones((6, 40, 8), dtype=np.float32)
    n_frames = np.array([40, 30, 20, 10, 5, 2])
    x[np.arange(40) >= n_frames[:, None]] = 0
    augmentation = FrameAugmentation(speed=0.2, warp=0.1, n_bands=7, mixup=0.0)
    given = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    out, lengths, targets = disturb(x, n_frames, given, augmentation, rng)
    assert out.shape == x.shape
    assert (np.abs(lengths / n_frames - 1) <= 0.5).all()
    assert not out[np.arange(40) >= lengths[:, None]].any()
    np.testing.assert_array_equal(targets, given)
    mixed = disturb(x, n_frames, given, FrameAugmentation(mixup=0.4), rng)[2]
    np.testing.assert_allclose(mixed.sum(1), 1, rtol=1e-6)
    assert ((mixed > 0).sum(1) > 1).any()


def test_only_mel_bands_are_stretched():
    x = np.tile(np.arange(8, dtype=np.float32) ** 2, (3, 40, 1))
    augmentation = FrameAugmentation(speed=0, warp=0.2, n_bands=7, mixup=0, time_mask=0, column_mask=0)
    out, _, _ = disturb(x, np.full(3, 40), np.eye(3, dtype=np.float32), augmentation, np.random.default_rng(0))
    np.testing.assert_array_equal(out[..., 7], x[..., 7])
    assert (out[..., 1:6] != x[..., 1:6]).all()
    assert (np.diff(out[..., :7]) >= 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixup": -1.0}, "mixup -1.0 must be 0 or more"),
        ({"time_mask": 1.5}, "time_mask 1.5 must be at least 0 and below 1"),
    ],
)
def test_augmentations_that_cannot_be_are_refused(change, message):
    with pytest.raises(study.UserError, match=message):
        FrameAugmentation(**change)
