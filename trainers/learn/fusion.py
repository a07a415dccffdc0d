"""Training of the flow branch, and stage 3 of MERAU, the fusion.

The flow branch learns from drawn flow; the fusion with the apex branch is eqs. 3-10.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from merau.engine.errors import UserError
from merau.engine.preprocess import UNKNOWN_MAGNITUDE, split_pattern_and_magnitude
from merau.engine.validation import check_range
from merau.trainers.data.flow_set import UNLABELLED
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import Flows, concatenate
from merau.trainers.learn.loop import Stage, fit, random_batches
from merau.trainers.learn.settings import FusionSettings
from merau.trainers.models.au import AuModule
from merau.trainers.models.merau import DctNet, FlowEncoder, FlowModule, FlowNet, Merau, NothingNet, mirror

# For an apex branch beside a finished flow branch, which table 2 gives a hundredth of the other rates: it is frozen.
FROZEN_FLOW = FusionSettings(encoder_rate=0, batch=256, augment=False, unknown=0)
# Bounds of random rotation, resizing and cropping.
MAX_TURN = 0.14  # radians
MAX_RESIZE = 0.07
MAX_SHIFT = 0.08  # half crop widths
NOTHING_EPOCHS = 3  # for each of the members', as the net for none is small


@dataclass(frozen=True)
class FlowTraining:
    """How the flow branch is trained.

    Attributes:
        samples: Synthetic flow fields to draw for each member of the ensemble.
        epochs: Passes over the data.
        batch: Samples in a batch.
        nets: CNNs in the ensemble.
        perceptrons: Perceptrons on low frequencies beside them.
        rate: Highest learning rate of the cycle.
        label_smoothing: Label smoothing of the class loss.
        au_weight: Weight of the Action Unit loss.
        unknown: Share of samples whose magnitude is hidden from what tells expressions from none.
        seed: Seed of all random draws.
    """

    samples: int = 56_000
    epochs: int = 3
    batch: int = 256
    nets: int = 3
    perceptrons: int = 2
    rate: float = 2e-3
    label_smoothing: float = 0.1
    au_weight: float = 1.0
    unknown: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, "samples", "epochs", "batch", "nets", low=1)
        check_range(self, "perceptrons", low=0)


def train(
    data: Callable[[int], Flows],
    nothing: Flows,
    settings: FlowTraining,
    *,
    classes: int = 4,
    evidence: Sequence[Sequence[int]] = (),
    start: FlowModule | None = None,
) -> Merau:
    """Train a model without apex branch.

    It is an ensemble whose members are trained one by one on expressions, and a net that learns from all samples of
    known magnitude which of them show none. Each draws from a seed of its own.

    Args:
        data: Returns what the member of a number is trained on.
        nothing: What the net for none is trained on, where the magnitude is known.
        settings: How to train.
        classes: Number of classes, "no expression" among them.
        evidence: For each class but the last, the Action Units that speak for it; none where the classes are others.
        start: Flow branch whose members are trained further; class heads of another size are replaced, and what tells
            expressions from none stays as it is.
    """
    flow = deepcopy(start) if start else new_flow_module(settings, classes, evidence)
    if start and len(evidence) != len(start.evidence if start.evidence is not None else ()):
        flow.evidence = evidence_indices(evidence)
    if not start or flow.nothing is None:
        flow.nothing = flow.nothing or NothingNet()
        torch.manual_seed(settings.seed)
        train_nothing(flow.nothing, nothing, settings, none=classes - 1)
    for number, member in enumerate(flow.members):
        torch.manual_seed(member_seed(settings, number))
        replace_classes(member, classes - 1)
        train_member(member, data(number), settings, title=f"encoder {number + 1} of {len(flow.members)}")
    model = Merau(flow)
    model.eval()
    return model


def new_flow_module(settings: FlowTraining, classes: int, evidence: Sequence[Sequence[int]]) -> FlowModule:
    """Return an untrained ensemble of the size that `settings` name, perceptrons first."""
    members: list[FlowEncoder] = []
    for number in range(settings.perceptrons + settings.nets):
        torch.manual_seed(member_seed(settings, number))
        members.append((DctNet if number < settings.perceptrons else FlowNet)(classes=classes - 1))
    torch.manual_seed(settings.seed)
    return FlowModule(members, nothing=NothingNet(), evidence=evidence_indices(evidence))


def member_seed(settings: FlowTraining, number: int) -> int:
    """Return the seed of all draws of one member of the ensemble."""
    return 1000 * settings.seed + number + 1


def evidence_indices(evidence: Sequence[Sequence[int]]) -> Tensor | None:
    """Return the indices (E, U) of the Action Units in `evidence`, shorter rows filled up with their last one."""
    if not evidence:
        return None
    width = max(map(len, evidence))
    return torch.tensor([[AUS.index(row[min(i, len(row) - 1)]) for i in range(width)] for row in evidence])


def replace_classes(member: FlowEncoder, classes: int) -> None:
    """Give `member` an untrained class head unless it has one of `classes` classes."""
    if member.classify.out_features != classes:
        member.classify = nn.Linear(member.classify.in_features, classes)


def with_replay(shots: Flows, data: Flows, share: float = 0.1) -> Flows:
    """Add `shots` to `data`, repeated until they are `share` of it.

    Training on both does not forget `data`.
    """
    times = max(1, round(share * len(data.label) / len(shots.label)))
    return concatenate([data, *[shots] * times])


def train_member(member: FlowEncoder, data: Flows, settings: FlowTraining, *, title: str) -> None:
    """Train one flow encoder in place on the expressions in `data`.

    The loss is cross-entropy on the classes (eq. 8) and binary cross-entropy on the Action Units (eq. 1). A sample
    without a class teaches Action Units only.
    """
    shown = data.label < member.classify.out_features
    pattern, magnitude = (torch.from_numpy(a) for a in split_pattern_and_magnitude(data.flow[shown], data.known[shown]))
    pattern = pattern.contiguous(memory_format=torch.channels_last)
    label, aus = torch.from_numpy(data.label[shown]), torch.from_numpy(data.aus[shown])
    weight = positive_weight(aus)

    def loss(rows: Tensor) -> Tensor:
        embedding = member(mirror_half(pattern[rows]), magnitude[rows])
        expression = functional.cross_entropy(
            member.classify(embedding),
            label[rows],
            label_smoothing=settings.label_smoothing,
            ignore_index=UNLABELLED,
            reduction="sum",
        ) / (label[rows] != UNLABELLED).sum().clamp(min=1)
        return expression + settings.au_weight * unit_loss(member.aus(embedding), aus[rows], weight)

    member.to(memory_format=torch.channels_last)  # half as fast again on a CPU
    run_cycle(member, loss, len(label), settings, title=title)


def train_nothing(net: NothingNet, data: Flows, settings: FlowTraining, *, none: int) -> None:
    """Train in place what tells expressions from none, the label `none`, where the magnitude of `data` is known."""
    used = data.known & (data.label != UNLABELLED)
    pattern, magnitude = (torch.from_numpy(a) for a in split_pattern_and_magnitude(data.flow[used]))
    target = torch.from_numpy(data.label[used] == none).float()

    def loss(rows: Tensor) -> Tensor:
        hidden = torch.rand(len(rows), 1) < settings.unknown
        given = net(mirror_half(pattern[rows]), magnitude[rows].masked_fill(hidden, UNKNOWN_MAGNITUDE))
        return functional.binary_cross_entropy_with_logits(net.classify(given)[:, 0], target[rows])

    longer = replace(settings, epochs=NOTHING_EPOCHS * settings.epochs)
    run_cycle(net, loss, len(target), longer, title="expression or none")


def run_cycle(
    net: nn.Module, loss: Callable[[Tensor], Tensor], samples: int, settings: FlowTraining, *, title: str
) -> None:
    """Train `net` in place with AdamW and a one-cycle schedule; `loss` gives that of some rows of `samples`."""
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    steps = settings.epochs * (samples // settings.batch or 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=steps)
    with tqdm(total=steps, desc=title, unit="step", smoothing=0.05) as bar:
        for _ in range(settings.epochs):
            for rows in torch.randperm(samples).split(settings.batch)[: samples // settings.batch or 1]:
                value = loss(rows)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                schedule.step()
                bar.update()
            bar.set_postfix(loss=f"{value.item():.3f}")


def positive_weight(aus: Tensor) -> Tensor:
    """Return (A,), the loss weight of each unit's presence.

    The rarer a unit is in `aus` (N, A), the higher its weight.
    """
    coded = ~aus.isnan().any(1)
    shown = aus[coded].mean(0) if coded.any() else torch.full(aus.shape[1:], 0.5)
    return (1 / shown.clamp(min=1e-3) - 1).sqrt().clamp(max=4)


def unit_loss(logits: Tensor, aus: Tensor, weight: Tensor) -> Tensor:
    """Eq.

    1 over the samples whose Action Units `aus` (n, A) were coded; the others hold NaN.
    """
    coded = ~aus.isnan().any(1, keepdim=True)
    each = functional.binary_cross_entropy_with_logits(logits, aus.nan_to_num(), pos_weight=weight, reduction="none")
    return (each * coded).sum() / (coded.sum() * aus.shape[1]).clamp(min=1)


def add_apex(model: Merau, module: AuModule, pairs: Flows, apex: Tensor, *, seed: int = 0) -> Merau:
    """Return `model` with an apex branch on the frozen `module`.

    `pairs` holds the measured flow of the images `apex`. The flow branch stays as it is, the classifier starts from
    the flow's, and half of the samples are trained on without their image.
    """
    torch.manual_seed(seed)
    fused = Merau(model.flow, au=module)
    fuse(fused, pairs, apex, FROZEN_FLOW, seed=seed)
    return fused


def fuse(
    model: Merau,
    data: Flows,
    apex: Tensor | None,
    settings: FusionSettings,
    *,
    seed: int = 0,
    folder: Path | None = None,
    held_out: tuple[Flows, Tensor | None] | None = None,
) -> None:
    """Stage 3, in place.

    Args:
        model: The model to train.
        data: Flow, labels and Action Units.
        apex: With an apex branch, images (N, 1, S, S) in 0..1.
        settings: The settings of the stage.
        seed: Seed of all random draws.
        folder: Where the checkpoint lies, if one is kept.
        held_out: Samples as `data` and `apex` whose loss is a curve beside that of the training.
    """
    torch.manual_seed(seed)
    parts = fusion_inputs(data, apex)
    label = parts[3]

    def batches() -> list[Tensor]:
        if settings.classifier == "prototypes":
            return [draw_episode(label, settings) for _ in range(settings.episodes)]
        return random_batches(len(label), settings.batch)

    def take(rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(part[rows] for part in parts)

    fusion = Fusion(model, settings, positive_weight(parts[4]))
    unseen = fusion_inputs(*held_out) if held_out else None
    validate = partial(mean_loss, fusion, unseen) if unseen and settings.classifier != "prototypes" else None
    stage = Stage("fusion", fusion, make_optimizer(model, settings), batches, take, settings.epochs, validate)
    fit(stage, seed=seed, folder=folder)
    model.eval()


def fusion_inputs(data: Flows, apex: Tensor | None) -> tuple[Tensor, ...]:
    """Return pattern, magnitude, apex images (N, 0 without any), labels and Action Units of N samples."""
    pattern, magnitude = (torch.from_numpy(a) for a in split_pattern_and_magnitude(data.flow, data.known))
    image = torch.zeros(len(data.label), 0) if apex is None else apex
    return pattern, magnitude, image, torch.from_numpy(data.label), torch.from_numpy(data.aus)


def mean_loss(fusion: nn.Module, parts: tuple[Tensor, ...]) -> float:
    """Return the loss of `fusion_inputs` on the device where `fusion` is."""
    device = next(fusion.parameters()).device
    return float(fusion(*(part.to(device) for part in parts)))


def make_optimizer(model: Merau, settings: FusionSettings) -> torch.optim.Optimizer:
    """Return AdamW with the layers at their rates of table 2.

    All other layers are frozen.
    """
    model.requires_grad_(False)
    members = model.flow.members if settings.encoder_rate else []
    encoders = [getattr(member, name) for member in members for name in member.ENCODER_LAYERS]
    projections = [member.project for member in members]
    projections += [model.project_code, model.project_units] if model.au else []
    heads = [model.classify, *(member.aus for member in members)]
    groups = []
    for layers, rate in (
        (encoders, settings.encoder_rate),
        (projections, settings.projection_rate),
        (heads, settings.classifier_rate),
    ):
        weights = list(nn.ModuleList(layers).requires_grad_(True).parameters())
        if weights:
            groups.append({"params": weights, "lr": rate})
    return torch.optim.AdamW(groups, weight_decay=1e-2)


def draw_episode(label: Tensor, settings: FusionSettings) -> Tensor:
    """Draw the rows of an episode (algorithm 1).

    Class by class, they are `shots`, then up to `queries`.

    Raises UserError where a class has too few samples.
    """
    members = [(label == c).nonzero().flatten() for c in label.unique()]
    fewest = min(map(len, members))
    queries = min(settings.queries, fewest - settings.shots)
    if queries < 1:
        raise UserError(f"FusionSettings.shots is {settings.shots}, and a class has {fewest} samples: choose fewer.")
    return torch.cat([rows[torch.randperm(len(rows))[: settings.shots + queries]] for rows in members])


class Fusion(nn.Module):
    """The loss of stage 3.

    It is eq. 8 or 10 on the class, and eq. 1 on the Action Units predicted from the flow.
    """

    def __init__(self, model: Merau, settings: FusionSettings, positive_weight: Tensor) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.register_buffer("positive_weight", positive_weight)

    def train(self, mode: bool = True) -> "Fusion":
        """Set the training mode; a frozen flow branch stays in its evaluation mode."""
        super().train(mode)
        if not self.settings.encoder_rate:
            self.model.flow.eval()
        return self

    def forward(self, pattern: Tensor, magnitude: Tensor, apex: Tensor, label: Tensor, aus: Tensor) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            pattern: Flow (n, 2, G, G), as from `split_pattern_and_magnitude`.
            magnitude: (n, 1), from there too.
            apex: Images (n, 1, S, S); (n, 0) without an apex branch.
            label: (n,) class indices.
            aus: (n, A) of 0 or 1, NaN where not coded.
        """
        if self.settings.augment:
            pattern, apex = augment(pattern, apex)
        hidden = torch.rand_like(magnitude) < self.settings.unknown
        magnitude = magnitude.masked_fill(hidden, UNKNOWN_MAGNITUDE)
        has_apex = (torch.rand_like(magnitude) >= self.settings.apex_dropout).float()
        e, units = self.model(pattern, magnitude, apex, has_apex)
        if self.settings.classifier == "prototypes":
            expression = prototype_loss(e, len(label.unique()), self.settings.shots)
        else:
            expression = functional.cross_entropy(self.model.classify(e), label)
        return expression + self.settings.au_weight * unit_loss(units, aus, self.positive_weight)


