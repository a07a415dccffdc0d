"""Checks on drawn flow that tell something about real faces.

Benches that draw what a recognizer was trained on rank recognizers slightly backwards, compared with real
micro-expressions. What does rank them: Action Units on geometry and people that were kept out of training, classes
under combinations as coders count them, and the likeness of the generator to real flow. Each figure has a 95% interval
over faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from merau.calib.probability import expected_calibration_error, reliability, reliability_svg
from merau.engine import heads
from merau.engine.html import render
from merau.engine.recognizer import Recognizer
from merau.trainers.data.flow_set import CLASSES, SIDE_PX
from merau.trainers.data.synth import faces, set_fields
from merau.trainers.data.synth.action_units import AUS, MOVES
from merau.trainers.data.synth.flow_fields import Flows
from merau.trainers.data.synth.seeds import EVALUATION_SEED
from merau.trainers.data.synth.set_fields import ICT_HARD, PATCHY, R1, SetSettings, draw_images, draw_set
from merau.trainers.data.synth.statistics import REAL, au_cosines, flow_statistics
from merau.trainers.evaluate.metrics import BOOTSTRAP_DRAWS, COVERAGE, auc, class_scores, confusion, intervals
from merau.trainers.evaluate.predict import to_coarse
from merau.trainers.export.bundle import trunk_inputs

SAMPLES = 1500  # of each bench
PER_FACE = 10
CODED = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)  # Action Units that certified coders often see
OWN = SetSettings(free=0)
BENCHES = {
    "foreign": ICT_HARD,
    "sharp": R1,
    "corrected": replace(R1, geometry="corrected"),
    "home": OWN,
    "abroad": replace(OWN, geometry="scans", held_out=True),
    "hard": replace(R1, smooth=0.35, rigid=0.5, residual=0.8, mask=0.9, gain=(0.25, 1.0)),
}
LARGEST_GAP = 0.05  # of UF1 between home and abroad
PICTURED = 12  # samples on the page
PICTURE_PX = 150


@dataclass(frozen=True)
class Answers:
    """What a bundle says of N samples.

    Attributes:
        label: (N,) index into CLASSES.
        face: (N,) index of the face.
        probabilities: (N, 3) over CLASSES.
        aus: (N, 17), which are present.
        au_logits: (N, 17).
    """

    label: np.ndarray
    face: np.ndarray
    probabilities: np.ndarray
    aus: np.ndarray
    au_logits: np.ndarray


def draw_bench(name: str, samples: int) -> Flows:
    """Draw the samples of one of BENCHES, always the same."""
    seed = EVALUATION_SEED + list(BENCHES).index(name)
    return draw_set(seed, samples, replace(BENCHES[name], samples_per_face=PER_FACE))


def answer(recognizer: Recognizer, data: Flows) -> Answers:
    """Run `recognizer` on `data`."""
    embedding, au_logits = recognizer.trunk.embed(**trunk_inputs(recognizer.apex_px, data.flow, known=data.known))
    own = heads.softmax(recognizer.head.logits(embedding) / recognizer.temperature)
    classes = to_coarse(own, recognizer.head.classes)
    return Answers(data.label, np.arange(len(data.label)) // PER_FACE, classes, data.aus, au_logits)


def score(recognizer: Recognizer, samples: int = SAMPLES) -> dict[str, Any]:
    """Return every figure on what `recognizer` says of drawn flow sets."""
    told = {name: answer(recognizer, draw_bench(name, samples)) for name in BENCHES}
    home, abroad = (class_figures(told[name]) for name in ("home", "abroad"))
    return {
        "samples": samples,
        "foreign_au_auc": unit_figures(told["foreign"]),
        "sharp": class_figures(told["sharp"]) | {"au_auc": unit_figures(told["sharp"])["coded"]},
        "corrected": class_figures(told["corrected"]) | {"au_auc": unit_figures(told["corrected"])["coded"]},
        "home_abroad": {
            "home": home["uf1"],
            "abroad": abroad["uf1"],
            "gap": round(home["uf1"] - abroad["uf1"], 3),
            "largest": LARGEST_GAP,
        },
        "hard": class_figures(told["hard"]) | calibration(told["hard"]),
    }


def class_figures(told: Answers) -> dict[str, Any]:
    """Return UF1 and UAR with intervals over faces."""
    predicted = told.probabilities.argmax(1)
    scores = class_scores(told.label, predicted, len(CLASSES))
    by_face = np.stack(
        [
            confusion(told.label[told.face == i], predicted[told.face == i], len(CLASSES))
            for i in range(told.face.max() + 1)
        ]
    )
    between = intervals(by_face[None], np.random.default_rng(EVALUATION_SEED))
    return {
        name: value
        for key in ("uf1", "uar")
        for name, value in (
            (key, round(scores[key], 3)),
            (f"{key}_interval", [round(limit, 3) for limit in between[key]]),
        )
    }


def unit_figures(told: Answers) -> dict[str, Any]:
    """Return the AUC of each Action Unit, and means with intervals: of all, and of those in CODED."""
    drawn = np.stack([bootstrap_auc(t, s, told.face) for t, s in zip(told.aus.T, told.au_logits.T, strict=True)])
    exact = np.array([auc(t, s) for t, s in zip(told.aus.T, told.au_logits.T, strict=True)])
    coded = np.isin(AUS, CODED)
    tail = 100 * (1 - COVERAGE) / 2

    def mean(rows: np.ndarray) -> dict[str, Any]:
        limits = np.nanpercentile(np.nanmean(drawn[rows], 0), [tail, 100 - tail])
        return {"mean": round(float(np.nanmean(exact[rows])), 3), "interval": np.round(limits, 3).tolist()}

    by_unit = {str(au): round(float(value), 3) for au, value in zip(AUS, exact, strict=True)}
    return {"coded": mean(coded), "all": mean(np.ones(len(AUS), bool)), "by_unit": by_unit}


def bootstrap_auc(truth: np.ndarray, score: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Return the AUC of `score` (N,) in draws of as many faces with replacement, (BOOTSTRAP_DRAWS,).

    `truth` (N,) is 0 or 1, `face` (N,) counts from 0. NaN where a draw lacks one kind.
    """
    count = int(face.max()) + 1
    often = np.random.default_rng(EVALUATION_SEED).multinomial(count, np.full(count, 1 / count), BOOTSTRAP_DRAWS)
    order = np.argsort(score)
    weight = often[:, face[order]]
    positive, negative = weight * truth[order], weight * (1 - truth[order])
    below = np.cumsum(negative, 1) - negative / 2
    pairs = positive.sum(1) * negative.sum(1)
    return np.where(pairs > 0, (positive * below).sum(1) / np.maximum(pairs, 1), np.nan)


