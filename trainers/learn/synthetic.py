"""A recognizer from synthetic data.

Flow is drawn, flow and apex branch are trained, the bundle is exported and scored.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from merau.engine import bundle
from merau.engine.recognizer import Recognizer
from merau.trainers.data import labelled
from merau.trainers.data.synth.action_units import COMBINATIONS, Combinations
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.flow_fields import (
    HARDER,
    SET_SHARE,
    WIDER,
    Flows,
    FlowSettings,
    concatenate,
    draw,
)
from merau.trainers.data.synth.image_pairs import ImagePairs, apex_images, as_flow_set, draw_pairs, measure
from merau.trainers.data.synth.seeds import CALIBRATION_SEED, EVALUATION_SAMPLES, EVALUATION_SEED
from merau.trainers.evaluate.synthetic import KEPT_OUT, score
from merau.trainers.export.bundle import export, load_model
from merau.trainers.learn.apex_branch import pretrain
from merau.trainers.learn.fusion import FlowTraining, add_apex, train, with_replay
from merau.trainers.learn.settings import DetectorSettings, TcaeSettings
from merau.trainers.models.merau import Merau

ANIMATED = 0.06  # pairs of the animated astronaut for each drawn flow
ANIMATED_SHARE = 0.25  # of the training data: the pairs are repeated
SETS = 0.4  # flow-set samples with varied crops for each drawn flow


@dataclass(frozen=True)
class SyntheticTraining:
    """What to train on.

    Attributes:
        flow_training: Samples, epochs and seed.
        combinations: The classes, as Action Units that move together.
        flow: Optical flow method that the recognizer will run on.
        start: Folder of a bundle to train further.
        few_shot: Index of a labelled flow set to train on as well.
        portraits: Pictures of faces that the apex branch is trained on; without any there is no apex branch.
        image_pairs: Number of image pairs to draw of the portraits.
    """

    flow_training: FlowTraining
    combinations: Combinations = field(default_factory=lambda: COMBINATIONS)
    flow: str = "dis"
    start: Path | None = None
    few_shot: Path | None = None
    portraits: tuple[Path, ...] = ()
    image_pairs: int = 2000

    @property
    def seed(self) -> int:
        """The seed of all random draws."""
        return self.flow_training.seed

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, "no expression" last."""
        return FlowSettings(combinations=self.combinations).classes

    @property
    def animated_pairs(self) -> int:
        """How many pairs of the animated astronaut are trained on.

        There are none beside a user's own samples.
        """
        return 0 if self.few_shot else round(ANIMATED * self.flow_training.samples)


def train_bundle(training: SyntheticTraining, folder: Path) -> None:
    """Train, and write the bundle to `folder`.

    Its scores on held-out synthetic data become part of its card.
    """
    # The user's own files come first: drawing takes minutes, and a mistake in them should show at once.
    few_shot = labelled.read_set(training.few_shot) if training.few_shot else None
    pairs = draw_pairs(training.portraits, training.image_pairs, training.seed) if training.portraits else None
    start = load_model(training.start) if training.start else None
    data = training_flows(training, few_shot)
    settings = training.flow_training
    model = train(data, settings, classes=len(training.classes), start=start.flow if start else None)
    if pairs:
        model = train_apex_branch(model, pairs, training)
    seed = training.seed + CALIBRATION_SEED
    harder = replace(HARDER, flow=training.flow, combinations=training.combinations)
    export(
        model,
        folder,
        name=f"merau-{folder.name}",
        held_out=[draw(seed, 8000, harder), animated(seed, 1000, training)],
        trained_on={
            "flows": asdict(settings),
            "animated_pairs": training.animated_pairs,
            "portraits": [path.name for path in training.portraits],
        },
        classes=training.classes,
        flow=(training.flow,),
    )
    add_scores(folder, training)


def training_flows(training: SyntheticTraining, few_shot: Flows | None) -> Flows:
    """Return drawn flow as cameras and as flow sets show it, mixed with measured flow.

    The measured flow is that of `few_shot`, or else of an animated portrait in both forms: drawn flow imitates the
    errors of a flow method, measured flow contains them.
    """
    seed, flow, kinds = training.seed, training.flow, training.combinations
    samples = training.flow_training.samples
    live = draw(seed, samples, FlowSettings(flow=flow, as_set=SET_SHARE, combinations=kinds))
    sets = draw(seed + 1, round(SETS * samples), replace(WIDER, flow=flow, combinations=kinds))
    drawn = concatenate([live, sets])
    if few_shot:
        return with_replay(few_shot, drawn)
    faces = animated(seed, training.animated_pairs, training)
    return with_replay(concatenate([faces, as_flow_set(faces, seed)]), drawn, share=ANIMATED_SHARE)


def animated(seed: int, samples: int, training: SyntheticTraining) -> Flows:
    """Return the measured flow of `samples` pairs of the animated astronaut."""
    return measure(draw_pairs([ASTRONAUT], samples, seed, training.combinations), method=training.flow)


def train_apex_branch(model: Merau, pairs: ImagePairs, training: SyntheticTraining) -> Merau:
    """Return `model` with an apex branch that is trained on `pairs`."""
    onset, apex = (torch.from_numpy(apex_images(crops)) for crops in (pairs.onset, pairs.apex))
    aus = torch.from_numpy(pairs.aus)
    module = pretrain(onset, apex, aus, TcaeSettings(), DetectorSettings(), seed=training.seed)
    return add_apex(model, module, measure(pairs, method=training.flow), apex, seed=training.seed)


def add_scores(folder: Path, training: SyntheticTraining) -> None:
    """Score the bundle in `folder`, and write the scores into its card.

    The synthetic data are kept out of training.
    """
    recognizer = Recognizer.load(folder, device="cpu")
    kept_out = replace(KEPT_OUT, flow=training.flow, combinations=training.combinations)
    as_set = replace(kept_out, as_set=1.0)
    scores = {
        "kept_out_settings": score(recognizer, draw(EVALUATION_SEED, EVALUATION_SAMPLES, kept_out)),
        "kept_out_flow_set": score(recognizer, draw(EVALUATION_SEED + 1, EVALUATION_SAMPLES // 2, as_set)),
        "animated_portrait": score(recognizer, animated(EVALUATION_SEED, 1000, training)),
    }
    bundle.save(folder, recognizer.bundle.card | {"scores": scores})
