"""The embedded corpus and noise set: repeatable, as expected in number and length, and neither trivial nor hopeless."""

from collections import Counter
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from sklearn.metrics import recall_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_utils import study
from ser_utils.corpora import demo, demo_noise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora") / "demo"
    demo.synthesise(folder)
    return folder


@pytest.fixture(scope="module")
def speech(folder):
    """Samples of every clip, by clip."""
    return {clip: soundfile.read(folder / clip.name, dtype="float32")[0] for clip in demo.clips()}


@pytest.fixture(scope="module")
def noise_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora") / "demo_noise"
    demo_noise.synthesise(folder)
    return folder


# --- speech ------------------------------------------------------------------------------------------------------


def test_files_are_what_the_entry_promises(folder):
    files = [path.relative_to(folder) for path in folder.glob(demo.CORPUS.pattern)]
    rows = [demo.parse(path) for path in files]
    assert len(files) == demo.CORPUS.n_clips >= 600
    assert len({row["speaker"] for row in rows}) == demo.CORPUS.n_speakers
    assert Counter(row["emotion"] for row in rows) == dict.fromkeys(demo.CORPUS.emotions, 100)
    assert len({study.sha256(folder / path) for path in files}) == len(files)
    info = soundfile.info(folder / files[0])
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


def test_every_sentence_is_spoken_and_neutral_words_in_every_emotion():
    spoken = Counter((clip.sentence, clip.emotion) for clip in demo.clips())
    assert {sentence for sentence, _ in spoken} == set(demo.SENTENCES)
    for sentence, (carried, _) in demo.SENTENCES.items():
        emotions = {emotion for s, emotion in spoken if s == sentence}
        assert carried in emotions
        assert len(emotions) == 7 if carried == "neutral" else len(emotions) > 1


def test_length_and_level_stay_within_limits(speech):
    length_s = np.array([len(y) / demo.SAMPLE_RATE for y in speech.values()])
    assert np.mean((length_s >= 1.5) & (length_s <= 3)) > 0.98
    assert 1.3 < length_s.min() < length_s.max() < 3.5
    level_dbfs = [20 * np.log10(np.sqrt(np.mean(y**2))) for y in speech.values()]
    assert -40 < min(level_dbfs) < max(level_dbfs) < -14
    assert max(np.abs(y).max() for y in speech.values()) < 0.999
    assert all(np.any(y[:400]) and np.any(y[-400:]) for y in speech.values())  # no digital silence


def test_same_bits_again_and_a_subset_equals_the_whole(folder, tmp_path):
    few = demo.clips()[:30]
    demo.write(tmp_path / "few", few)
    assert all(study.sha256(tmp_path / "few" / clip.name) == study.sha256(folder / clip.name) for clip in few)


def test_a_subset_from_the_middle_is_refused(tmp_path):
    with pytest.raises(ValueError, match="only the first clips"):
        demo.write(tmp_path, demo.clips()[5:10])


def test_repetitions_differ(speech):
    pairs = {}
    for clip, y in speech.items():
        pairs.setdefault((clip.speaker, clip.sentence, clip.emotion), []).append(len(y))
    assert all(len(lengths) == 2 for lengths in pairs.values())
    assert np.mean([first != second for first, second in pairs.values()]) > 0.99


def _median_over(speech, measure, emotions):
    """Median of `measure` over a speaker's clips of neutral words; one row a speaker, one column an emotion."""
    values = {}
    for clip, y in speech.items():
        if clip.emotion in emotions and clip.repetition == 1 and clip.sentence.startswith("ne"):
            values.setdefault((clip.speaker, clip.emotion), []).append(measure(y))
    return np.array([[np.median(values[speaker, emotion]) for emotion in emotions] for speaker in demo.SPEAKERS])


def _f0_hz(y):
    f0 = librosa.yin(y, fmin=55, fmax=600, sr=demo.SAMPLE_RATE, frame_length=1024, hop_length=320)
    loud = librosa.feature.rms(y=y, frame_length=1024, hop_length=320)[0]
    return np.median(f0[loud > 0.4 * loud.max()])


def test_f0_rises_with_arousal(speech):
    angry, happy, neutral, sad = _median_over(speech, _f0_hz, ("angry", "happy", "neutral", "sad")).T
    assert np.all(angry > sad)
    assert np.all(happy > sad)
    assert np.mean(happy > neutral) >= 0.8
    assert np.mean(neutral > sad) >= 0.6


def test_level_and_length_follow_the_styles(speech):
    level = _median_over(speech, np.std, ("angry", "neutral", "sad")).T
    assert np.mean(level[0] > level[1]) >= 0.8
    assert np.mean(level[1] > level[2]) >= 0.8
    length = _median_over(speech, len, ("fear", "neutral", "sad")).T
    assert np.mean(length[0] < length[2]) >= 0.9
    assert np.mean(length[1] < length[2]) >= 0.9


