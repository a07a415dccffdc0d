"""How like real flow drawn flow sets are: `python scripts/bench_synth_statistics.py [AGGREGATE]` prints JSON.

Statistics of real flow are in trainers/data/synth/statistics.py. AGGREGATE is an .npz file of mean real flow per Action
Unit (`au`, `samples`, `field`); with it the cosines of the mean synthetic fields are printed, too.
"""

import json
import platform
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from merau.trainers.data.synth import faces, set_fields
from merau.trainers.data.synth.statistics import REAL, REAL_SHARES, au_cosines, flow_statistics

SAMPLES, FACES, SEED = 2000, 200, 3
KINDS = {"SetSettings()": set_fields.SetSettings(), "SHARPER": set_fields.SHARPER, "PATCHY": set_fields.PATCHY}


def main() -> None:
    """Print the statistics of every kind, and the cosines of every geometry."""
    document = {"host": platform.platform(), "numpy": np.__version__, "samples": SAMPLES, "real": REAL}
    document["statistics"] = {name: statistics(settings) for name, settings in KINDS.items()}
    if len(sys.argv) > 1:
        document["cosines"] = {name: cosines(name, Path(sys.argv[1])) for name in faces.GEOMETRIES}
    print(json.dumps(document, indent=2))


def statistics(settings: set_fields.SetSettings) -> dict[str, dict[str, object]]:
    """Return rounded statistics of expressions, with the shares of classes of the composite set."""
    settings = replace(settings, free=0, shares=REAL_SHARES, samples_per_face=10)
    image, _, _ = set_fields.draw_images(SEED, SAMPLES, settings)
    found = flow_statistics(np.moveaxis(image[..., :0:-1].astype(float), -1, 1))  # u, v
    return {
        channel: {name: np.round(value, 3).tolist() for name, value in values.items()}
        for channel, values in found.items()
    }


def cosines(geometry: str, aggregate: Path) -> dict[str, float]:
    """Return rounded cosines of the mean fields of `geometry`."""
    drawn = faces.draw_faces(np.random.default_rng(SEED), FACES, geometry, set_fields.GRID)
    return {name: round(value, 3) for name, value in au_cosines(drawn.moves.sum(2).mean(0), aggregate).items()}


if __name__ == "__main__":
    main()