def prototype_loss(e: Tensor, classes: int, shots: int) -> Tensor:
    """Eq.

    10 of an episode's embeddings (n, d), class by class, the first `shots` of each as its shots.

    The paper's printed sign is a slip: the softmax is over negative squared distances (Snell et al., Prototypical
    Networks for Few-Shot Learning, 2017).
    """
    by_class = e.view(classes, -1, e.shape[1])
    prototypes, queries = by_class[:, :shots].mean(1), by_class[:, shots:].flatten(0, 1)
    truth = torch.arange(classes, device=e.device).repeat_interleave(by_class.shape[1] - shots)
    return functional.cross_entropy(-(torch.cdist(queries, prototypes) ** 2), truth)


def augment(pattern: Tensor, apex: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror, turn, resize and move flows and images alike, at random.

    Flows are (n, 2, G, G), images (n, 1, S, S) or (n, 0).
    """
    n, device = len(pattern), pattern.device

    def uniform(bound: float) -> Tensor:
        return bound * (2 * torch.rand(n, device=device) - 1)

    angle, size = uniform(MAX_TURN), 1 + uniform(MAX_RESIZE)
    flip = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos * flip, -sin], 1), torch.stack([sin * flip, cos], 1)], 1)  # output -> input
    shift = torch.stack([uniform(MAX_SHIFT), uniform(MAX_SHIFT)], 1)
    matrix = torch.cat([size.view(n, 1, 1) * turn, shift[:, :, None]], 2)

    def move(image: Tensor) -> Tensor:
        grid = functional.affine_grid(matrix, list(image.shape), align_corners=False)
        return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)

    turned_back = torch.einsum("nij,nihw->njhw", turn, move(pattern))  # a rotation's inverse is its transpose
    return turned_back, move(apex) if apex.dim() == 4 else apex


def mirror_half(pattern: Tensor) -> Tensor:
    """Mirror a random half of the flows (N, 2, G, G) from left to right."""
    flip = torch.rand(len(pattern), 1, 1, 1) < 0.5
    return torch.where(flip, mirror(pattern), pattern)
