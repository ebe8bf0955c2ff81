"""The mathematics of diffusion: how noise is added, what a net is asked for, and how a sample is taken back.

Everything here is NumPy in 64 bits and knows no net. A clip without noise is at time 0, pure noise at time `n_steps`.

References
----------
Ho, Jain, Abbeel: Denoising diffusion probabilistic models. 2020. arXiv:2006.11239
Song, Meng, Ermon: Denoising diffusion implicit models. 2021. arXiv:2010.02502
Nichol, Dhariwal: Improved denoising diffusion probabilistic models. 2021. arXiv:2102.09672 (cosine schedule)
Salimans, Ho: Progressive distillation for fast sampling. 2022. arXiv:2202.00512 (v-prediction)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ser_utils import study

KINDS = ("cosine", "linear")
PREDICTIONS = ("eps", "v")
LARGEST_BETA = 0.999


@dataclass(frozen=True)
class Schedule:
    """How much of a clip is left at each time.

    Parameters
    ----------
    kind : str
        ``cosine`` (Nichol & Dhariwal) or ``linear`` (Ho et al., its steps scaled to `n_steps`).
    n_steps : int
        Times between the clip and pure noise, 2 or more.
    prediction : str
        What the net is asked for: ``eps``, the noise; or ``v``, noise minus clip, each weighted by the other's share.

    Examples
    --------
    >>> Schedule("cosine", 100).alpha_bar[[0, 50, 100]].round(2).tolist()
    [1.0, 0.49, 0.0]
    """

    kind: str = "cosine"
    n_steps: int = 1000
    prediction: str = "v"

    def __post_init__(self) -> None:
        study.check_range(self, f"one of {', '.join(KINDS)}", lambda value: value in KINDS, "kind")
        study.check_range(self, "2 or more", lambda value: value >= 2, "n_steps")
        study.check_range(self, f"one of {', '.join(PREDICTIONS)}", lambda value: value in PREDICTIONS, "prediction")

    @functools.cached_property
    def alpha_bar(self) -> np.ndarray:
        """Share of the clip's power at each time [shape=(n_steps + 1,)]; 1 at time 0, falling."""
        if self.kind == "linear":
            scale = 1000 / self.n_steps
            beta = np.linspace(1e-4 * scale, 0.02 * scale, self.n_steps)
        else:
            angle = (np.arange(self.n_steps + 1) / self.n_steps + 0.008) / 1.008 * np.pi / 2
            beta = 1 - np.cos(angle[1:]) ** 2 / np.cos(angle[:-1]) ** 2
        return np.concatenate([[1.0], np.cumprod(1 - np.minimum(beta, LARGEST_BETA))])

    def shares(self, t: np.ndarray | int, ndim: int) -> tuple[np.ndarray, np.ndarray]:
        """Factors of clip and noise at `t`, with axes appended up to `ndim`."""
        kept = self.alpha_bar[np.asarray(t)]
        kept = kept.reshape(kept.shape + (1,) * (ndim - kept.ndim))
        return np.sqrt(kept), np.sqrt(1 - kept)

    def noised(self, x: np.ndarray, eps: np.ndarray, t: np.ndarray | int) -> np.ndarray:
        """The clip at time `t`: mean ``sqrt(alpha_bar) x``, standard deviation ``sqrt(1 - alpha_bar)``.

        Parameters
        ----------
        x, eps : np.ndarray [shape=(batch, ...)]
            Clips, and noise from a standard normal distribution.
        t : int or np.ndarray [shape=(batch,)]
            0 … `n_steps`.
        """
        clip, noise = self.shares(t, x.ndim)
        return clip * x + noise * eps

    def target(self, x: np.ndarray, eps: np.ndarray, t: np.ndarray | int) -> np.ndarray:
        """What the net should answer to ``noised(x, eps, t)``."""
        if self.prediction == "eps":
            return eps
        clip, noise = self.shares(t, x.ndim)
        return clip * eps - noise * x

    def parts(self, x_t: np.ndarray, answer: np.ndarray, t: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Clip and noise that an answer of the net stands for; the reverse of :meth:`target`.

        Examples
        --------
        >>> schedule, x, eps = Schedule("linear", 50, "v"), np.array([[2.0]]), np.array([[-1.0]])
        >>> x_t = schedule.noised(x, eps, 20)
        >>> [part.round(6).item() for part in schedule.parts(x_t, schedule.target(x, eps, 20), 20)]
        [2.0, -1.0]
        """
        clip, noise = self.shares(t, x_t.ndim)
        if self.prediction == "v":
            return clip * x_t - noise * answer, noise * x_t + clip * answer
        return (x_t - noise * answer) / np.maximum(clip, 1e-8), answer

    def posterior(self, x: np.ndarray, x_t: np.ndarray, t: int) -> tuple[np.ndarray, float]:
        """Mean and variance of the clip at time ``t - 1``, given it at time 0 and at time `t` (1 … `n_steps`)."""
        now, before = self.alpha_bar[t], self.alpha_bar[t - 1]
        alpha = now / before
        mean = np.sqrt(before) * (1 - alpha) / (1 - now) * x + np.sqrt(alpha) * (1 - before) / (1 - now) * x_t
        return mean, float((1 - before) / (1 - now) * (1 - alpha))

    def times(self, n: int, *, start: int | None = None) -> np.ndarray:
        """`n` + 1 falling times from `start` (default pure noise) to 0, as evenly as whole numbers go.

        Examples
        --------
        >>> Schedule(n_steps=100).times(4).tolist(), Schedule(n_steps=100).times(2, start=30).tolist()
        ([100, 75, 50, 25, 0], [30, 15, 0])
        """
        start = self.n_steps if start is None else start
        if not 1 <= start <= self.n_steps or n < 1:
            raise study.UserError(
                f"{n} sampling steps from time {start} are not possible; use 1 or more, from a time of 1 to "
                f"{self.n_steps}"
            )
        return np.unique(np.linspace(0, start, min(n, start) + 1).round().astype(int))[::-1]

    def step(
        self,
        x_t: np.ndarray,
        answer: np.ndarray,
        t: int,
        to: int,
        *,
        eta: float = 0.0,
        noise: np.ndarray | None = None,
        limit: float = 0.0,
    ) -> np.ndarray:
        """One step back, from time `t` to the earlier time `to`.

        Parameters
        ----------
        x_t, answer : np.ndarray [shape=(batch, ...)]
            Clips at time `t`, and what the net says of them.
        t, to : int
        eta : float
            0: DDIM, no chance; 1: DDPM, which for neighbouring times draws from :meth:`posterior`.
        noise : np.ndarray, optional
            Standard normal; needed where `eta` is above 0.
        limit : float
            The clip that the net means is cut to ±limit; 0 leaves it.
        """
        x, eps = self.parts(x_t, answer, t)
        if limit:
            x = np.clip(x, -limit, limit)
            clip, share = self.shares(t, x.ndim)
            eps = (x_t - clip * x) / np.maximum(share, 1e-8)
        now, then = self.alpha_bar[t], self.alpha_bar[to]
        spread = eta * np.sqrt((1 - then) / (1 - now) * (1 - now / then))
        back = np.sqrt(then) * x + np.sqrt(max(1 - then - spread**2, 0.0)) * eps
        return back + spread * noise if eta else back