def _mfcc_statistics(y):
    mfcc = librosa.feature.mfcc(y=y, sr=demo.SAMPLE_RATE, n_mfcc=40, n_fft=512, hop_length=512, n_mels=64)
    return np.r_[mfcc.mean(axis=1), mfcc.std(axis=1)]


def test_a_classic_baseline_is_neither_trivial_nor_hopeless_and_noise_hurts_it(speech):
    rng = np.random.default_rng(0)
    emotion = np.array([clip.emotion for clip in speech])
    speaker = np.array([clip.speaker for clip in speech])
    model = make_pipeline(StandardScaler(), SVC(C=10))
    clean = np.array([_mfcc_statistics(y) for y in speech.values()])
    predicted = cross_val_predict(model, clean, emotion, groups=speaker, cv=LeaveOneGroupOut())
    uar = recall_score(emotion, predicted, average="macro")
    assert 0.55 < uar < 0.90

    test = speaker == "s01"
    heard = [y for clip, y in speech.items() if clip.speaker == "s01"]
    noisy = [_mfcc_statistics(y + np.std(y) * rng.standard_normal(len(y), dtype=np.float32)) for y in heard]  # 0 dB
    in_noise = model.fit(clean[~test], emotion[~test]).predict(noisy)
    drop = recall_score(emotion[test], predicted[test], average="macro")
    drop -= recall_score(emotion[test], in_noise, average="macro")
    assert drop > 0.2


def test_parse_reads_every_field():
    assert demo.parse(Path("s04/s04_an2_fear_1.flac")) == {
        "clip_id": "s04_an2_fear_1",
        "speaker": "demo_s04",
        "gender": "male",
        "emotion": "fear",
        "emotion_raw": "fear",
        "intensity": "normal",
        "sentence": "an2",
        "text": "You always make me so very angry.",
    }


@pytest.mark.parametrize(
    ("path", "clause"),
    [
        ("s01/s01_ne1_angry.flac", "3 fields"),
        ("s99/s99_ne1_angry_1.flac", "speaker 's99'"),
        ("s01/s01_zz9_angry_1.flac", "sentence 'zz9'"),
        ("s01/s01_ne1_calm_1.flac", "emotion 'calm' is not one of angry"),
        ("s01/s01_ne1_angry_3.flac", "repetition '3'"),
        ("s02/s01_ne1_angry_1.flac", "folder 's02'"),
    ],
)
def test_parse_names_the_wrong_field(path, clause):
    with pytest.raises(ValueError, match=clause):
        demo.parse(Path(path))


# --- noise -------------------------------------------------------------------------------------------------------


def test_noise_files_are_what_the_entry_promises(noise_folder):
    files = [path.relative_to(noise_folder) for path in noise_folder.glob(demo_noise.CORPUS.pattern)]
    rows = [demo_noise.parse(path) for path in files]
    assert len(files) == demo_noise.CORPUS.n_clips
    counts = Counter((row["noise_class"], row["fold"]) for row in rows)
    assert counts == {(name, fold): 4 for name in demo_noise.CLASSES for fold in range(1, 6)}
    folds = {}
    for row in rows:
        folds.setdefault(row["source"], set()).add(row["fold"])
    assert all(len(held) == 1 for held in folds.values())
    assert len({study.sha256(noise_folder / path) for path in files}) == len(files)


def test_noise_has_a_sensible_level(noise_folder):
    for path in noise_folder.glob(demo_noise.CORPUS.pattern):
        y, sr = soundfile.read(path)
        assert (len(y), sr) == (80000, 16000)
        assert -32 < 20 * np.log10(np.std(y)) < -22
        assert np.abs(y).max() < 0.999


def test_noise_is_the_same_bits_again(noise_folder, tmp_path):
    demo_noise.synthesise(tmp_path)
    for path in tmp_path.glob(demo_noise.CORPUS.pattern):
        assert study.sha256(path) == study.sha256(noise_folder / path.name)


def test_babble_uses_neither_voices_nor_sentences_of_the_corpus():
    assert not {speaker.voice.partition("+")[2] for speaker in demo.SPEAKERS.values()} & set(demo_noise.VOICES)
    assert not any(text.startswith(demo_noise.SUBJECTS) for _, text in demo.SENTENCES.values())


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        ("1-10100-A.flac", "3 fields"),
        ("1-99-A-white.flac", "source '99'"),
        ("2-10100-A-white.flac", "fold '2' is not one of 1"),
        ("1-10100-C-white.flac", "take 'C'"),
        ("1-10100-A-pink.flac", "class 'pink' is not one of white"),
    ],
)
def test_noise_parse_names_the_wrong_field(name, clause):
    with pytest.raises(ValueError, match=clause):
        demo_noise.parse(Path(name))
