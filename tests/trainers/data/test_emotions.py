"""Emotions in the spellings of the releases."""

import pytest

from merau.trainers.data import emotions


@pytest.mark.parametrize(
    ("written", "emotion", "coarse"),
    [
        ("Happy", "happiness", "positive"),
        (" Disgust ", "disgust", "negative"),
        ("angry", "anger", "negative"),
        ("sad", "sadness", "negative"),
        ("SURPRISE", "surprise", "surprise"),
        ("Positive", "positive", "positive"),
        ("negative", "negative", "negative"),
        ("Other", "others", None),
        ("tense", "tense", None),
        ("", "", None),
    ],
)
def test_emotion_of_any_release_has_one_spelling(written, emotion, coarse):
    assert (emotions.emotion(written), emotions.coarse(written)) == (emotion, coarse)
