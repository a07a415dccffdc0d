"""The emotions that the releases name, and the three classes of MEGC2019 that they fall into."""

# After MEGC2019 (See et al.): everything else, "others" and CASME's "tense" among them, is in none of the three. Its
# composite database leaves more out: see cde.py.
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
    """`name` of any release in one spelling: lower case, a noun."""
    plain = name.strip().lower()
    return SAME.get(plain, plain)


def coarse(name: str) -> str | None:
    """negative, positive or surprise; None where the emotion `name` is none of them."""
    plain = emotion(name)
    return plain if plain in COARSE.values() else COARSE.get(plain)
