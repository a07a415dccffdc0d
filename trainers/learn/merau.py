"""MERAU stage by stage on prepared sets (Dai & Feng 2021, section 4.2).

The stages are TCAE, the detector P and the fusion.

The sets come from `merau-lab prepare` or `merau-lab synth set`. Flow and images are made by the code of the live path.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.flow import pair_flow
from merau.engine.preprocess import apex_image, downsample
from merau.trainers.baselines.frames import read_strips
from merau.trainers.data.facs import undecided_units, unit_numbers
from merau.trainers.data.flow_set import UNLABELLED, FlowSet, read_crops
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import Flows
from merau.trainers.evaluate.task import TASKS, task_labels
from merau.trainers.export.bundle import DEFAULT, load_model
from merau.trainers.learn.apex_branch import Frames, train_detector, train_tcae
from merau.trainers.learn.fusion import fuse
from merau.trainers.learn.settings import Setting
from merau.trainers.models.au import AuModule
from merau.trainers.models.merau import FlowModule, FlowResNet, Merau, reset_classifier
from merau.trainers.models.resnet import load_weights


@dataclass(frozen=True)
class TrainingPairs:
    """M onset-apex pairs.

    `flows` are measured; with an apex branch there are images `apex` (M, 1, S, S) float32 in 0..1.
    """

    flows: Flows
    apex: np.ndarray | None

    def __len__(self) -> int:
        return len(self.flows.label)


@dataclass(frozen=True)
class TrainingResult:
    """A trained `model` for `classes`.

    It comes with the pairs it was trained on, and those of held-out subjects.
    """

    model: Merau
    classes: tuple[str, ...]
    training: TrainingPairs
    held_out: TrainingPairs


def initial_flow_branch(setting: Setting, bundle: Path | None) -> FlowModule:
    """Return the flow branch to start from.

    That is the one of `bundle`, by default the shipped bundle's, or a new ResNet18, with weights if the setting names
    any.

    Raises:
        UserError: The bundle has another encoder than the setting, or both a bundle and weights are given.
    """
    if bundle and setting.encoder_weights:
        raise UserError(f"The flow branch cannot start from both {bundle} and encoder_weights: leave one of them out.")
    if bundle or setting.encoder == "ours":
        flow = load_model(bundle or DEFAULT).flow
        encoder = "resnet18" if isinstance(flow.members[0], FlowResNet) else "ours"
        if encoder != setting.encoder:
            raise UserError(
                f"Setting.encoder is {setting.encoder!r}, but the encoder of {bundle} is {encoder!r}: change one."
            )
        return flow
    torch.manual_seed(setting.seed)
    member = FlowResNet()
    if setting.encoder_weights:
        load_weights(member.encoder, Path(setting.encoder_weights))
    return FlowModule([member])


def train_merau(
    data: FlowSet, setting: Setting, start: FlowModule, *, frames: FlowSet | None = None, folder: Path | None = None
) -> TrainingResult:
    """Run all stages on `data`.

    Args:
        data: Labelled samples with crops.
        setting: The settings of the stages.
        start: The flow branch to start from; it is copied.
        frames: More samples for TCAE, which needs no labels.
        folder: Where checkpoints and the log of losses lie.

    Raises:
        UserError: The sets lack what a stage needs.
    """
    data, label, classes = select_labelled(data, setting)
    held_out = held_out_mask(data, setting)
    apex_px = setting.tcae.size_px if setting.tcae else 0
    wanted = neighbours_wanted(label[~held_out]) if setting.balance else np.zeros((~held_out).sum(), int)
    training = measure_pairs(data.take(~held_out), label[~held_out], wanted, setting.flow, apex_px)
    none = np.zeros(held_out.sum(), int)
    validation = measure_pairs(data.take(held_out), label[held_out], none, setting.flow, apex_px)
    torch.manual_seed(setting.seed)
    module = train_au_module(data.take(~held_out), frames, training, setting, folder) if setting.tcae else None
    model = Merau(deepcopy(start), au=module)
    reset_classifier(model, setting.fusion.classifier, len(classes))
    fuse(
        model,
        training.flows,
        to_tensor(training.apex),
        setting.fusion,
        seed=setting.seed,
        folder=folder,
        held_out=(validation.flows, to_tensor(validation.apex)),
    )
    return TrainingResult(model, classes, training, validation)


def train_au_module(
    data: FlowSet, more: FlowSet | None, pairs: TrainingPairs, setting: Setting, folder: Path | None
) -> AuModule:
    """Stages 1 and 2: train TCAE and the detector P.

    TCAE learns from the frames of `data` and `more`, P from the images of `pairs` with coded Action Units.
    """
    assert setting.tcae and setting.detector and pairs.apex is not None
    clips = [clip for one in (data, more) if one for clip in resize_strips(one, setting.tcae.size_px)]
    encoder = train_tcae(Frames.of(clips), setting.tcae, seed=setting.seed, folder=folder)
    coded = ~np.isnan(pairs.flows.aus).any(1)
    if coded.sum() < 2:
        raise UserError("Detector P learns from Action Units, and no sample has coded ones: add a set with `aus`.")
    units = pairs.flows.aus[coded][:, [AUS.index(au) for au in setting.detector.aus]]
    apex = torch.from_numpy(pairs.apex[coded])
    return train_detector(encoder, apex, torch.from_numpy(units), setting.detector, seed=setting.seed, folder=folder)


def select_labelled(data: FlowSet, setting: Setting) -> tuple[FlowSet, np.ndarray, tuple[str, ...]]:
    """Return samples with a class of the task, labels (N,) and classes.

    Only classes that occur are returned.
    """
    label = task_labels(data, setting.task)
    data, label = data.take(label != UNLABELLED), label[label != UNLABELLED]
    occurring, label = np.unique(label, return_inverse=True)
    if len(occurring) < 2:
        raise UserError(
            f"Task {setting.task} needs samples of at least two of {', '.join(TASKS[setting.task])}; the set has "
            f"{len(occurring)} of them."
        )
    return data, label, tuple(TASKS[setting.task][c] for c in occurring)


def held_out_mask(data: FlowSet, setting: Setting) -> np.ndarray:
    """Return (N,) bool, True for samples of held-out subjects.

    Raises UserError where there is only one subject.
    """
    people = np.unique(data.person)
    if len(people) < 2:
        raise UserError("All samples are of one subject: training holds some subjects out, so it needs two.")
    chosen = np.random.default_rng(setting.seed).permutation(people)
    return np.isin(data.person, chosen[: min(max(1, round(setting.kept_back * len(people))), len(people) - 1)])


def neighbours_wanted(label: np.ndarray) -> np.ndarray:
    """Eq.

    11: return (N,), how many neighbours of its apex each sample adds, so that classes are balanced.
    """
    counts = np.bincount(label)
    extra = np.maximum(np.round(5 * counts[counts > 0].min() / np.maximum(counts, 1)) - 1, 0)
    return np.asarray(extra.astype(int)[label])


def measure_pairs(data: FlowSet, label: np.ndarray, neighbours: np.ndarray, method: str, apex_px: int) -> TrainingPairs:
    """Measure the flow from each clip's onset to its apex.

    `neighbours` (N,) says to how many frames beside the apex it is measured as well.

    A clip with fewer neighbours gives those it has. Raises UserError for sets without crops.
    """
    flow, images, which = [], [], []
    for i, path in enumerate(tqdm(data.crops, desc="measuring flow", unit="clip", leave=False)):
        onset, *apexes = read_crops(str(path))
        for apex in apexes[: 1 + neighbours[i]]:
            flow.append(downsample(pair_flow(onset, apex, spec=CropSpec(), method=method)))
            if apex_px:
                images.append(apex_image(apex, CropSpec(), apex_px))
            which.append(i)
    rows = np.array(which)
    flows = Flows(np.stack(flow), label[rows], coded_units(data)[rows], np.zeros(len(rows)), np.ones(len(rows), bool))
    return TrainingPairs(flows, np.stack(images) if apex_px else None)


def coded_units(data: FlowSet) -> np.ndarray:
    """Return which Action Units were coded, (N, 17) in the order of AUS.

    It is float32, 1 where a unit was coded and 0 where it was not.

    It is NaN for samples without any code, and for a unit that the coders left open: such a sample teaches no unit.
    """
    table = np.zeros((len(data), len(AUS)), np.float32)
    for row, codes in zip(table, data.aus.tolist(), strict=True):
        coded, undecided = unit_numbers(codes), undecided_units(codes)
        row[:] = [np.nan if not codes or str(au) in undecided else str(au) in coded for au in AUS]
    return table


def resize_strips(data: FlowSet, size_px: int) -> list[np.ndarray]:
    """Return the frames of every clip, each (T, size_px, size_px) uint8."""

    def resize(frame: np.ndarray) -> np.ndarray:
        method = cv2.INTER_AREA if size_px < len(frame) else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(frame, (size_px, size_px), interpolation=method))

    return [np.stack([resize(frame) for frame in strip]) for strip in read_strips(data, "TCAE")]


def to_tensor(array: np.ndarray | None) -> Tensor | None:
    """Return `array` as a tensor; None stays None."""
    return None if array is None else torch.from_numpy(array)
