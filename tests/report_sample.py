"""A small report made of invented numbers: what the report's tests render and look at."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ser_utils import report, study
from ser_utils.report.blocks import card_html, table_html
from ser_utils.report.figures import figure_html

PROFILE = "demo"
TRACEBACK = (
    "\x1b[31m---------------------------------------------------------------------------\x1b[39m\n"
    "\x1b[31mValueError\x1b[39m                                Traceback (most recent call last)\n"
    "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[5]\x1b[39m\x1b[32m, line 2\x1b[39m\n"
    "\x1b[32m      1\x1b[39m scores = {}\n"
    "\x1b[32m----> \x1b[39m\x1b[32m2\x1b[39m \x1b[38;5;28;01mraise\x1b[39;00m"
    " \x1b[38;5;167;01mValueError\x1b[39;00m(message)\n"
    "\x1b[31mValueError\x1b[39m: fold 3 <of 6> has no clip of class 'calm'"
)


def html_output(data: str) -> nbformat.NotebookNode:
    """What ``display(HTML(data))`` leaves in a notebook."""
    return new_output("display_data", data={"text/html": data, "text/plain": "<HTML>"})


def plot() -> Path:
    """Save one figure through the study's own helper and return its file."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    report.style()
    fig, ax = plt.subplots()
    noise = np.random.default_rng(0)
    for name in ("angry", "happy", "neutral", "sad", "fear"):
        x, y = noise.normal(size=(2, 40)) + noise.normal(size=(2, 1)) * 2
        marker, colour = report.EMOTION_MARKERS[name], report.EMOTION_COLOURS[name]
        ax.plot(x, y, linestyle="none", marker=marker, color=colour, label=name)
    ax.set(xlabel="Median pitch (semitones re 100 Hz)", ylabel="Pitch range (semitones)", title="Pitch by emotion")
    ax.legend()
    report.figure(fig, "04_pitch", profile=PROFILE, alt="Five clouds of points.", caption="Pitch; n = 200 clips.")
    return study.paths(PROFILE).figures / "04_pitch.png"


def notebook(*, failed: bool = False) -> nbformat.NotebookNode:
    """An executed notebook with each kind of content a page must show."""
    scores = pd.DataFrame(
        {"fold": [1, 2], "UAR": [0.512, 0.478], "clips": [240, 240], "note": ["", "two <short> clips"]}
    )
    head = (
        "# 04 · Recurrent nets\n\n**Question.** How far do recurrent nets get?\n\n"
        "**Reads** the manifest. **Writes** predictions.\n\n"
        "Previous: [02 · Features](02_features.ipynb) · Next: [09 · Evaluation](09_evaluation.ipynb) · "
        "[data](../data/README.md) · [conclusions](#Conclusions)"
    )
    maths = (
        "## Attention pooling\n\nWeights $a_t = \\mathrm{softmax}_t(w^\\top h_t)$ pool the frames:\n\n"
        "$$\\bar h = \\sum_{t=1}^{T} a_t h_t, \\qquad "
        "\\text{UAR} = \\frac{1}{K}\\sum_{k=1}^{K} \\frac{n_{kk}}{n_k}$$\n\n"
        "#### Masking\n\nPadded frames get no weight: `mask` is `False`.\n\n```python\nh = layer(x, mask=mask)\n```"
    )
    figure = figure_html(
        plot(), alt="Five clouds of points.", caption="Median pitch and range; n = 200 clips, 10 speakers."
    )
    player = report.audio_player(np.zeros(1600), 16000, label="angry, speaker 3", allowed=True).data
    warning = "UserWarning: a library speaks\n"
    cells = [
        new_markdown_cell(head),
        new_code_cell("epochs = 40  # epochs at most\nseed = 0", metadata={"tags": ["parameters"]}),
        new_code_cell("# Parameters\nepochs = 2", metadata={"tags": ["injected-parameters"]}),
        new_code_cell(
            "from ser_utils import report, study\n\nreport.card(study.environment('keras'), 'Environment')",
            outputs=[
                new_output("stream", name="stderr", text=warning),
                html_output(
                    card_html({"python": "3.11.7", "cpu": "a processor with 2 cores", "keras": "3.15.1"}, "Environment")
                ),
            ],
        ),
        new_markdown_cell(maths),
        new_code_cell(
            "for fold in range(2):  # one line per fold\n    print(f'fold {fold}: {0.5:.3f}')",
            outputs=[new_output("stream", name="stdout", text="fold 0: 0.500\nfold 1:  10%\rfold 1: 0.500\n")],
        ),
        new_markdown_cell("## Scores\n\nUnseen speakers only.\n\n### Pitch"),
        new_code_cell("report.figure(fig, '04_pitch')", outputs=[html_output(figure)]),
        new_code_cell(
            "report.table(scores)", outputs=[html_output(table_html(scores, caption="Scores by fold; n = 480 clips."))]
        ),
        new_code_cell("report.audio_player(y, 16000)", outputs=[html_output(player)]),
    ]
    if failed:
        error = new_output(
            "error", ename="ValueError", evalue="fold 3 <of 6> has no clip of class 'calm'", traceback=[TRACEBACK]
        )
        cells.append(new_code_cell("scores = {}\nraise ValueError(message)", outputs=[error]))
    cells += [new_markdown_cell("# Conclusions\n\nUAR stands above chance."), new_code_cell("print('end')")]
    run = {"start_time": "2026-01-02T03:04:05.678", "duration": 150.2, "parameters": {"epochs": 2}}
    return new_notebook(cells=cells, metadata={"papermill": run})


