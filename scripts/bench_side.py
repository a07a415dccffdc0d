"""How often the side of an expression is told, and how often rightly: `python scripts/bench_side.py` prints JSON.

The astronaut that ships and its mirror image show expressions on the left, on the right, on both sides, or rest, with
head motion, noise and compression. On one side the other half moves at most a fifth as far; on both sides each half has
an amount of its own, so that one may well move twice as far as the other. "none" counts the pairs that are too weak.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.engine.crop import CropSpec
from merau.engine.face_mesh import FaceNets
from merau.engine.flow import pair_flow
from merau.stream.side import side_of
from merau.trainers.data.synth.action_units import COMBINATIONS, SIDES
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.faces import draw_skin
from merau.trainers.data.synth.flow_fields import draw_combination
from merau.trainers.data.synth.image_pairs import FRAME, align, degrade, draw_poses, read_faces
from merau.trainers.data.synth.portrait import Portrait
from merau.trainers.data.synth.timelines import Channels, peak_px

SHOWN = {"left": 0.25, "right": 0.25, "both": 0.4, "rest": 0.1}  # sides of the picture, and their shares
RANGES_PX = ((0.4, 0.7), (0.7, 1.2), (1.2, 2.2), (2.2, 4.0))
OF_PERSON = {"left": "right", "right": "left", "both": "both", "rest": "rest"}


def main() -> None:
    """Print what is told of each side, by the peak of the movement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=702, help="pairs of onset and apex (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all draws (default: %(default)s)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = draw(arguments.pairs, np.random.default_rng(arguments.seed))
    told = {"rest": Counter(side for shown, _, side in rows if shown == "rest")}
    for low, high in RANGES_PX:
        for name in ("left", "right", "both"):
            found = Counter(side for shown, peak, side in rows if shown == name and low <= peak < high)
            told[f"{name}, {low} to {high} px"] = found
    print(
        json.dumps({name: {side or "none": n for side, n in found.items()} for name, found in told.items()}, indent=1)
    )


def draw(pairs: int, rng: np.random.Generator) -> list[tuple[str, float, str]]:
    """Return of each pair the side of the person that was shown, the peak in px, and the side that was told."""
    nets = FaceNets()
    faces, rows = read_faces([ASTRONAUT], nets), []
    with tqdm(total=pairs, desc="drawing pairs", unit="pair") as bar:
        while len(rows) < pairs:
            face = faces[int(rng.integers(len(faces)))]
            skin, face_px = draw_skin(rng, "mixed", False), rng.uniform(110, 240)
            shading = rng.uniform(0, 0.02)
            portrait = Portrait(face.picture, face.landmarks, size=FRAME, face_px=face_px, bumps=skin, shading=shading)
            for _ in range(9):
                label = int(rng.integers(len(COMBINATIONS)))
                units = draw_combination(rng, list(COMBINATIONS.values())[label])
                shown = str(rng.choice(list(SHOWN), p=list(SHOWN.values())))
                channels = draw_channels(rng, units, shown)
                peak = float(np.exp(rng.uniform(np.log(0.4), np.log(4))))
                scale = 0.0 if shown == "rest" else peak / peak_px(channels, skin)
                channels = {name: amount * scale for name, amount in channels.items()}
                poses = draw_poses(rng, float(np.exp(rng.uniform(np.log(0.1), 0))))
                moved = zip(({}, channels), poses, strict=True)
                crops = align([degrade(rng, portrait.frame(each, pose)) for each, pose in moved], nets)
                if crops:
                    flow = pair_flow(*crops, spec=CropSpec(), method="dis")
                    rows.append((OF_PERSON[shown], peak, side_of(flow)))
                    bar.update()
    return rows


def draw_channels(rng: np.random.Generator, units: tuple[int, ...], shown: str) -> Channels:
    """Draw the amount of each Action Unit on each side."""
    channels = {}
    for au in units:
        for side in SIDES:
            amount = np.exp(rng.normal(0, 0.25)) * rng.uniform(0.5, 1.4)
            hidden = shown in SIDES and side != shown
            channels[f"{au} {side}"] = float(amount * rng.uniform(0, 0.2)) if hidden else float(amount)
    return channels


if __name__ == "__main__":
    main()
