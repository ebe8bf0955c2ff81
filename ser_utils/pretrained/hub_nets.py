"""Encoders of the transformers library that go on learning: low-rank or full, on top of their frozen convolutions.

The net has the few methods of a Keras net that :func:`ser_utils.training.fit` calls, so that epochs, warm-up, the
cosine and the early stop are the same code for all nets of the study. Torch is imported where it is used.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_utils import study
from ser_utils.pretrained.hub import load
from ser_utils.pretrained.hub_front import LONGEST_MEL, MEL_EDGE
from ser_utils.training import Recipe

LORA_RATE, FULL_RATE = 0.25, 0.02  # how far the last layer moves per step, compared to the new output layer
MEL_REACH, MEL_SILENCE = 2.0, -1.5  # its log-mel frames end this far below their loudest value, or at silence
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


@dataclass(frozen=True)
class Tuning:
    """How an encoder is tuned.

    Parameters
    ----------
    lora_rank : int
        Of the low-rank changes to the queries and values of every layer (Hu et al. 2022, arXiv:2106.09685), which alone
        are trained beside the output; 0 trains all layers.
    rate : float
        How far the last layer moves per step, compared to the new output layer; 0 stands for 0.25, or 0.02 where all
        weights are trained.
    rate_decay : float
        The same of each layer compared to the one after it, in (0, 1] (Howard & Ruder 2018, doi:10.18653/v1/P18-1031).
    clip_norm : float
        Longest gradient of all trained weights together.
    dropout : float
        Share of values dropped before the output, in [0, 1).
    """

    lora_rank: int = 8
    rate: float = 0.0
    rate_decay: float = 0.9
    clip_norm: float = 1.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        study.check_range(self, "0 or more", lambda value: value >= 0, "lora_rank", "rate")
        study.check_range(self, "above 0 and at most 1", lambda value: 0 < value <= 1, "rate_decay")
        study.check_range(self, "above 0", lambda value: value > 0, "clip_norm")
        study.check_range(self, "at least 0 and below 1", lambda value: 0 <= value < 1, "dropout")

    @property
    def top_rate(self) -> float:
        """Of the last layer.

        Examples
        --------
        >>> Tuning().top_rate, Tuning(lora_rank=0).top_rate
        (0.25, 0.02)
        """
        return self.rate or (LORA_RATE if self.lora_rank else FULL_RATE)


@dataclass
class _Rate:
    """Stands where a Keras net has its optimizer: :func:`ser_utils.training.fit` sets the rate of each step."""

    learning_rate: float = 0.0


class Learner:
    """An encoder, the mean of its last layer over the frames of the clip, and a linear layer.

    Parameters
    ----------
    name : str
        Encoder of kind ``hub``.
    n_classes : int
    tuning : Tuning
    recipe : Recipe
        Weight decay and label smoothing are its own; the rate comes from :func:`ser_utils.training.fit`.

    Raises
    ------
    study.UserError
        When the model is not there, or for a recipe that only nets of Keras know.
    """

    def __init__(self, name: str, n_classes: int, tuning: Tuning, recipe: Recipe) -> None:
        import torch

        _check(recipe)
        self.name, self.tuning, self.recipe, self.optimizer = name, tuning, recipe, _Rate()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        model, _, self.family = load(name)
        self.encoder = model.requires_grad_(not tuning.lora_rank)
        if self.family != "whisper":
            model.feature_extractor.requires_grad_(False)
        elif not tuning.lora_rank:
            model.embed_positions.requires_grad_(False)  # sines, as published
        if tuning.lora_rank:
            _add_low_rank(model, tuning.lora_rank)
        width = model.config.hidden_size
        parts = torch.nn.LayerNorm(width), torch.nn.Dropout(tuning.dropout), torch.nn.Linear(width, n_classes)
        self.net = torch.nn.ModuleDict({"encoder": model, "head": torch.nn.Sequential(*parts)}).to(self.device)
        groups = [group | {"lr": 0.0} for group in self.groups()]
        self.trained = [weight for group in groups for weight in group["params"]]
        self._adamw = torch.optim.AdamW(groups)
        self.reset_metrics()

    def groups(self) -> list[dict[str, Any]]:
        """Trained weights, one group per depth and kind: ``params``, ``share`` of the rate, ``weight_decay``.

        What lies before the layers moves as the layer before the first would; vectors (biases, scales) do not decay.
        """
        depth, found = self.encoder.config.num_hidden_layers, {}
        for name, weight in self.net.named_parameters():
            if not weight.requires_grad or "masked_spec_embed" in name:
                continue
            inside = _LAYER.search(name)
            level = int(inside[1]) if inside else -1
            share = self.tuning.top_rate * self.tuning.rate_decay ** (depth - 1 - level)
            share = 1.0 if name.startswith("head.") else share
            decay = self.recipe.weight_decay if weight.ndim > 1 else 0.0
            group = {"params": [], "share": share, "weight_decay": decay}
            found.setdefault((share, decay), group)["params"].append(weight)
        return list(found.values())

    def pooled(self, x: Any, mask: Any) -> Any:
        """Mean of the last layer over what the mask leaves [shape=(n_clips, n_columns)], a tensor.

        Parameters
        ----------
        x : tensor [shape=(n_clips, n_frames, n_columns)]
            Of :func:`ser_utils.pretrained.hub_front.front`.
        mask : tensor of bool [shape=(n_clips, n_frames)]
        """
        states, valid = (self._whisper if self.family == "whisper" else self._waves)(x, mask)
        weight = valid.unsqueeze(-1).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1)

    def _waves(self, x: Any, mask: Any) -> tuple[Any, Any]:
        projected = self.encoder.feature_projection(x)
        projected = projected[0] if isinstance(projected, tuple) else projected
        return self.encoder.encoder(projected, attention_mask=mask).last_hidden_state, mask

    def _whisper(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """Silence as Whisper's own input has it up to its 30 s, whatever the batch was padded with."""
        import torch

        loudest = x.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax((1, 2), keepdim=True)
        silence = (loudest - MEL_REACH).clamp(min=MEL_SILENCE)
        x = torch.where(mask.unsqueeze(-1), x, silence)
        x = torch.cat([x, silence.expand(len(x), LONGEST_MEL - x.shape[1], x.shape[2])], 1)
        n_frames = (mask.sum(1, keepdim=True) - MEL_EDGE + 1) // 2
        states = self.encoder(x.transpose(1, 2)).last_hidden_state
        return states, torch.arange(states.shape[1], device=x.device) < n_frames

    def _logits(self, given: list[np.ndarray]) -> Any:
        import torch

        x, mask = (torch.from_numpy(np.ascontiguousarray(part)).to(self.device) for part in given)
        return self.net["head"](self.pooled(x, mask > 0))

    # --- what training.fit calls ----------------------------------------------------------------------------------

    def reset_metrics(self) -> None:
        """Forget the losses so far."""
        self._loss = self._clips = 0.0

    def train_on_batch(self, x: list[np.ndarray], y: np.ndarray, sample_weight: np.ndarray) -> float:
        """One step; returns the mean loss since :meth:`reset_metrics`."""
        import torch

        self.net.train()
        target, weight = (
            torch.from_numpy(np.asarray(part, dtype=np.float32)).to(self.device) for part in (y, sample_weight)
        )
        smooth = self.recipe.label_smoothing
        losses = torch.nn.functional.cross_entropy(self._logits(x), target, label_smoothing=smooth, reduction="none")
        loss = (losses * weight).mean()
        self._adamw.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.tuning.clip_norm)
        for group in self._adamw.param_groups:
            group["lr"] = self.optimizer.learning_rate * group["share"]
        self._adamw.step()
        self._loss, self._clips = self._loss + float(loss.detach()) * len(y), self._clips + len(y)
        return self._loss / self._clips

    def predict_on_batch(self, x: list[np.ndarray]) -> np.ndarray:
        """Probabilities [shape=(n_clips, n_classes)]."""
        import torch

        self.net.eval()
        with torch.inference_mode():
            return torch.softmax(self._logits(x), dim=1).cpu().numpy()

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the trained weights."""
        return [weight.detach().cpu().numpy().copy() for weight in self.trained]

    def set_weights(self, values: list[np.ndarray]) -> None:
        """Put what :meth:`get_weights` returned back."""
        import torch

        with torch.no_grad():
            for weight, value in zip(self.trained, values, strict=True):
                weight.copy_(torch.from_numpy(value))


def _check(recipe: Recipe) -> None:
    for name, known in {"optimizer": "adamw", "averaging": "none", "precision": "float32"}.items():
        if getattr(recipe, name) != known:
            given = getattr(recipe, name)
            raise study.UserError(f"{name} '{given}' is not for encoders of transformers; set {name} to {known}")


def _add_low_rank(model: Any, rank: int) -> None:
    """Add a trained matrix of low rank to the weights of queries and values; it starts at zero.

    On the weights, and not beside the layers: WavLM multiplies by the weights without calling the layers.
    """
    import torch

    class LowRank(torch.nn.Module):
        def __init__(self, n_out: int, n_in: int) -> None:
            super().__init__()
            self.down = torch.nn.Parameter(torch.randn(rank, n_in) / n_in**0.5)
            self.up = torch.nn.Parameter(torch.zeros(n_out, rank))

        def forward(self, weight: Any) -> Any:
            return weight + self.up @ self.down

    chosen = [
        part for name, part in model.named_modules() if _LAYER.search(name) and name.endswith(("q_proj", "v_proj"))
    ]
    for linear in chosen:
        torch.nn.utils.parametrize.register_parametrization(linear, "weight", LowRank(*linear.weight.shape))


@contextlib.contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Torch draws from `seed`, on one thread and with operations that repeat; as it was before, afterwards."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it a GPU refuses to repeat itself
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
