"""Training MERAU: the flow branch on drawn flow, and stage 3, the fusion with the apex branch (eqs. 3-10)."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from merau.engine.errors import UserError
from merau.engine.preprocess import UNKNOWN_MAGNITUDE, split_pattern_and_magnitude
from merau.trainers.data.synth.flow_fields import Flows, concatenate
from merau.trainers.learn.loop import Stage, fit, random_batches
from merau.trainers.learn.settings import FusionSettings
from merau.trainers.models.au import AuModule
from merau.trainers.models.merau import FlowEncoder, FlowModule, FlowNet, LinearNet, Merau

# Of the apex branch beside a flow branch that stays as it is: in table 2 that has a hundredth of the other rates.
BESIDE_THE_FLOW = FusionSettings(encoder_rate=0, batch=256, augment=False, unknown=0)
TURN = 0.14  # radians; with SIZE and SHIFT the bounds of random rotation, resizing and cropping
SIZE = 0.07
SHIFT = 0.08  # half crop widths


@dataclass(frozen=True)
class FlowTraining:
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
                raise UserError(f"FlowTraining.{name} is {getattr(self, name)}: choose 1 or more.")


def train(data: Flows, settings: FlowTraining, *, classes: int = 4, start: FlowModule | None = None) -> Merau:
    """A model without apex branch: several nets, each trained alone, and a linear one.

    With `start` its judges learn on; where they answered other classes, their class heads begin anew.
    """
    torch.manual_seed(settings.seed)
    members: list[FlowEncoder] = [FlowNet(classes=classes) for _ in range(settings.nets)]
    members.append(LinearNet(classes=classes))
    if start:
        members = [with_classes(member, classes) for member in start.members]
    for number, member in enumerate(members, 1):
        train_member(member, data, settings, title=f"encoder {number} of {len(members)}")
    return Merau(FlowModule(members)).eval()


def with_classes(member: nn.Module, classes: int) -> FlowEncoder:
    """A copy of `member`, its class head a new one unless it has as many classes already."""
    copy: FlowEncoder = deepcopy(member)
    if copy.classify.out_features != classes:
        copy.classify = nn.Linear(copy.classify.in_features, classes)
    return copy


def with_replay(shots: Flows, data: Flows, share: float = 0.1) -> Flows:
    """`data` with the few `shots` among it, repeated until they are `share` of it: what was known is not forgotten."""
    times = max(1, round(share * len(data.label) / len(shots.label)))
    return concatenate([data, *[shots] * times])


def train_member(member: FlowEncoder, data: Flows, settings: FlowTraining, *, title: str) -> None:
    """AdamW with one cycle; cross-entropy on the classes (eq. 8), binary cross-entropy on the Action Units (eq. 1)."""
    pattern, magnitude = (torch.from_numpy(a) for a in split_pattern_and_magnitude(data.flow, data.known))
    label, aus = torch.from_numpy(data.label), torch.from_numpy(data.aus)
    rarity = positive_weight(aus)
    member.train().to(memory_format=torch.channels_last)  # half as fast again on a CPU
    optimizer = torch.optim.AdamW(member.parameters(), weight_decay=1e-2)
    steps = settings.epochs * -(-len(label) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=steps)
    with tqdm(total=steps, desc=title, unit="step", smoothing=0.05) as bar:
        for _ in range(settings.epochs):
            for rows in torch.randperm(len(label)).split(settings.batch):
                shown = mirror_half(pattern[rows]).contiguous(memory_format=torch.channels_last)
                hidden = torch.rand(len(rows), 1) < settings.unknown
                embedding = member(shown, magnitude[rows].masked_fill(hidden, UNKNOWN_MAGNITUDE))
                expression = functional.cross_entropy(
                    member.classify(embedding), label[rows], label_smoothing=settings.label_smoothing
                )
                units = unit_loss(member.aus(embedding), aus[rows], rarity)
                loss = expression + settings.au_weight * units
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
            bar.set_postfix(loss=f"{loss.item():.3f}")


def positive_weight(aus: Tensor) -> Tensor:
    """Weight (A,) of a unit's presence in `aus` (N, A), where it is coded: how often a table shows it is no fact."""
    shown = aus[~aus.isnan().any(1)].mean(0) if (~aus.isnan().any(1)).any() else torch.full(aus.shape[1:], 0.5)
    return (1 / shown.clamp(min=1e-3) - 1).sqrt().clamp(max=4)


def unit_loss(logits: Tensor, aus: Tensor, rarity: Tensor) -> Tensor:
    """Eq. 1 over the samples whose Action Units `aus` (n, A) were coded; the others hold NaN."""
    coded = ~aus.isnan().any(1, keepdim=True)
    each = functional.binary_cross_entropy_with_logits(logits, aus.nan_to_num(), pos_weight=rarity, reduction="none")
    return (each * coded).sum() / (coded.sum() * aus.shape[1]).clamp(min=1)


def add_apex(model: Merau, module: AuModule, pairs: Flows, apex: Tensor, *, seed: int = 0) -> Merau:
    """`model` with an apex branch on the frozen `module`; `pairs` holds the measured flow of the pictures `apex`.

    The flow branch stays as it is, the classifier starts from it, and half of the samples are shown without picture.
    """
    torch.manual_seed(seed)
    fused = Merau(model.flow, au=module)
    fuse(fused, pairs, apex, BESIDE_THE_FLOW, seed=seed)
    return fused