def results() -> pd.DataFrame:
    """Results table of one invented system on two corpora, with the two floors."""
    rows = []
    for corpus, uar in (("demo", 0.71), ("ravdess", 0.564)):
        systems = (("lstm", "log_mel", "clean", uar), ("svm", "mfcc_stats+speaker_norm", "clean", uar - 0.06))
        for model, features, regime, value in (
            *systems,
            ("chance", "none", "none", 0.125),
            ("majority", "none", "none", 0.125),
        ):
            for metric, shift in (
                ("UAR", 0),
                ("WA", 0.01),
                ("macro_F1", -0.02),
                ("recall_angry", 0.1),
                ("recall_sad", -0.1),
            ):
                mid = value + shift
                common = {"corpus": corpus, "corpus_version": "1.0", "split": "published", "model": model}
                how = {
                    "features": features,
                    "train_regime": regime,
                    "condition": "clean",
                    "metric": metric,
                    "value": mid,
                }
                counts = {"n_clips": 1440, "n_speakers": 24, "n_seeds": 1, "run_id": "20260102-030405"}
                width = 0 if model == "chance" else 1
                rows.append(common | how | {"ci_low": mid - 0.04 * width, "ci_high": mid + 0.05 * width} | counts)
    return pd.DataFrame(rows)


def manifest() -> pd.DataFrame:
    """Two clips of one corpus, one of them left out."""
    rows = [
        {
            "corpus": "demo",
            "corpus_version": "1",
            "speaker": f"demo_{n}",
            "duration_s": 2.0,
            "sha256": str(n),
            "exclude_reason": why,
        }
        for n, why in enumerate(["", "silent"])
    ]
    return pd.DataFrame(rows)


def record(name: str, *, status: str = "ok", error: dict | None = None) -> dict:
    """Record of one run as the runner writes it."""
    return {
        "notebook": name,
        "title": name,
        "profile": PROFILE,
        "run_id": "20260102-030405",
        "status": status,
        "error": error,
        "parameters": {"epochs": 2, "seed": 0},
        "started": "2026-01-02T03:04:05",
        "wall_s": 150.2,
        "peak_rss_mb": 1433.6,
        "environment": {
            "commit": "0123456789ab+",
            "python": "3.11.7",
            "cpu": "a processor, 2 cores",
            "keras": "3.15.1",
        },
        "outputs": {"figures/demo/04_pitch.png": "0" * 64},
        "inputs": {"manifest": "1" * 64},
    }


def write_report() -> Path:
    """A whole report below ``$SER_OUT``: one good page, one failed page, the index; returns its folder."""
    places = study.paths(PROFILE)
    for name, failed in (("04_lstm", False), ("09_evaluation", True)):
        ipynb = places.reports / "notebooks" / f"{name}.ipynb"
        ipynb.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook(failed=failed), ipynb)
        status = "failed" if failed else "ok"
        report.render_page(ipynb, places.reports / f"{name}.html", profile=PROFILE, status=status)
        error = {"cell": 8, "name": "ValueError", "message": "fold 3 <of 6> has no clip"} if failed else None
        places.records.mkdir(parents=True, exist_ok=True)
        (places.records / f"{name}.json").write_text(json.dumps(record(name, status=status, error=error)))
    places.manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest().to_parquet(places.manifest)
    results().to_csv(places.reports / "results.csv", index=False)
    report.render_index(PROFILE)
    return places.reports
