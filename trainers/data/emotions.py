"""The emotions that releases name, and the three classes of MEGC2019."""

# As in MEGC2019 (See et al. 2019): everything else, such as "others" and CASME's "tense", is in none of the three. Its
# composite database leaves out more clips: see cde.py.
COARSE = {
    "anger": "negative",
    "contempt": "negative",
    "disgust": "negative",
    "fear": "negative",
    "repression": "negative",
    "sadness": "negative",
    "happiness": "positive",
    "surprise": "surprise",
}
SAME = {"angry": "anger", "happy": "happiness", "sad": "sadness", "other": "others"}


def emotion(name: str) -> str:
    """Return the emotion `name` of any release in one spelling: a noun in lower case."""
    plain = name.strip().lower()
    return SAME.get(plain, plain)


def coarse(name: str) -> str | None:
    """Return negative, positive or surprise.

    None where the emotion `name` is none of them.
    """
    plain = emotion(name)
    return plain if plain in COARSE.values() else COARSE.get(plain)
