"""How fast the page answers, and whether it stands many clients: measured, printed, written down."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ser_utils import study
from ser_utils.app import live, nets, serving, sounds
from ser_utils.app.hearing import Settings, hear
from ser_utils.app.nets import NO_DENOISER, Nets
from ser_utils.app.sounds import RATE, Sound

WINDOW_S = 3.0
LIMITS_MS = {NO_DENOISER: 300.0, "dtln": 600.0, "gtcrn": 600.0}  # p95 from the end of a window to the answer
CLIENTS, SECONDS = 20, 60.0
GROWTH = 0.1  # share by which memory may grow from the first to the last third of the load


def window() -> Sound:
    """Three seconds of the examples."""
    y = np.concatenate([sound.y for sound in sounds.examples().values()])
    return Sound("window.wav", y[: round(WINDOW_S * RATE)])


def latencies(known: Nets, *, repeats: int = 40) -> list[dict[str, Any]]:
    """Milliseconds from the end of a 3 s window to the answer as HTML, per net and denoiser, those of the processors
    among them, which other programs do not lengthen; and the pace of a live session."""
    rows, sound = [], window()
    for model in known.cards():
        for denoiser in (name for name in LIMITS_MS if name == NO_DENOISER or name in nets.denoisers()):
            settings = Settings(model, denoiser)
            taken, cpu = np.array([_answer_ms(sound, settings, known) for _ in range(repeats + 3)])[3:].T
            row = {"net": model, "denoiser": denoiser, "p50_ms": np.median(taken), "p95_ms": np.quantile(taken, 0.95)}
            row |= {"cpu_p50_ms": np.median(cpu), "cpu_p95_ms": np.quantile(cpu, 0.95)}
            limit = LIMITS_MS[denoiser]
            row |= {"limit_ms": limit, "streaming_rtf": streaming(known, settings, sound)}
            rows.append(row | {"holds": bool(row["p95_ms"] < limit and row["streaming_rtf"] <= live.PACE)})
    return rows


def _answer_ms(sound: Sound, settings: Settings, known: Nets) -> tuple[float, float]:
    from ser_utils.app import words

    start, work = time.perf_counter(), time.process_time()
    words.answer(hear(sound, settings, known))
    return 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - work)


def streaming(known: Nets, settings: Settings, sound: Sound) -> float:
    """Median seconds of work per second of sound, in steps of a live session."""
    state, size = live.Listening(), round(live.STEP_S * RATE)
    for start in range(0, 4 * len(sound.y), size):
        part = np.take(sound.y, np.arange(start, start + size), mode="wrap")
        state = live.step(state, part, RATE, settings, known)
    return float(np.median(state.late[len(state.late) // 2 :]))


# --- many clients -----------------------------------------------------------------------------------------------


def clients(*, n: int = CLIENTS, seconds: float = SECONDS) -> dict[str, Any]:
    """A server of its own process, and `n` clients that ask it again as soon as they are answered.

    Returns
    -------
    dict
        ``clients, seconds, answers, errors, p50_ms, p95_ms, memory_first_mb, memory_last_mb, flat``.
    """
    with tempfile.TemporaryDirectory(prefix="ser-") as folder:
        file = Path(folder) / "window.wav"
        file.write_bytes(sounds.wav(window().y))
        server, url = _server()
        try:
            taken, errors, memory = _pressed(url, file, psutil.Process(server.pid), n=n, seconds=seconds)
        finally:
            server.terminate()
            server.wait(timeout=30)
    third = max(1, len(memory) // 3)
    first, last = float(np.median(memory[third : 2 * third])), float(np.median(memory[-third:]))
    times = {"p50_ms": float(np.median(taken)), "p95_ms": float(np.quantile(taken, 0.95))} if taken else {}
    row = {"clients": n, "seconds": seconds, "answers": len(taken), "errors": len(errors), **times}
    row |= {"memory_first_mb": first, "memory_last_mb": last, "flat": last <= (1 + GROWTH) * first}
    return row | ({"first_error": errors[0]} if errors else {})


def _server() -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-m", "ser_utils", "app", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=study.ROOT)
    for line in server.stderr:
        if line.startswith("open http"):
            threading.Thread(target=server.stderr.read, daemon=True).start()  # a full pipe would stop it
            return server, line.split()[1]
    raise study.UserError(f"the page did not start: python -m ser_utils app ended with {server.wait()}")


def _pressed(
    url: str, file: Path, process: psutil.Process, *, n: int, seconds: float
) -> tuple[list[float], list[str], list[float]]:
    """Milliseconds of every answer, errors, and the server's memory in MB, once a second."""
    from gradio_client import Client, handle_file

    taken: list[float] = []
    errors: list[str] = []
    found = [serving.client(url) for _ in range(n)]
    end = time.monotonic() + seconds

    def press(client: Client) -> None:
        while time.monotonic() < end and not errors:
            start = time.perf_counter()
            try:
                told = client.predict(handle_file(file), "", NO_DENOISER, "none", 10, api_name="/predict")
            except Exception as error:  # whatever a client meets is what this counts
                errors.append(f"{type(error).__name__}: {error}")
                return
            if not told["windows"]:
                errors.append("an answer without a window")
            taken.append(1000 * (time.perf_counter() - start))

    threads = [threading.Thread(target=press, args=[client]) for client in found]
    for thread in threads:
        thread.start()
    memory = _memory(process, until=end)
    for thread in threads:
        thread.join()
    return taken, errors, memory


def _memory(process: psutil.Process, *, until: float) -> list[float]:
    found = [process.memory_info().rss / 2**20]
    while time.monotonic() < until:
        time.sleep(1)
        found.append(process.memory_info().rss / 2**20)
    return found


def bench(show: Callable[[str, list[dict[str, Any]]], None], write: Callable[[dict[str, Any], str], None]) -> int:
    """``bench app``: 0 where latency, pace, errors and memory hold their limits.

    Parameters
    ----------
    show, write : callable
        Print a table by its title; write a report by its name.
    """
    study.seed_everything(0)
    busy = os.getloadavg()[0]  # processes that wanted a core in the last minute, before anything began here
    rows, load = latencies(Nets()), clients()
    show("latency", rows)
    show("load", [load])
    environment = study.environment("gradio", "tensorflow") | {"load_average_before": busy}
    write({"environment": environment, "latency": rows, "load": load}, "app")
    return int(not (all(row["holds"] for row in rows) and load["flat"] and not load["errors"]))
