"""Training MERAU: the flow branch on drawn flow, then the fusion with the apex branch on picture pairs (eqs. 3-8)."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm, trange

from engine.errors import UserError
from engine.recognizer import UNKNOWN_MAGNITUDE, normalise
from trainers.data.synth.flows import Flows
from trainers.learn.apex import step
from trainers.models.au import AuModule
from trainers.models.merau import FlowModule, FlowNet, LinearNet, Merau

TABLE_2_RATE = 1.2e-3  # of projections and classifier
FUSION_EPOCHS = 20


@dataclass(frozen=True)
class FusionSettings:
    samples: int = 100_000
    epochs: int = 5
    batch: int = 256
    nets: int = 2  # and a linear one
    rate: float = 2e-3
    label_smoothing: float = 0.1
    au_weight: float = 1.0
    unknown: float = 0.15  # share of samples whose magnitude is hidden, beside those in which it is not known
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "epochs", "batch", "nets"):
            if getattr(self, name) < 1:
                raise UserError(f"FusionSettings.{name} is {getattr(self, name)}: choose 1 or more.")


def train(data: Flows, settings: FusionSettings, *, classes: int = 4, start: FlowModule | None = None) -> Merau:
    """A model without apex branch: several nets, each trained alone, and a linear one.

    With `start` its judges learn on; where they answered other classes, their class heads begin anew.
    """
    torch.manual_seed(settings.seed)
    judges: list[FlowNet | LinearNet] = [FlowNet(classes=classes) for _ in range(settings.nets)]
    judges.append(LinearNet(classes=classes))
    if start:
        judges = [with_classes(judge, classes) for judge in start.judges]
    for number, judge in enumerate(judges, 1):
        train_judge(judge, data, settings, title=f"judge {number} of {len(judges)}")
    return Merau(FlowModule(judges)).eval()


def with_classes(judge: nn.Module, classes: int) -> FlowNet | LinearNet:
    """A copy of `judge`, its class head a new one unless it has as many classes already."""
    copy: FlowNet | LinearNet = deepcopy(judge)
    if copy.classify.out_features != classes:
        copy.classify = nn.Linear(copy.classify.in_features, classes)
    return copy


def rehearsed(shots: Flows, data: Flows, share: float = 0.1) -> Flows:
    """`data` with the few `shots` among it, repeated until they are `share` of it: what was known is not forgotten."""
    times = max(1, round(share * len(data.label) / len(shots.label)))
    return Flows(
        *(np.concatenate([d, *[s] * times]) for s, d in zip(vars(shots).values(), vars(data).values(), strict=True))
    )


def train_judge(judge: FlowNet | LinearNet, data: Flows, settings: FusionSettings, *, title: str) -> None:
    """AdamW with one cycle; cross-entropy on the classes (eq. 8), binary cross-entropy on the Action Units (eq. 1)."""
    pattern, magnitude = (torch.from_numpy(a) for a in normalise(data.flow, data.known))
    label, aus = torch.from_numpy(data.label), torch.from_numpy(data.aus)
    coded = ~aus.isnan().any(1)  # few-shot samples are not
    rarity = (
        (1 / aus[coded].mean(0).clamp(min=1e-3) - 1).sqrt().clamp(max=4)
    )  # how often a table shows a unit is no fact
    judge.train().to(memory_format=torch.channels_last)  # half as fast again on a CPU
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2)
    steps = settings.epochs * -(-len(label) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=steps)
    with tqdm(total=steps, desc=title, unit="step", smoothing=0.05) as bar:
        for _ in range(settings.epochs):
            for rows in torch.randperm(len(label)).split(settings.batch):
                shown = mirrored(pattern[rows]).contiguous(memory_format=torch.channels_last)
                hidden = torch.rand(len(rows), 1) < settings.unknown
                embedding = judge(shown, magnitude[rows].masked_fill(hidden, UNKNOWN_MAGNITUDE))
                expression = functional.cross_entropy(
                    judge.classify(embedding), label[rows], label_smoothing=settings.label_smoothing
                )
                units = functional.binary_cross_entropy_with_logits(
                    judge.aus(embedding)[coded[rows]], aus[rows][coded[rows]], pos_weight=rarity
                )
                loss = expression + settings.au_weight * units
                step(optimizer, loss)
                schedule.step()
                bar.update()
            bar.set_postfix(loss=f"{loss.item():.3f}")


def add_apex(model: Merau, module: AuModule, pairs: Flows, apex: Tensor, settings: FusionSettings) -> Merau:
    """`model` with an apex branch on the frozen `module`; `pairs` holds the measured flow of the pictures `apex`.

    The flow branch stays as it is (table 2 gives it a hundredth of the other rates), the classifier starts from it.
    Modality dropout: half of the samples are shown without their apex picture.
    """
    torch.manual_seed(settings.seed)
    fused = Merau(model.flow, au=module).eval().requires_grad_(False)
    new = nn.ModuleList([fused.project_code, fused.project_units, fused.classify]).requires_grad_(True)
    optimizer = torch.optim.AdamW(new.parameters(), TABLE_2_RATE, weight_decay=1e-2)
    pattern, magnitude = (torch.from_numpy(a) for a in normalise(pairs.flow, pairs.known))
    label = torch.from_numpy(pairs.label)
    for _ in (epochs := trange(FUSION_EPOCHS, desc="fusion", unit="epoch")):
        for rows in torch.randperm(len(label)).split(settings.batch):
            shown = (torch.rand(len(rows), 1) < 0.5).float()
            e, _ = fused(pattern[rows], magnitude[rows], apex[rows], shown)
            step(optimizer, loss := functional.cross_entropy(fused.classify(e), label[rows]))
        epochs.set_postfix(loss=f"{loss.item():.3f}")
    return fused


def mirrored(pattern: Tensor) -> Tensor:
    """Half of the flows (N, 2, G, G), drawn anew at each call, as the mirrored face would show them: u changes sign."""
    flip = torch.rand(len(pattern), 1, 1, 1) < 0.5
    return torch.where(flip, pattern.flip(-1) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1), pattern)
