"""The espeak-ng wrapper: what it refuses, what its parameters do, and that its samples can be had again."""

import numpy as np
import pytest

from ser_utils.corpora.espeak import SAMPLE_RATE, EspeakError, Utterance, speak

TEXT = "The train leaves from the other side."


def test_samples_are_audible_and_within_range():
    (y,) = speak([Utterance(text=TEXT)])
    assert y.dtype == np.float32
    assert 1.2 < len(y) / SAMPLE_RATE < 3
    assert 0.01 < np.sqrt(np.mean(y**2)) < np.abs(y).max() <= 1


def test_fresh_processes_give_the_same_bits_and_a_prefix_of_a_list_too():
    said = [Utterance(text=TEXT, voice=f"en-us+{variant}") for variant in ("f2", "m3", "f2")]
    first, again, prefix = speak(said), speak(said), speak(said[:2])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first, prefix, strict=False))
    assert not np.array_equal(first[0][:20000], first[2][:20000])  # history matters: hence the fresh process


@pytest.mark.parametrize("voice", ["xx-nowhere", "en-us+nobody", "xx-nowhere+f2"])
def test_unknown_voice_or_variant_is_refused(voice):
    with pytest.raises(EspeakError, match=r"nowhere|nobody"):
        speak([Utterance(text=TEXT), Utterance(text=TEXT, voice=voice)])


def test_text_without_words_is_refused():
    with pytest.raises(EspeakError, match="says nothing"):
        speak([Utterance(text="")])


def test_number_outside_its_limits_is_refused():
    with pytest.raises(ValueError, match="rate 500 is outside 80 … 450"):
        Utterance(text=TEXT, rate=500)


def test_rate_gap_and_volume_do_what_they_say():
    slow, fast, gap, quiet = speak(
        [
            Utterance(text=TEXT, rate=120),
            Utterance(text=TEXT, rate=240),
            Utterance(text=TEXT, rate=240, gap=30),
            Utterance(text=TEXT, rate=240, volume=25),
        ]
    )
    assert len(fast) < 0.7 * len(slow)
    assert len(gap) > len(fast) + 4 * 0.2 * SAMPLE_RATE
    assert np.std(quiet) < 0.5 * np.std(fast)
