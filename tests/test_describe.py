"""Tables of a corpus, and voices and feelings that are known because they were made so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import f_classif

from ser_utils import describe

RNG = np.random.default_rng(0)


def clips(**columns) -> pd.DataFrame:
    """Two speakers with one sentence in two emotions each, one of them with a second sentence."""
    table = {
        "clip_id": list("abcdef"),
        "speaker": ["s1", "s1", "s2", "s2", "s2", "s2"],
        "gender": ["female", "female", "male", "male", "male", "male"],
        "age_group": ["18-29", "18-29", "", "", "", ""],
        "emotion": ["happy", "sad", "happy", "sad", "angry", "happy"],
        "sentence": ["1", "1", "1", "1", "1", "2"],
        "intensity": "",
    }
    return pd.DataFrame(table | columns)


def test_balance():
    found = describe.balance(clips())
    assert (found["largest"], found["smallest"], found["ratio"]) == ("happy 3", "angry 1", 3)
    assert found["UAR of a guess"] == pytest.approx(1 / 3)
    assert found["WA of the largest"] == 0.5
    assert found["women's share"] == pytest.approx(1 / 3)
    assert np.isnan(describe.balance(clips(gender="unknown"))["women's share"])


def test_people():
    found = describe.people(clips())
    assert (found["speakers"], found["female"], found["male"], found["unknown"]) == (2, 1, 1, 0)
    assert (found["age groups"], found["clips per speaker"]) == ("18-29: 1", "2 to 4")


def test_people_of_a_corpus_without_speakers():
    found = describe.people(clips(speaker=""))
    assert (found["speakers"], found["clips per speaker"], found["clips without a speaker"]) == (0, "not known", 6)
    assert not describe.speakers_known(clips(speaker=""))


def test_examples_are_one_speaker_and_sentence():
    found = describe.examples(clips(), seed=0)
    assert found["clip_id"].to_dict() == {"angry": "e", "happy": "c", "sad": "d"}
    assert not found["other"].any()


def test_examples_without_speakers_and_sentences():
    found = describe.examples(clips(speaker="", sentence=""), seed=0)
    assert sorted(found.index) == ["angry", "happy", "sad"]


# --- emotion or voice --------------------------------------------------------------------------------------------


def test_eta_squared_leaves_missing_values_out():
    values, groups = pd.Series([1.0, 1.0, 3.0, np.nan]), pd.Series(["a", "a", "b", "b"])
    assert describe.eta_squared(values, groups) == 1
    assert np.isnan(describe.eta_squared(values * 0, groups))
    assert np.isnan(describe.eta_squared(values * np.nan, groups))


def test_eta_squared_of_a_table_is_the_share_that_the_f_test_sees_column_by_column():
    rng = np.random.default_rng(1)
    groups = rng.choice(["a", "b", "c", "d"], 200)
    x = rng.standard_normal((200, 6)) + 10 + (groups == "a")[:, None] * np.arange(6)
    f, _ = f_classif(x, groups)
    np.testing.assert_allclose(describe.eta_squared(x, groups), f * 3 / (f * 3 + 196), rtol=1e-6)
    x[:, 0], x[::3, 1] = 0.1, np.nan
    found = describe.eta_squared(pd.DataFrame(x), pd.Series(groups))
    assert np.isnan(found).tolist() == [True, False, False, False, False, False]
    for column in range(1, 6):
        assert found[column] == pytest.approx(describe.eta_squared(x[:, column], groups))
    kept = np.arange(200) % 3 > 0
    assert found[1] == pytest.approx(describe.eta_squared(x[kept, 1], groups[kept]))


def voices(n_speakers: int = 4, *, voice: float = 5.0, feeling: float = 1.0) -> tuple[np.ndarray, ...]:
    """Clips whose columns hold a voice and a feeling, each so strongly."""
    speakers = np.repeat([f"s{n}" for n in range(n_speakers)], 20)
    emotions = np.tile(np.repeat(["angry", "sad"], 10), n_speakers)
    centres = {name: voice * RNG.standard_normal(8) for name in set(speakers)}
    shift = {"angry": np.eye(8)[0] * feeling, "sad": -np.eye(8)[0] * feeling}
    x = np.stack([centres[s] + shift[e] for s, e in zip(speakers, emotions, strict=True)])
    return x + 0.3 * RNG.standard_normal(x.shape), emotions, speakers


def test_neighbours_show_a_leak():
    x, emotions, speakers = voices()
    found = describe.neighbours(x, emotions, speakers)
    assert found["speaker"] == 1
    assert found["silhouette_speaker"] > found["silhouette_emotion"]
    assert found["emotion"] > 0.95 > 0.8 > found["emotion_unseen"]


def test_neighbours_of_other_speakers_find_what_voices_share():
    x, emotions, speakers = voices(voice=0.0, feeling=3.0)
    found = describe.neighbours(x, emotions, speakers)
    assert found["emotion_unseen"] == 1
    assert found["speaker"] < 0.6


@pytest.mark.parametrize("speaker", ["", "only"])
def test_neighbours_without_speakers(speaker):
    x, emotions, _ = voices()
    found = describe.neighbours(x, emotions, np.full(len(x), speaker))
    assert np.isnan([found["emotion_unseen"], found["speaker"], found["silhouette_speaker"]]).all()
    assert found["emotion"] > 0.9


def test_neighbours_of_one_emotion():
    x, _, speakers = voices()
    assert np.isnan(describe.neighbours(x, np.full(len(x), "sad"), speakers)["emotion"])


def test_projections_repeat(tmp_path):
    x = describe.standardise(voices()[0])
    first, again = (describe.projections(x, seed=0, cache=tmp_path / name) for name in "ab")
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert first["t-SNE"].shape == first["PCA"].shape == (len(x), 2)
    assert 0 < first["explained"].sum() <= 1


def test_hints_tell_emotion_from_speaker():
    table = clips(loudness=[1.0, 2, 1, 2, 3, 1], pitch=[1.0, 1, 5, 5, 5, 5]).assign(corpus="toy")
    found = describe.hints(table, {"loudness": "loudness", "pitch": "F0"}).set_index("quantity")
    assert found.loc["loudness", "emotion"] == pytest.approx(1)
    assert found.loc["F0", "speaker"] == pytest.approx(1)
    assert found.loc["F0", "emotion"] < 0.5
    assert describe.hints(table.assign(speaker=""), {"pitch": "F0"})["speaker"].isna().all()


def test_separability_of_corpora():
    x, emotions, speakers = voices()
    table = pd.DataFrame({"emotion": emotions, "speaker": speakers})
    found = describe.separability({"a": (table, x), "b": (table.assign(speaker=""), x)}).set_index("corpus")
    assert found.loc["a", "chance_emotion"] == 0.5
    assert found.loc["a", "chance_speaker"] == 0.25
    assert found.loc["a", "speaker"] == 1
    assert np.isnan(found.loc["b", ["speaker", "chance_speaker"]].astype(float)).all()


def test_tables_of_nothing():
    nothing = clips().iloc[:0].assign(corpus="", x=0.0)
    assert describe.hints(nothing, {"x": "x"}).empty
    assert describe.spread(nothing, {"x": "x"}).empty
    assert list(describe.separability({}).columns[:3]) == ["corpus", "clips", "emotion"]
