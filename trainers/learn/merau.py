"""MERAU stage by stage, as its paper has it, on prepared sets: TCAE, the detector P, the fusion (Dai & Feng 2021, 4.2).

The sets come from `merau-lab prepare`, or from `synth set`. Flow and pictures are made by the code that serving runs.
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
from merau.trainers.baselines.frames import strips
from merau.trainers.data.flow_set import UNLABELLED, FlowSet, read_crops, undecided_units, unit_numbers
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import Flows
from merau.trainers.evaluate.task import TASKS, labels
from merau.trainers.export.bundle import DEFAULT, load_model
from merau.trainers.learn.apex_branch import Frames, train_detector, train_tcae
from merau.trainers.learn.fusion import fuse
from merau.trainers.learn.settings import Setting
from merau.trainers.models.au import AuModule
from merau.trainers.models.merau import FlowModule, FlowResNet, Merau, reset_classifier
from merau.trainers.models.resnet import load_weights


@dataclass(frozen=True)
class TrainingPairs:
    """M onset-apex pairs: `flows` as measured, and pictures `apex` (M, 1, S, S) float32 in 0..1, if any are seen."""

    flows: Flows
    apex: np.ndarray | None

    def __len__(self) -> int:
        return len(self.flows.label)


@dataclass(frozen=True)
class TrainingResult:
    """`model` for `classes`, the pairs it was trained on, and those `kept_back`."""

    model: Merau
    classes: tuple[str, ...]
    training: TrainingPairs
    held_out: TrainingPairs


def initial_flow_branch(setting: Setting, bundle: Path | None) -> FlowModule:
    """The flow branch to start from: that of `bundle`, by default the shipped one; or else a new ResNet18, with the
    setting's weights if it names any.

    Raises UserError where the bundle's is not the setting's encoder, or both it and weights are given.
    """
    if bundle and setting.encoder_weights:
        raise UserError(f"The flow branch cannot begin as {bundle} and as encoder_weights: leave one of both out.")
    if bundle or setting.encoder == "ours":
        flow = load_model(bundle or DEFAULT).flow
        encoder = "resnet18" if isinstance(flow.members[0], FlowResNet) else "ours"
        if encoder != setting.encoder:
            raise UserError(f"Setting.encoder is {setting.encoder!r}, and that of {bundle} {encoder!r}: change one.")
        return flow
    torch.manual_seed(setting.seed)
    member = FlowResNet()
    if setting.encoder_weights:
        load_weights(member.encoder, Path(setting.encoder_weights))
    return FlowModule([member])


def train_merau(
    data: FlowSet, setting: Setting, start: FlowModule, *, frames: FlowSet | None = None, folder: Path | None = None
) -> TrainingResult:
    """All stages on `data`; the flow branch begins as `start`. TCAE, which needs no labels, learns from `frames`, too.

    In `folder` are checkpoints and the log. Raises UserError where the sets lack what a stage needs.
    """
    data, label, classes = labelled(data, setting)
    kept = held_out_mask(data, setting)
    apex_px = setting.tcae.size_px if setting.tcae else 0
    wanted = neighbours_wanted(label[~kept]) if setting.balance else np.zeros((~kept).sum(), int)
    shown = measure_pairs(data.take(~kept), label[~kept], wanted, setting.flow, apex_px)
    held = measure_pairs(data.take(kept), label[kept], np.zeros(kept.sum(), int), setting.flow, apex_px)
    torch.manual_seed(setting.seed)
    module = apex_stages(data.take(~kept), frames, shown, setting, folder) if setting.tcae else None
    model = Merau(deepcopy(start), au=module)
    reset_classifier(model, setting.fusion.classifier, len(classes))
    fuse(model, shown.flows, tensor(shown.apex), setting.fusion, seed=setting.seed, folder=folder)
    return TrainingResult(model, classes, shown, held)


def apex_stages(
    data: FlowSet, more: FlowSet | None, shown: TrainingPairs, setting: Setting, folder: Path | None
) -> AuModule:
    """Stages 1 and 2: TCAE on the frames of `data` and `more`, P on the pictures of `shown` whose units were coded."""
    assert setting.tcae and setting.detector and shown.apex is not None
    clips = [clip for one in (data, more) if one for clip in resized(one, setting.tcae.size_px)]
    encoder = train_tcae(Frames.of(clips), setting.tcae, seed=setting.seed, folder=folder)
    coded = ~np.isnan(shown.flows.aus).any(1)
    if coded.sum() < 2:
        raise UserError("No sample's Action Units were coded, and detector P learns from them: add a set with `aus`.")
    units = shown.flows.aus[coded][:, [AUS.index(au) for au in setting.detector.aus]]
    apex = torch.from_numpy(shown.apex[coded])
    return train_detector(encoder, apex, torch.from_numpy(units), setting.detector, seed=setting.seed, folder=folder)


def labelled(data: FlowSet, setting: Setting) -> tuple[FlowSet, np.ndarray, tuple[str, ...]]:
    """The samples that show a class of the task, their labels (N,), and those classes that occur."""
    label = labels(data, setting.task)
    data, label = data.take(label != UNLABELLED), label[label != UNLABELLED]
    occurring, label = np.unique(label, return_inverse=True)
    if len(occurring) < 2:
        raise UserError(
            f"Task {setting.task} needs samples of at least two of {', '.join(TASKS[setting.task])}; the set has "
            f"{len(occurring)} of them."
        )
    return data, label, tuple(TASKS[setting.task][c] for c in occurring)


def held_out_mask(data: FlowSet, setting: Setting) -> np.ndarray:
    """(N,) whose subject is not trained on. Raises UserError where there is but one."""
    people = np.unique(data.person)
    if len(people) < 2:
        raise UserError("All samples are of one subject: training keeps some subjects back, so it needs two.")
    chosen = np.random.default_rng(setting.seed).permutation(people)
    return np.isin(data.person, chosen[: min(max(1, round(setting.kept_back * len(people))), len(people) - 1)])


def neighbours_wanted(label: np.ndarray) -> np.ndarray:
    """Eq. 11: how many neighbours of its apex each sample brings along, so that rare classes are seen as often."""
    counts = np.bincount(label)
    extra = np.maximum(np.round(5 * counts[counts > 0].min() / np.maximum(counts, 1)) - 1, 0)
    return extra.astype(int)[label]


def measure_pairs(data: FlowSet, label: np.ndarray, beside: np.ndarray, method: str, apex_px: int) -> TrainingPairs:
    """Every clip's pair of onset and apex, and of onset and each of `beside` (N,) neighbours of the apex, as far as it
    has them. Raises UserError for sets without crops.
    """
    flow, pictures, which = [], [], []
    for i, path in enumerate(tqdm(data.crops, desc="measuring flow", unit="clip", leave=False)):
        onset, *apexes = read_crops(str(path))
        for apex in apexes[: 1 + beside[i]]:
            flow.append(downsample(pair_flow(onset, apex, spec=CropSpec(), method=method)))
            if apex_px:
                pictures.append(apex_image(apex, CropSpec(), apex_px))
            which.append(i)
    rows = np.array(which)
    flows = Flows(np.stack(flow), label[rows], coded_units(data)[rows], np.zeros(len(rows)), np.ones(len(rows), bool))
    return TrainingPairs(flows, np.stack(pictures) if apex_px else None)


def coded_units(data: FlowSet) -> np.ndarray:
    """(N, 17) float32, 1 where an Action Unit was coded, in the order of AUS; NaN for samples without any code, and for
    a unit that the coders left open: no Action Unit is learned from such a sample.
    """
    table = np.zeros((len(data), len(AUS)), np.float32)
    for row, codes in zip(table, data.aus.tolist(), strict=True):
        seen, open_ = unit_numbers(codes), undecided_units(codes)
        row[:] = [np.nan if not codes or str(au) in open_ else str(au) in seen for au in AUS]
    return table


def resized(data: FlowSet, size_px: int) -> list[np.ndarray]:
    """The frames of every clip, (T, size_px, size_px) uint8."""

    def resize(frame: np.ndarray) -> np.ndarray:
        way = cv2.INTER_AREA if size_px < len(frame) else cv2.INTER_LINEAR
        return cv2.resize(frame, (size_px, size_px), interpolation=way)

    return [np.stack([resize(frame) for frame in strip]) for strip in strips(data, "TCAE")]


def tensor(array: np.ndarray | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)
