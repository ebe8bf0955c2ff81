"""Augmentation of frame features: each part does what it says, and nothing outside the valid frames."""

from __future__ import annotations

import numpy as np
import pytest

from ser_utils import study
from ser_utils.augment.frames import FrameAugmentation, disturb

OFF = {"time_mask": 0.0, "column_mask": 0.0, "mixup": 0.0, "speed": 0.0}


def disturbed(*, seed=0, n_clips=40, size=50, valid=40, **parts):
    """Frame number and column number make up each value, so that one sees where a value came from."""
    x = (np.arange(size)[:, None] + np.arange(4) / 10 + 1).astype(np.float32)
    x = np.tile(x, (n_clips, 1, 1))
    x[:, valid:] = 0
    augmentation = FrameAugmentation(**(OFF | parts))
    targets = np.eye(n_clips, dtype=np.float32)
    return (x, *disturb(x, np.full(n_clips, valid), targets, augmentation, np.random.default_rng(seed)))


@pytest.mark.parametrize("part", ["gain", "noise", "cutout", "crop", "speed", "time_mask", "column_mask", "mixup"])
def test_the_padding_stays_empty_and_the_input_as_it_was(part):
    x, made, lengths, _ = disturbed(**{part: 0.3})
    assert not made[np.arange(50) >= lengths[:, None]].any()
    assert (x[:, 0, 0] == 1).all()
    assert x.shape == made.shape
    assert not np.array_equal(x, made) or part == "mixup"  # the clips are alike: mixing changes their targets


def test_nothing_on_changes_nothing():
    x, made, lengths, targets = disturbed()
    assert np.array_equal(x, made)
    assert (lengths == 40).all()
    assert np.array_equal(targets, np.eye(40))


def test_a_crop_is_one_stretch_from_anywhere():
    _, made, lengths, _ = disturbed(crop=0.5)
    assert lengths.min() >= 20
    assert len(set(lengths)) > 5
    starts = made[:, 0, 0]
    assert len(set(starts)) > 5
    for clip, n in zip(made, lengths, strict=True):
        assert np.array_equal(clip[:n, 0], clip[0, 0] + np.arange(n))


def test_a_gain_moves_the_level_and_nothing_else():
    x, made, _, _ = disturbed(gain=0.5, level_column=2)
    change = (made - x)[:, :40]
    assert not change[:, :, [0, 1, 3]].any()
    assert np.ptp(change[:, :, 2], axis=1).max() < 1e-5
    assert 0.3 < np.abs(change[:, 0, 2]).max() <= 0.5
    assert change[:, 0, 2].min() < 0 < change[:, 0, 2].max()


def test_noise_has_the_standard_deviation_that_was_asked_for():
    x, made, _, _ = disturbed(noise=0.2)
    assert (made - x)[:, :40].std() == pytest.approx(0.2, rel=0.05)


def test_cutout_hides_one_rectangle():
    _, made, _, _ = disturbed(cutout=0.5, n_clips=80)
    hidden = made[:, :40] == 0
    for clip in hidden:
        rows, columns = clip.any(1), clip.any(0)
        assert clip.sum() == rows.sum() * columns.sum()
    assert hidden.any(2).sum(1).max() <= 20
    assert hidden.any(1).sum(1).max() <= 2
    assert 0 < hidden.mean() < 0.25


def test_mixing_keeps_more_of_the_clip_than_of_the_other():
    _, _, _, targets = disturbed(mixup=0.4)
    assert np.allclose(targets.sum(1), 1)
    assert (targets.diagonal() >= 0.5).all()
    assert (targets.diagonal() < 0.99).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 1.0}, "crop 1.0 must be"),
        ({"cutout": -0.1}, "cutout -0.1"),
        ({"noise": -1}, "noise -1"),
        ({"gain": -1}, "gain"),
    ],
)
def test_impossible_augmentations_are_refused(change, message):
    with pytest.raises(study.UserError, match=message):
        FrameAugmentation(**change)
