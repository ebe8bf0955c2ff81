"""Blocks that notebooks show, figures, headline and run record."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import report_sample
from report_sample import PROFILE, results
from test_evaluation import predictions

from ser_utils import report, study
from ser_utils.report import headline
from ser_utils.report.blocks import card_html, table_html
from ser_utils.report.figures import described
from ser_utils.report.index import key_figures, page_rows, readable
from ser_utils.report.record import load_records, run_record, save_waiting

NAMES = ["04_lstm", "05_cnn"]  # notebooks of a profile


@pytest.fixture(autouse=True)
def out(tmp_path, monkeypatch):
    """Everything that a test writes lands in its own folder."""
    monkeypatch.setenv("SER_OUT", str(tmp_path))
    return tmp_path


def test_import_is_light():
    heavy = "matplotlib", "pandas", "nbconvert", "bs4", "jinja2", "IPython", "numpy"
    code = f"import sys, ser_utils.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_figure_is_byte_stable_and_carries_its_words():
    first = report_sample.plot().read_bytes()
    png = report_sample.plot()
    assert png.read_bytes() == first
    assert described(png) == ("Five clouds of points.", "Pitch; n = 200 clips.")


def test_a_picture_of_many_colours_takes_a_fraction_of_its_bytes_and_looks_the_same():
    import matplotlib.pyplot as plt
    from PIL import Image

    fig, ax = plt.subplots(dpi=100)
    ax.imshow(np.random.default_rng(0).random((120, 160)), interpolation="bicubic")
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=150, bbox_inches="tight", pad_inches=0.12)
    report.figure(fig, "01_noise", profile=PROFILE, alt="Noise.", caption="Levels from −1 to 1.")
    file = study.paths(PROFILE).figures / "01_noise.png"
    plain, shown = (np.asarray(Image.open(at).convert("RGB")).astype(int) for at in (buffer, file))
    assert plain.shape == shown.shape
    assert np.abs(plain - shown).max() < 16
    assert file.stat().st_size < 0.5 * len(buffer.getvalue())
    assert described(file) == ("Noise.", "Levels from −1 to 1.")


def test_figure_is_shown_with_alt_and_caption(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    report_sample.plot()
    assert re.match(r'<figure><img alt="Five clouds of points\." width="\d+" height="\d+" src="data:', shown[0].data)
    assert "<figcaption>Pitch; n = 200 clips.</figcaption>" in shown[0].data


@pytest.mark.parametrize("wrong", [{"name": "durations"}, {"alt": " "}, {"caption": ""}])
def test_figure_refuses_what_a_reader_would_miss(wrong):
    import matplotlib.pyplot as plt

    good = {"name": "01_durations", "alt": "A histogram.", "caption": "Durations."} | wrong
    with pytest.raises(ValueError, match=next(iter(wrong)) if "name" not in wrong else "durations"):
        report.figure(plt.figure(), good["name"], profile=PROFILE, alt=good["alt"], caption=good["caption"])
    plt.close("all")
    assert not list(study.paths(PROFILE).figures.glob("*"))


def test_emotions_have_their_own_colour_and_marker():
    from ser_utils.corpora.base import EMOTIONS

    for look in (report.EMOTION_COLOURS, report.EMOTION_MARKERS):
        assert set(look) == set(EMOTIONS)
        assert len(set(look.values())) == len(EMOTIONS)


def test_table_names_rows_columns_and_gaps():
    df = pd.DataFrame({"UAR": [0.5, np.nan], "clips": [12000, 3]}, index=pd.Index(["a<b", "c"], name="model"))
    html = table_html(df, caption="Two systems & more", digits={"UAR": 2})
    assert "<caption>Two systems &amp; more</caption>" in html
    assert html.count('scope="col"') == 3
    assert '<th scope="row">a&lt;b</th><td class="num">0.50</td><td class="num">12,000</td>' in html
    assert '<td class="num">–</td><td class="num">3</td>' in html
    assert 'tabindex="0"' in html


def test_table_flattens_column_levels():
    df = pd.DataFrame([[0.5, 0.6]], columns=pd.MultiIndex.from_tuples([("UAR", "mean"), ("UAR", "low")]), index=["svm"])
    html = table_html(df, caption="Scores")
    assert re.findall(r'<th scope="col"[^>]*>([^<]*)<', html) == ["UAR mean", "UAR low"]
    assert "<thead><tr><td></td>" in html  # an empty corner is no header


def test_an_interval_stays_on_one_line_and_a_tied_one_may_follow_its_score():
    html = table_html(
        pd.DataFrame({"a": ["x"], "b": ["0.5 [0.4, 0.6]"], "c": ["0.5 [0.4,\u00a00.6]"]}), caption="Scores"
    )
    assert html.count('class="interval"') == 1


def test_card_lists_facts():
    assert "<dt>a&amp;b</dt><dd>–</dd>" in card_html({"a&b": None}, "Facts")


def test_player_holds_the_sound():
    import soundfile

    tone = 0.5 * np.sin(np.arange(1600) / 5).astype("float32")
    html = report.audio_player(tone, 16000, label='angry "loud"', allowed=True).data
    data = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])
    heard, rate = soundfile.read(io.BytesIO(data))
    assert rate == 16000
    np.testing.assert_allclose(heard, tone, atol=1 / 32768)
    assert 'aria-label="angry &quot;loud&quot;"' in html


def test_no_player_where_the_licence_forbids():
    html = report.audio_player(np.zeros(10), 16000, label="angry", allowed=False).data
    assert "licence" in html
    assert "<audio" not in html


def test_headline_sorts_systems_and_keeps_floors_last():
    block = next(b for b in headline.blocks(results(), splits={}) if b["corpus"] == "ravdess")
    assert [s["model"] for s in block["systems"]][:2] == ["lstm", "svm"]
    assert {s["model"] for s in block["systems"][2:]} == {"chance", "majority"}
    assert block["best"]["metrics"]["UAR"]["value"] == pytest.approx(0.564)
    assert block["chance"] == pytest.approx(0.125)
    assert set(block["best"]["recalls"]) == {"angry", "sad"}


def test_headline_leaves_out_noise_and_easier_splits():
    noisy = results().assign(condition="noise=rain;snr_db=5;denoiser=none", value=0.99)
    leaky = results().assign(split="random", value=0.98)
    table = pd.concat([results(), noisy, leaky])
    found = headline.blocks(table, splits={"demo": "published", "ravdess": "published"})
    assert [(b["corpus"], b["split"]) for b in found] == [("demo", "published"), ("ravdess", "published")]
    assert all(b["best"]["metrics"]["UAR"]["value"] < 0.9 for b in found)


def test_headline_says_how_many_systems_it_does_not_show():
    many = [results().query("model == 'lstm'").assign(model=f"net{n:02d}") for n in range(headline.N_SYSTEMS + 3)]
    block = headline.blocks(pd.concat([results(), *many]), splits={})[0]
    assert len(block["systems"]) == headline.N_SYSTEMS + 2
    assert block["more"] == 5


def test_results_of_single_notebooks_serve_until_the_evaluation_ran(out):
    folder = out / "results"
    folder.mkdir()
    results().to_csv(folder / "04_lstm.csv", index=False)
    results().to_csv(folder / "05_cnn.csv", index=False)  # both hold the floors: shown once
    results().assign(model="dropped").to_csv(folder / "07_pretrained_fusion.csv", index=False)
    assert len(headline.load_results(out, NAMES)) == len(results())
    results().head(5).to_csv(out / "results.csv", index=False)
    assert len(headline.load_results(out, NAMES)) == 5
    assert headline.load_results(out / "nowhere", NAMES) is None


def test_results_without_a_column_are_refused(out):
    results().drop(columns="metric").to_csv(out / "results.csv", index=False)
    with pytest.raises(study.UserError, match=r"results\.csv: column 'metric' is missing"):
        headline.load_results(out, NAMES)


def test_interval_bar_survives_missing_interval():
    assert headline.interval_svg(0.5, float("nan"), float("nan")).count("<line") == 2


def test_run_record_holds_what_made_the_numbers():
    folder = report_sample.write_report()
    run = json.loads((folder / "run.json").read_text())
    assert (run["commit"], run["dirty"]) == ("0123456789ab", True)
    assert run["manifest"]["sha256"] == study.sha256(study.paths(PROFILE).manifest)
    assert run["manifest"]["corpora"]["demo"]["n_used"] == 1
    assert run["manifest"]["corpora"]["demo"]["n_clips"] == 2
    assert run["manifest"]["absent"] == ["demo_noise"]
    assert run["environment"]["keras"] == "3.15.1"
    assert run["notebooks"]["09_evaluation"]["error"]["cell"] == 8
    assert run["notebooks"]["04_lstm"]["outputs"]
    assert run["seeds"]["04_lstm"] == 0


def test_manifest_hash_follows_content():
    places = study.paths(PROFILE)
    places.manifest.parent.mkdir(parents=True)
    hashes = []
    for content in ("0", "changed"):
        report_sample.manifest().assign(sha256=content).to_parquet(places.manifest)
        hashes.append(run_record(PROFILE, {})["manifest"]["corpora"]["demo"]["sha256"])
    assert hashes[0] != hashes[1]


def test_newest_run_names_the_record(out):
    for name, run, started in (
        ("04_lstm", "b", "2026-01-02"),
        ("01_eda", "a", "2026-01-01"),
        ("09_evaluation", "b", "2026-01-03"),
    ):
        text = json.dumps(report_sample.record(name) | {"run_id": run, "started": started})
        (out / f"{name}.json").write_text(text)
    run = run_record(PROFILE, load_records(out))
    assert (run["run_id"], run["run_ids"]) == ("b", ["a", "b"])


def test_broken_record_is_named(out):
    (out / "04_lstm.json").write_text("{")
    with pytest.raises(study.UserError, match=r"04_lstm\.json is not JSON"):
        load_records(out)


def test_pages_without_a_run_say_why():
    records = {"04_lstm": {"status": "ok"}, "09_evaluation": {"status": "failed", "error": {"cell": 3}}}
    rows = {row["name"]: row for row in page_rows(PROFILE, records, study.paths(PROFILE).reports)}
    assert len(rows) == 10
    assert rows["04_lstm"]["status"] == "ok"
    assert rows["09_evaluation"]["status"] == "failed"
    assert rows["01_eda"]["status"] == "none"
    for row in rows.values():
        built = (study.ROOT / "notebooks" / f"{row['name']}.ipynb").is_file()
        assert row["status"] != "none" or built == (row["word"] != "not built yet")


def test_a_page_that_is_not_current_says_so(monkeypatch):
    folder = report_sample.write_report()
    fewer = study.load_profile(PROFILE)
    del fewer["notebooks"]["10_live_demo"]
    monkeypatch.setattr(study, "load_profile", lambda name: fewer)
    (folder / "10_live_demo.html").touch()  # left by a notebook that the profile lists no more
    save_waiting(folder, {"04_lstm": ["manifest"]})
    report.render_index(PROFILE)
    rows = {row["name"]: row for row in page_rows(PROFILE, load_records(study.paths(PROFILE).records), folder)}
    assert (rows["04_lstm"]["status"], rows["04_lstm"]["word"]) == ("waiting", "not run: manifest failed")
    assert (rows["10_live_demo"]["exists"], rows["04_lstm"]["exists"]) == (False, True)
    pages = {name: (folder / f"{name}.html").read_text() for name in ("index", "04_lstm", "09_evaluation")}
    assert "not run: manifest failed" in pages["index"]
    assert ["Not current." in pages[name] for name in ("04_lstm", "09_evaluation")] == [True, False]
    assert report.problems(folder / "04_lstm.html") == report.problems(folder / "index.html") == []

    save_waiting(folder, {})
    report.render_index(PROFILE)
    assert "Not current." not in (folder / "04_lstm.html").read_text()


def test_key_figures_are_those_of_the_run(out):
    for name in ("01_old", "01_counts", "01_durations", "09_confusion", "09_scores"):
        (out / f"{name}.png").touch()
    outputs = {f"figures/demo/{name}.png": "" for name in ("01_counts", "01_durations", "09_confusion", "09_scores")}
    chosen = [file.stem for file in key_figures(out, {"09_evaluation": {"outputs": outputs}})]
    assert chosen == ["09_confusion", "09_scores", "01_counts"]
    assert key_figures(out, {})[2].stem == "01_counts"


def test_citations_read_as_sentences():
    from ser_utils.corpora import CORPORA

    for entry in CORPORA.values():
        line = readable(entry.citation)
        assert "{" not in line
        assert "\n" not in line


def test_each_headline_number_leads_to_the_cells_and_the_file_that_made_it():
    from ser_utils import evaluation

    folder = report_sample.write_report()
    assert "How it was made" not in (folder / "index.html").read_text(encoding="utf-8")  # no predictions, no promise
    table = predictions(n_speakers=4, model="bilstm_attention")
    evaluation.save_predictions(table, PROFILE, "04_lstm")
    evaluation.save_results(evaluation.results_table(table, n_resamples=20), folder / "results.csv")
    page = report.render_index(PROFILE).read_text(encoding="utf-8")
    assert 'href="04_lstm.html#Scores-on-unseen-speakers">04 · Recurrent nets on unseen speakers</a>' in page
    assert "predictions/04_lstm.parquet" in page


def test_scores_of_known_or_unknown_speakers_are_marked_on_the_first_page(out, tmp_path, monkeypatch):
    """An own table without speakers: a banner, the caption, the count; and a table that is broken hides no report."""
    mine = tmp_path / "raw" / "mine"
    mine.mkdir(parents=True)
    (mine / "labels.csv").write_text("path,emotion\na.wav,sad\n")
    monkeypatch.setenv("SER_DATA", str(mine.parent))
    profile = study.load_profile(PROFILE) | {"corpora": ["mine", "meld"], "tables": {"mine": {}}}
    monkeypatch.setattr(study, "load_profile", lambda _: profile)
    places = study.paths(PROFILE)
    places.manifest.parent.mkdir(parents=True)
    clips = report_sample.manifest()
    clips = pd.concat([clips.assign(corpus="mine", speaker=""), clips.assign(corpus="meld", exclude_reason="")])
    clips.to_parquet(places.manifest)
    scores = results()
    own = scores[scores["corpus"] == "demo"].assign(corpus="mine", split="random", n_speakers=0)
    places.reports.mkdir(parents=True)
    pd.concat([own, scores[scores["corpus"] == "ravdess"]]).to_csv(places.reports / "results.csv", index=False)
    page = " ".join(report.render_index(PROFILE).read_text(encoding="utf-8").split())
    assert "Speakers not unseen." in page
    assert "mine (own table): its speakers are unknown, so that their independence cannot be checked." in page
    assert "people who speak in its training part speak in its test part." in page
    assert page.count("Scores that may come from speakers heard in training") == 1
    assert page.count("Scores on speakers that no system heard in training") == 1
    assert "speakers unknown. Intervals: 95 %, bootstrap over clips, too narrow." in page
    assert run_record(PROFILE, {})["manifest"]["corpora"]["mine"]["n_speakers"] == 0
    (mine / "labels.csv").write_text("nothing\n")
    assert "Speakers not unseen." in report.render_index(PROFILE).read_text(encoding="utf-8")


def test_unseen_speakers_get_no_warning():
    assert "Speakers not unseen." not in (report_sample.write_report() / "index.html").read_text(encoding="utf-8")