def calibration(told: Answers) -> dict[str, Any]:
    """Return the calibration error and the reliability of the classes."""
    right = told.probabilities.argmax(1) == told.label
    confidence, accuracy, count = reliability(told.probabilities.max(1), right, bins=10)
    bins = zip(confidence.tolist(), accuracy.tolist(), (count / count.sum()).tolist(), strict=True)
    return {
        "ece": round(expected_calibration_error(told.probabilities, told.label), 3),
        "bins": [[round(value, 3) for value in each] for each in bins],
    }


def generator_figures(samples: int = SAMPLES, aggregate: Path | None = None) -> dict[str, Any]:
    """Return how like real flow the training's is: statistics beside their bands, and cosines of mean fields.

    Args:
        samples: How many flows the statistics are of.
        aggregate: As in `au_cosines`; without one there are no cosines.
    """
    found = {
        name: flow_statistics(draw_stored(samples, settings)) for name, settings in (("base", OWN), ("patchy", PATCHY))
    }
    rows = {
        name: {
            channel: {kind: round(float(each[channel][name]), 3) for kind, each in found.items()}  # type: ignore[arg-type]
            | {"real": list(bounds)}
            for channel, bounds in limits.items()
        }
        for name, limits in REAL.items()
    }
    cosines = au_cosines(mean_fields(), aggregate) if aggregate else None
    return {"statistics": rows, "cosines": cosines and {name: round(value, 3) for name, value in cosines.items()}}


def draw_stored(samples: int, settings: SetSettings) -> np.ndarray:
    """Draw flows (N, 2, 28, 28) as images of flow sets store them."""
    images, _, _ = draw_images(EVALUATION_SEED, samples, settings)
    return np.moveaxis(images[..., [2, 1]].astype(np.float64), -1, 1)


def mean_fields(count: int = 200) -> np.ndarray:
    """Return how each of MOVES moves the crop in the mean of many faces of training, (18, 2, 28, 28)."""
    rng = np.random.default_rng(EVALUATION_SEED)
    return faces.draw_faces(rng, count, OWN.geometry, set_fields.GRID).moves.sum(2).mean(0)


def page(document: dict[str, Any]) -> str:
    """Return the report of `merau-lab bench truth` as HTML."""
    fields = mean_fields()
    shown = draw_stored(PICTURED, OWN)
    return render(
        "merau.trainers.evaluate",
        "truth.html.j2",
        document=document,
        coded=[str(au) for au in CODED],
        units=[str(au) for au in AUS],
        diagrams={name: reliability_picture(each["hard"]["bins"]) for name, each in document["bundles"].items()},
        movements=[(str(MOVES[i]), arrows(fields[i])) for i in range(len(MOVES))],
        samples=[arrows(one) for one in shown],
        side=PICTURE_PX,
        dots=arrows(np.zeros((2, SIDE_PX, SIDE_PX))),
    )


def reliability_picture(bins: Sequence[Sequence[float]]) -> Markup:
    """Return the reliability diagram of `calibration` as SVG."""
    return Markup(reliability_svg(*np.array(bins).T))


def arrows(field: np.ndarray) -> str:
    """Return a field (2, 28, 28) as the path of an SVG of PICTURE_PX a side.

    Lines start at every other cell; the longest has the length of four cells.
    """
    u, v = (axis - np.median(axis) for axis in field)
    scale = PICTURE_PX / SIDE_PX
    longest = max(float(np.hypot(u, v).max()), 1e-9)
    lines = []
    for y, x in np.ndindex(SIDE_PX // 2, SIDE_PX // 2):
        start = scale * (2 * np.array([x, y]) + 0.5)
        end = start + 4 * scale / longest * np.array([u[2 * y, 2 * x], v[2 * y, 2 * x]])
        lines.append("M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*start, *end))
    return "".join(lines)
