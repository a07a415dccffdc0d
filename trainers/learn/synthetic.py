"""A recognizer from synthetic data.

Flow is drawn, flow and apex branch are trained, the bundle is exported and scored.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from merau.engine import bundle
from merau.engine.flow import METHODS
from merau.engine.recognizer import Recognizer
from merau.trainers.data import labelled
from merau.trainers.data.synth.action_units import CODED, COMBINATIONS, Combinations
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.flow_fields import HARDER, Flows, FlowSettings, concatenate, draw
from merau.trainers.data.synth.image_pairs import ImagePairs, apex_images, draw_pairs, measure
from merau.trainers.data.synth.seeds import CALIBRATION_SEED, EVALUATION_SAMPLES, EVALUATION_SEED
from merau.trainers.data.synth.set_fields import PATCHY, SHARPER, SetSettings, draw_set
from merau.trainers.evaluate import truth
from merau.trainers.evaluate.synthetic import KEPT_OUT, score
from merau.trainers.export.bundle import export, load_model
from merau.trainers.learn.apex_branch import pretrain
from merau.trainers.learn.fusion import FlowTraining, add_apex, train, with_replay
from merau.trainers.learn.settings import DetectorSettings, TcaeSettings
from merau.trainers.models.merau import Merau

LIVE = 0.15  # samples as a camera sees them, for each one in the form of a flow set
MORE_LIVE = 2  # as many times more of these tell expressions from none
ANIMATED = 0.01  # pairs of the animated astronaut for each of these
ROUGHER = SetSettings(  # weaker movements among more of everything else
    gain=(0.25, 1.4), extra=0.1, extra_most=0.5, rigid=0.4, mask=0.8, residual=0.6, smooth=0.25
)
# What the members of the ensemble see in turn, each kind equally often.
FLAVOURS = ((SetSettings(), ROUGHER), (SetSettings(), PATCHY), (SetSettings(),), (PATCHY, SHARPER))
CALIBRATION_SAMPLES = 2000  # of each set
EVIDENCE = ((4, 17, 15, 7), (12,), (1, 2))  # Action Units that speak for negative, positive and surprise


@dataclass(frozen=True)
class SyntheticTraining:
    """What to train on.

    Attributes:
        flow_training: Samples, epochs and seed.
        combinations: The classes, as Action Units that move together.
        geometry: Geometry of the faces in the form of a flow set, one of `faces.GEOMETRIES`.
        start: Folder of a bundle to train further.
        few_shot: Index of a labelled flow set to train on as well.
        portraits: Pictures of faces that the apex branch is trained on; without any there is no apex branch.
        image_pairs: Number of image pairs to draw of the portraits.
    """

    flow_training: FlowTraining
    combinations: Combinations = field(default_factory=lambda: COMBINATIONS)
    geometry: str = "mixed"
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
    def is_coarse(self) -> bool:
        """Whether the classes are negative, positive and surprise."""
        return self.combinations is COMBINATIONS

    @property
    def live_samples(self) -> int:
        """How many flows are drawn as a camera sees them."""
        return round(LIVE * self.flow_training.samples)

    @property
    def animated_pairs(self) -> int:
        """How many pairs of the animated astronaut are trained on.

        There are none beside a user's own samples.
        """
        return 0 if self.few_shot else round(ANIMATED * self.flow_training.samples)

    @property
    def set_combinations(self) -> Combinations:
        """The classes in the form of a flow set: as coders counted them, where they did."""
        return CODED if self.is_coarse else self.combinations

    def set_settings(self, member: int) -> list[SetSettings]:
        """Return what the member of a number sees in the form of a flow set, each equally often."""
        return [
            replace(each, geometry=self.geometry, combinations=self.set_combinations)
            for each in FLAVOURS[member % len(FLAVOURS)]
        ]


def train_bundle(training: SyntheticTraining, folder: Path) -> None:
    """Train, and write the bundle to `folder`.

    Its scores on held-out synthetic data become part of its card.
    """
    # The user's own files come first: drawing takes minutes, and a mistake in them should show at once.
    few_shot = labelled.read_set(training.few_shot) if training.few_shot else None
    pairs = draw_pairs(training.portraits, training.image_pairs, training.seed) if training.portraits else None
    start = load_model(training.start) if training.start else None
    settings = training.flow_training
    member_flows, nothing = training_flows(training, few_shot)
    model = train(
        member_flows,
        nothing,
        settings,
        classes=len(training.classes),
        evidence=EVIDENCE if training.is_coarse else (),
        start=start.flow if start else None,
    )
    if pairs:
        model = train_apex_branch(model, pairs, training)
    export(
        model,
        folder,
        name=f"merau-{folder.name}",
        held_out=calibration_flows(training),
        trained_on={
            "flows": asdict(settings),
            "geometry": training.geometry,
            "live_flows": training.live_samples,
            "animated_pairs": training.animated_pairs,
            "portraits": [path.name for path in training.portraits],
        },
        classes=training.classes,
    )
    add_scores(folder, training)


def training_flows(training: SyntheticTraining, few_shot: Flows | None) -> tuple[Callable[[int], Flows], Flows]:
    """Return a function that draws what the member of a number is trained on, and what the net for none is trained on.

    The first is flow in the form of a flow set, drawn anew for each member, and flow as a camera sees it, with the
    errors of every flow method: drawn, and measured on an animated portrait. Samples in `few_shot` take the portrait's
    place. The second is the latter and more of it.
    """
    seed, samples = training.seed, training.flow_training.samples
    live = live_flows(training, seed, training.live_samples, FlowSettings())
    if not few_shot:
        live = concatenate([live, animated(seed, training.animated_pairs, training)])
    more = live_flows(training, seed + len(METHODS), MORE_LIVE * training.live_samples, FlowSettings())

    def member_flows(member: int) -> Flows:
        kinds = training.set_settings(member)
        sets = [draw_set(1000 * seed + member, samples // len(kinds), kind) for kind in kinds]
        data = concatenate([*sets, live])
        return with_replay(few_shot, data) if few_shot else data

    return member_flows, concatenate([live, more])


def live_flows(training: SyntheticTraining, seed: int, samples: int, settings: FlowSettings) -> Flows:
    """Draw flow as a camera sees it, equally with the errors of every flow method."""
    return concatenate(
        [
            draw(seed + i, samples // len(METHODS), replace(settings, flow=method, combinations=training.combinations))
            for i, method in enumerate(METHODS)
        ]
    )


def animated(seed: int, samples: int, training: SyntheticTraining) -> Flows:
    """Return the flow of `samples` pairs of the animated astronaut, measured by every method."""
    pairs = draw_pairs([ASTRONAUT], samples, seed, training.combinations)
    return concatenate([measure(pairs, method=method) for method in METHODS])


def calibration_flows(training: SyntheticTraining) -> list[Flows]:
    """Draw the sets that a bundle is quantized and calibrated on: a camera's, a portrait's, and a flow set.

    For negative, positive and surprise that is as hard as real faces are. Five classes are hard enough by themselves.
    """
    seed = training.seed + CALIBRATION_SEED
    base = truth.BENCHES["hard"] if training.is_coarse else truth.BENCHES["abroad"]
    sets = replace(base, held_out=False, combinations=training.set_combinations)
    return [
        live_flows(training, seed, CALIBRATION_SAMPLES, HARDER),
        animated(seed, CALIBRATION_SAMPLES // 10, training),
        draw_set(seed, CALIBRATION_SAMPLES, sets),
    ]


def train_apex_branch(model: Merau, pairs: ImagePairs, training: SyntheticTraining) -> Merau:
    """Return `model` with an apex branch that is trained on `pairs`."""
    onset, apex = (torch.from_numpy(apex_images(crops)) for crops in (pairs.onset, pairs.apex))
    aus = torch.from_numpy(pairs.aus)
    module = pretrain(onset, apex, aus, TcaeSettings(), DetectorSettings(), seed=training.seed)
    return add_apex(model, module, measure(pairs), apex, seed=training.seed)


def add_scores(folder: Path, training: SyntheticTraining) -> None:
    """Score the bundle in `folder`, and write the scores into its card.

    The synthetic data are kept out of training.
    """
    recognizer = Recognizer.load(folder, device="cpu")
    kept_out = live_flows(training, EVALUATION_SEED, EVALUATION_SAMPLES // 2, KEPT_OUT)
    scores = {
        "truth": truth.score(recognizer) if training.is_coarse else {},
        "kept_out_settings": score(recognizer, kept_out),
        "animated_portrait": score(recognizer, animated(EVALUATION_SEED, 200, training)),
    }
    bundle.save(folder, recognizer.bundle.card | {"scores": scores})
