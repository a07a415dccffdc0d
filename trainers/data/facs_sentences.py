"""What Action Units look like, in words: the attributes of Ekman and Friesen's Facial Action Coding System (1978)."""

from merau.trainers.data.facs import unit_numbers

DESCRIPTIONS = {
    "1": "inner brow raiser",
    "2": "outer brow raiser",
    "4": "brow lowerer",
    "5": "upper lid raiser",
    "6": "cheek raiser",
    "7": "lid tightener",
    "9": "nose wrinkler",
    "10": "upper lip raiser",
    "11": "nasolabial deepener",
    "12": "lip corner puller",
    "13": "cheek puffer",
    "14": "dimpler",
    "15": "lip corner depressor",
    "16": "lower lip depressor",
    "17": "chin raiser",
    "18": "lip puckerer",
    "20": "lip stretcher",
    "22": "lip funneler",
    "23": "lip tightener",
    "24": "lip pressor",
    "25": "lips part",
    "26": "jaw drop",
    "27": "mouth stretch",
    "28": "lip suck",
    "41": "lid droop",
    "42": "slit",
    "43": "eyes closed",
    "44": "squint",
    "45": "blink",
    "46": "wink",
}


def describe_units(codes: str) -> str:
    """Return the sentence of the Action Units `codes`, such as "brow lowerer and lid tightener" of "4+R7".

    Units without a description are left out; "" without any.
    """
    found = sorted(unit_numbers(codes), key=int)
    return " and ".join(DESCRIPTIONS[unit] for unit in found if unit in DESCRIPTIONS)
