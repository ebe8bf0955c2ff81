"""Measures against values that are known, and paired tests against SciPy's and published ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.stats
from sounds import voice

from ser_utils import features, study
from ser_utils.evaluation import corrected_t, holm, mcnemar
from ser_utils.generative import measures


def test_frechet_distance_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((400, 4)), rng.standard_normal((400, 4)) @ rng.standard_normal((4, 4)) + 1
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(one @ two).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one + two - 2 * root)
    assert measures.frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert measures.frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_needs_clips():
    with pytest.raises(study.UserError, match="1 and 5 clips"):
        measures.frechet(np.ones((1, 3)), np.ones((5, 3)))


def test_main_axes_keep_the_variance_of_the_first_directions():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 6)) * np.array([9, 5, 1, 1, 1, 1]) + 3
    mean, axes, deviation = measures.main_axes(x, 2)
    assert np.allclose(mean, x.mean(0))
    assert np.allclose(((x - mean) @ axes).std(0, ddof=1), deviation)
    assert deviation[0] > 8


def test_copies_and_look_alikes_are_found():
    rng = np.random.default_rng(2)
    training, held_out, fresh = rng.standard_normal((3, 200, 6))
    copied = measures.nearest(training[:80] + 1e-3, training, held_out)
    honest = measures.nearest(fresh, training, held_out)
    alike = measures.nearest(fresh[:1] + 1e-3 * rng.standard_normal((80, 6)), training, held_out)
    assert copied.copies == 1
    assert honest.copies < 0.05
    assert honest.spread > 0.8
    assert alike.spread < 0.05


def test_distortion_is_the_difference_of_the_smoothed_spectra():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 1, 80)) * 10
    gap = (a - b) - (a - b).mean()
    assert measures.cepstral_distortion(a, b, n=79) == pytest.approx(np.sqrt(np.square(gap).mean()), rel=1e-2)
    assert measures.cepstral_distortion(a, b) < measures.cepstral_distortion(a, b, n=79)
    with pytest.raises(study.UserError, match="no distortion"):
        measures.cepstral_distortion(a, b[:, :40])


def test_melody_finds_a_shift_of_pitch():
    kept = measures.melody(voice(150), voice(150 * 2 ** (3 / 12)), sr=16000)
    assert kept.difference_st == pytest.approx(3, abs=0.15)
    silent = measures.melody(voice(150), np.zeros(9600), sr=16000)
    assert np.isnan(silent.correlation)
    assert silent.voicing < 0.5


def test_sound_comes_back_from_its_spectrogram():
    from ser_utils.generative.mel import front_end, to_audio

    y, spec = voice(180, 0.8), front_end(pd.Series([0.9]))
    mel = features.log_mel(y, spec)
    again = to_audio(mel, spec, n_iter=16)
    assert np.abs(again).max() <= 1
    n = min(len(features.log_mel(again, spec)), len(mel)) - 4
    heard = features.log_mel(again, spec)[2:n]
    loud = mel[2:n] > mel.max() - 40
    assert np.median(np.abs(heard - mel[2:n])[loud]) < 3
    assert measures.melody(y, again, sr=spec.sr).difference_st < 0.3
    assert (to_audio(mel, spec, n_iter=4) == to_audio(mel, spec, n_iter=4)).all()


def test_scale_comes_back_from_standardisation():
    from ser_utils.generative.mel import restored
    from ser_utils.training.batches import Normaliser

    rng = np.random.default_rng(4)
    x, n_frames = rng.standard_normal((3, 7, 5)).astype(np.float32) - 40, np.array([7, 4, 1])
    frames = features.Frames(
        np.where(np.arange(7)[:, None] < n_frames[:, None, None], x, 0), n_frames, np.array(["a", "b", "c"])
    )
    normaliser = Normaliser.fit(frames, np.array(["a", "b"]))
    assert normaliser.clip_ids == ("a", "b")
    again = restored(normaliser.apply(frames.x, n_frames), n_frames, normaliser)
    assert np.allclose(again, frames.x, atol=1e-4)


def test_front_end_pads_to_the_99th_percentile_or_to_ten_seconds():
    from ser_utils.generative.mel import front_end

    durations = pd.Series(np.linspace(1, 5, 101))
    assert front_end(durations).max_s == pytest.approx(4.96)
    assert front_end(durations, sr=22_050, padding="10_s").max_s == 10
    with pytest.raises(study.UserError, match="sr 8000"):
        front_end(durations, sr=8000)


def test_corrected_t_is_the_usual_one_without_overlap():
    rng = np.random.default_rng(5)
    values = rng.normal(0.3, 1, 12)
    t, p = corrected_t(values, n_train=1e12, n_test=1)
    usual = scipy.stats.ttest_1samp(values, 0)
    assert (t, p) == pytest.approx((usual.statistic, usual.pvalue))
    wider, larger = corrected_t(values, n_train=80, n_test=20)
    assert abs(wider) < abs(t)
    assert larger > p
    assert t / wider == pytest.approx(np.sqrt((1 / 12 + 0.25) / (1 / 12)))


def test_mcnemar_counts_what_only_one_answers():
    right_a = np.array([True] * 30 + [False] * 10)
    right_b = np.array([True] * 20 + [False] * 10 + [True] * 2 + [False] * 8)
    assert mcnemar(right_a, right_b)[:2] == (10, 2)
    assert mcnemar(right_a, right_b)[2] == pytest.approx(2 * scipy.stats.binom.cdf(2, 12, 0.5))
    assert mcnemar(right_a, right_a) == (0, 0, 1.0)


def test_holm_leaves_out_what_was_not_tested():
    assert holm([0.01, np.nan, 0.02])[[0, 2]].tolist() == [0.02, 0.02]
    assert np.isnan(holm([np.nan])[0])
