"""The mathematics of diffusion against closed forms that are written down anew here."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ser_utils import study
from ser_utils.generative.schedule import KINDS, PREDICTIONS, Schedule

ALL = [(kind, prediction) for kind in KINDS for prediction in PREDICTIONS]


@pytest.mark.parametrize("kind", KINDS)
def test_power_falls_from_one_to_almost_nothing(kind):
    kept = Schedule(kind, 1000).alpha_bar
    assert kept[0] == 1
    assert (np.diff(kept) < 0).all()
    assert kept[-1] < 1e-4
    assert len(kept) == 1001


def test_schedules_are_those_of_the_papers():
    beta = np.linspace(1e-4, 0.02, 1000)  # Ho et al.
    assert np.allclose(Schedule("linear", 1000).alpha_bar[1:], np.cumprod(1 - beta))
    share = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2  # Nichol & Dhariwal
    assert np.allclose(Schedule("cosine", 1000).alpha_bar[:999], (share / share[0])[:999], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [1, 20, 60, 100])
def test_noised_clips_have_the_stated_mean_and_deviation(kind, t):
    schedule, rng = Schedule(kind, 100), np.random.default_rng(0)
    x_t = schedule.noised(np.full((200_000, 1), 3.0), rng.standard_normal((200_000, 1)), t)
    kept = schedule.alpha_bar[t]
    assert x_t.mean() == pytest.approx(3 * np.sqrt(kept), abs=0.01)
    assert x_t.std() == pytest.approx(np.sqrt(1 - kept), rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_single_steps_of_noise_add_up_to_one_jump(kind):
    schedule, rng = Schedule(kind, 40), np.random.default_rng(1)
    x = np.full(200_000, 2.0)
    for t in range(1, 31):
        alpha = schedule.alpha_bar[t] / schedule.alpha_bar[t - 1]
        x = np.sqrt(alpha) * x + np.sqrt(1 - alpha) * rng.standard_normal(len(x))
    kept = schedule.alpha_bar[30]
    assert x.mean() == pytest.approx(2 * np.sqrt(kept), abs=0.01)
    assert x.var() == pytest.approx(1 - kept, rel=0.02)


@pytest.mark.parametrize(("kind", "prediction"), ALL)
def test_the_answer_gives_back_clip_and_noise(kind, prediction):
    schedule, rng = Schedule(kind, 100, prediction), np.random.default_rng(2)
    x, eps, t = rng.standard_normal((5, 4, 3)), rng.standard_normal((5, 4, 3)), np.array([1, 20, 50, 80, 99])
    found = schedule.parts(schedule.noised(x, eps, t), schedule.target(x, eps, t), t)
    assert np.allclose(found[0], x, atol=1e-6)
    assert np.allclose(found[1], eps, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [1, 2, 37, 99])
def test_posterior_is_the_product_of_two_gaussians(kind, t):
    """Bayes: the clip at t-1 has a prior from the clip at 0, and a likelihood from the clip at t."""
    schedule, x, x_t = Schedule(kind, 100), np.array([0.7]), np.array([-0.4])
    before, alpha = schedule.alpha_bar[t - 1], schedule.alpha_bar[t] / schedule.alpha_bar[t - 1]
    prior_mean, prior_variance = np.sqrt(before) * x, max(1 - before, 1e-15)
    seen_mean, seen_variance = x_t / np.sqrt(alpha), (1 - alpha) / alpha
    variance = 1 / (1 / prior_variance + 1 / seen_variance)
    mean = variance * (prior_mean / prior_variance + seen_mean / seen_variance)
    found_mean, found_variance = schedule.posterior(x, x_t, t)
    assert np.allclose(found_mean, mean, atol=1e-9)
    assert found_variance == pytest.approx(variance, abs=1e-9)


@pytest.mark.parametrize(("kind", "prediction"), ALL)
def test_a_step_with_chance_draws_from_the_posterior(kind, prediction):
    schedule, rng, t = Schedule(kind, 50, prediction), np.random.default_rng(3), 20
    x, eps = rng.standard_normal((6, 2)), rng.standard_normal((6, 2))
    x_t, answer = schedule.noised(x, eps, t), schedule.target(x, eps, t)
    mean, variance = schedule.posterior(x, x_t, t)
    middle = schedule.step(x_t, answer, t, t - 1, eta=1, noise=np.zeros_like(x))
    above = schedule.step(x_t, answer, t, t - 1, eta=1, noise=np.ones_like(x))
    assert np.allclose(middle, mean)
    assert np.allclose(above - middle, np.sqrt(variance))


@pytest.mark.parametrize(("kind", "prediction"), ALL)
def test_steps_without_chance_lead_a_perfect_net_back_to_the_clip(kind, prediction):
    schedule, rng = Schedule(kind, 100, prediction), np.random.default_rng(4)
    x, eps = rng.standard_normal((3, 8)), rng.standard_normal((3, 8))
    times = schedule.times(7, start=90)
    x_t = schedule.noised(x, eps, 90)
    for t, to in itertools.pairwise(times):
        x_t = schedule.step(x_t, schedule.target(x, eps, t), t, to)
        assert np.allclose(x_t, schedule.noised(x, eps, to), atol=1e-6)  # on the line between noise and clip
    assert np.allclose(x_t, x, atol=1e-6)


def test_a_limit_holds_for_the_clip_and_moves_the_noise_with_it():
    schedule = Schedule("cosine", 100, "eps")
    x_t = np.array([[9.0]])
    back = schedule.step(x_t, np.array([[0.0]]), 50, 0, limit=2.0)
    assert back.item() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"kind": "square"}, "kind square"), ({"n_steps": 1}, "n_steps 1"), ({"prediction": "x"}, "prediction x")],
)
def test_settings_outside_their_range_are_named(changes, words):
    with pytest.raises(study.UserError, match=words):
        Schedule(**changes)


@pytest.mark.parametrize(("n", "start"), [(0, 10), (5, 0), (5, 101)])
def test_impossible_times_are_refused(n, start):
    with pytest.raises(study.UserError, match="sampling steps from time"):
        Schedule(n_steps=100).times(n, start=start)