def fuse(
    model: Merau,
    data: Flows,
    apex: Tensor | None,
    settings: FusionSettings,
    *,
    seed: int = 0,
    folder: Path | None = None,
) -> None:
    """Stage 3, in place, on the flow of `data` and the pictures `apex` (N, 1, S, S) in 0..1, if the model sees them."""
    torch.manual_seed(seed)
    pattern, magnitude = (torch.from_numpy(a) for a in split_pattern_and_magnitude(data.flow, data.known))
    label, aus = torch.from_numpy(data.label), torch.from_numpy(data.aus)
    picture = torch.zeros(len(label), 0) if apex is None else apex

    def batches() -> list[Tensor]:
        if settings.classifier == "prototypes":
            return [draw_episode(label, settings) for _ in range(settings.episodes)]
        return random_batches(len(label), settings.batch)

    def take(rows: Tensor) -> tuple[Tensor, ...]:
        return pattern[rows], magnitude[rows], picture[rows], label[rows], aus[rows]

    fusion = Fusion(model, settings, positive_weight(aus))
    fit(
        Stage("fusion", fusion, optimizer_of(model, settings), batches, take, settings.epochs), seed=seed, folder=folder
    )
    model.eval()


def optimizer_of(model: Merau, settings: FusionSettings) -> torch.optim.Optimizer:
    """The layers by their rates in table 2; everything else is frozen."""
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
    """Rows of one episode (algorithm 1), class by class: `shots` to show, then up to `queries` to ask.

    Raises UserError where a class has no sample to ask.
    """
    members = [(label == c).nonzero().flatten() for c in label.unique()]
    queries = min(settings.queries, min(map(len, members)) - settings.shots)
    if queries < 1:
        raise UserError(
            f"FusionSettings.shots is {settings.shots}, and a class has {min(map(len, members))} samples: choose fewer."
        )
    return torch.cat([rows[torch.randperm(len(rows))[: settings.shots + queries]] for rows in members])


class Fusion(nn.Module):
    """The loss of stage 3 for a batch: eq. 8 or 10 on the class, and eq. 1 on the Action Units told from the flow."""

    def __init__(self, model: Merau, settings: FusionSettings, rarity: Tensor) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.register_buffer("rarity", rarity)

    def train(self, mode: bool = True) -> "Fusion":
        super().train(mode)
        if not self.settings.encoder_rate:
            self.model.flow.eval()
        return self

    def forward(self, pattern: Tensor, magnitude: Tensor, apex: Tensor, label: Tensor, aus: Tensor) -> Tensor:
        """`pattern`, `magnitude` as from `normalise`; `apex` (n, 1, S, S), or (n, 0) for a model that sees none."""
        if self.settings.augment:
            pattern, apex = augment(pattern, apex)
        hidden = torch.rand_like(magnitude) < self.settings.unknown
        magnitude = magnitude.masked_fill(hidden, UNKNOWN_MAGNITUDE)
        shown = (torch.rand_like(magnitude) >= self.settings.apex_dropout).float()
        e, units = self.model(pattern, magnitude, apex, shown)
        if self.settings.classifier == "prototypes":
            expression = prototype_loss(e, len(label.unique()), self.settings.shots)
        else:
            expression = functional.cross_entropy(self.model.classify(e), label)
        return expression + self.settings.au_weight * unit_loss(units, aus, self.rarity)


def prototype_loss(e: Tensor, classes: int, shots: int) -> Tensor:
    """Eq. 10 of an episode's embeddings (n, d), class by class, the first `shots` of each to show. The printed sign is
    a slip: the softmax is over negative squared distances (Snell et al. 2017).
    """
    by_class = e.view(classes, -1, e.shape[1])
    prototypes, asked = by_class[:, :shots].mean(1), by_class[:, shots:].flatten(0, 1)
    truth = torch.arange(classes, device=e.device).repeat_interleave(by_class.shape[1] - shots)
    return functional.cross_entropy(-(torch.cdist(asked, prototypes) ** 2), truth)


def augment(pattern: Tensor, apex: Tensor) -> tuple[Tensor, Tensor]:
    """Flows (n, 2, G, G) and pictures (n, 1, S, S) or (n, 0), mirrored, turned, resized and moved at random alike."""
    n, device = len(pattern), pattern.device

    def uniform(bound: float) -> Tensor:
        return bound * (2 * torch.rand(n, device=device) - 1)

    angle, size, flip = uniform(TURN), 1 + uniform(SIZE), torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos * flip, -sin], 1), torch.stack([sin * flip, cos], 1)], 1)  # output -> input
    matrix = torch.cat([size.view(n, 1, 1) * turn, torch.stack([uniform(SHIFT), uniform(SHIFT)], 1)[:, :, None]], 2)

    def moved(image: Tensor) -> Tensor:
        grid = functional.affine_grid(matrix, list(image.shape), align_corners=False)
        return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)

    turned_back = torch.einsum("nij,nihw->njhw", turn, moved(pattern))  # its transpose is its inverse
    return turned_back, moved(apex) if apex.dim() == 4 else apex


def mirror_half(pattern: Tensor) -> Tensor:
    """Half of the flows (N, 2, G, G), drawn anew at each call, as the mirrored face would show them: u changes sign."""
    flip = torch.rand(len(pattern), 1, 1, 1) < 0.5
    return torch.where(flip, pattern.flip(-1) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1), pattern)
