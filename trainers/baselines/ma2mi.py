"""MA2MI and its network MIACNet: pre-training on macro-expressions by predicting the near future.

"From Macro to Micro: Boosting Micro-Expression Recognition via Pre-training on Macro-expression Videos", 2024. Equation
numbers are the paper's.

MIACNet has two encoders, for the position of facial parts in frame t, and for the action between t and t + delta.
A small diffusion transformer without noise (DiT; Peebles and Xie 2023) predicts the latent of frame t + delta from that
of frame t and the vector of both. Then a linear layer that starts at zero is fine-tuned on (onset, apex).

The paper's autoencoder cannot be had: a small one is trained here. The delta of the paper is missing in its text: it is
uniform in 1..8 frames. The position encoder learns from its own losses alone, as in the paper's best row of table 4.
"""

from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional

from merau.engine.errors import UserError
from merau.engine.validation import check_range
from merau.trainers.baselines.clips import normalize, read_clips
from merau.trainers.baselines.liu import Residual
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.evaluate.protocols import NeedsSamples
from merau.trainers.evaluate.task import Task

LATENT = 4  # channels of the autoencoder's latent
MAX_TURN, MAX_SHIFT = 0.2, 0.1  # of the random transformations of eq. 5: radians, half sides


@dataclass(frozen=True)
class Ma2miSettings:
    """Sizes and steps. The defaults take minutes on one core; PUBLISHED are the paper's.

    Attributes:
        size_px: Side of the frames.
        width: Filters of the encoders' first stage; ResNet18 has 64.
        blocks: Residual blocks of each of four stages; ResNet18 has 2.
        condition: Size of the vector of MIACNet.
        depth: Blocks of the transformer; DiT-B has 12.
        tokens: Width of the transformer; DiT-B has 768.
        steps: Steps of the pre-training, and of the autoencoder's training.
        pairs: Pairs of frames in a step.
        longest: Largest distance delta of two frames.
        rate: Rate of AdamW, in both stages.
        weight_decay: Of the fine-tuning.
        epochs: Of the fine-tuning.
        batch: Of the fine-tuning.
        pre_train: Whether to pre-train at all.
        position: Whether there is a position encoder.
    """

    size_px: int = 48
    width: int = 8
    blocks: int = 1
    condition: int = 64
    depth: int = 2
    tokens: int = 64
    steps: int = 150
    pairs: int = 16
    longest: int = 8
    rate: float = 4e-4
    weight_decay: float = 0.1
    epochs: int = 40
    batch: int = 16
    pre_train: bool = True
    position: bool = True

    def __post_init__(self) -> None:
        names = ("size_px", "width", "blocks", "condition", "depth", "tokens", "steps", "pairs", "longest", "epochs")
        check_range(self, *names, "batch", low=1)
        check_range(self, "rate", above=0)
        check_range(self, "weight_decay", low=0)


PUBLISHED = Ma2miSettings(
    size_px=224, width=64, blocks=2, condition=512, depth=12, tokens=768, steps=40_000, pairs=32, epochs=80
)


class Encoder(nn.Sequential):
    """A ResNet: (n, 1, S, S) -> (n, 8 width, S / 16, S / 16)."""

    def __init__(self, settings: Ma2miSettings) -> None:
        width = settings.width
        layers: list[nn.Module] = [nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(width)]
        layers.append(nn.ReLU())
        before = width
        for stage in range(4):
            for block in range(settings.blocks):
                layers.append(Residual(before, width * 2**stage, 2 if stage and not block else 1))
                before = width * 2**stage
        super().__init__(*layers)


class MiacNet(nn.Module):
    """Frames t and t + delta, each (n, 1, S, S) -> condition (n, condition)."""

    def __init__(self, settings: Ma2miSettings) -> None:
        super().__init__()
        features = 8 * settings.width
        self.action = Encoder(settings)
        self.position = Encoder(settings) if settings.position else None
        both = 2 * features if settings.position else features
        self.combine = nn.Sequential(nn.Conv2d(both, settings.condition, 1), nn.ReLU())

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the condition; the position encoder learns nothing from what follows (table 4)."""
        seen = self.action(second - first)  # eq. 1
        if self.position is not None:
            seen = torch.cat([seen, self.position(first).detach()], 1)
        return self.combine(seen).mean((2, 3))


def distinct_loss(position: Tensor) -> Tensor:
    """Return eq. 2 of features (n, d, h, w): the mean cosine between different places of a face."""
    unit = functional.normalize(position.flatten(2), dim=1)
    cosine = unit.transpose(1, 2) @ unit
    places = cosine.shape[1]
    return (cosine.sum((1, 2)) - places).mean() / (places * max(places - 1, 1))


def cross_face_loss(position: Tensor) -> Tensor:
    """Return eqs. 3-4 of features (n, d, h, w): each place of a face has its own match in the next face.

    Eq. 4 asks for a unique match: it is the assignment with the largest sum of cosines.
    """
    unit = functional.normalize(position.flatten(2), dim=1)
    cosine = unit.transpose(1, 2) @ unit.roll(1, 0)
    matches = [linear_sum_assignment(-each)[1] for each in cosine.detach().numpy()]
    match = torch.from_numpy(np.stack(matches))[..., None]
    return 1 - cosine.gather(2, match).mean()


def equivariance_loss(encoder: nn.Module, frame: Tensor, position: Tensor) -> Tensor:
    """Return eq. 5: the features of a turned and shifted frame are the turned and shifted features."""
    angle, shift = (bound * (2 * torch.rand(len(frame)) - 1) for bound in (MAX_TURN, MAX_SHIFT))
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack([torch.stack([cos, -sin, shift], 1), torch.stack([sin, cos, shift.flip(0)], 1)], 1)

    def move(image: Tensor) -> Tensor:
        grid = functional.affine_grid(matrix, list(image.shape), align_corners=False)
        return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)

    return (encoder(move(frame)) - move(position)).pow(2).mean().sqrt()


class Autoencoder(nn.Module):
    """Frames (n, 1, S, S) <-> latents (n, LATENT, S / 8, S / 8)."""

    def __init__(self) -> None:
        super().__init__()
        down, up = list[nn.Module](), list[nn.Module]()
        for before, after in ((1, 16), (16, 32), (32, LATENT)):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        for before, after in ((LATENT, 32), (32, 16), (16, 1)):
            up += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        self.encode, self.decode = nn.Sequential(*down[:-1]), nn.Sequential(*up[:-1])

    def forward(self, frame: Tensor) -> Tensor:
        """Return the frame as the latent keeps it."""
        return self.decode(self.encode(frame))


class DitBlock(nn.Module):
    """A transformer block whose norms are scaled and shifted by the condition, at first not at all (adaLN-Zero)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.ModuleList([nn.LayerNorm(width, elementwise_affine=False) for _ in range(2)])
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.modulate = nn.Linear(condition, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return tokens (n, P, width) after the block."""
        scale, shift, gate, scale2, shift2, gate2 = self.modulate(condition)[:, None].chunk(6, -1)
        seen = self.norm[0](x) * (1 + scale) + shift
        x = x + gate * self.attention(seen, seen, seen, need_weights=False)[0]
        return x + gate2 * self.mix(self.norm[1](x) * (1 + scale2) + shift2)


class Dit(nn.Module):
    """The latent of frame t and the condition -> the latent of frame t + delta (eq. 8)."""

    def __init__(self, settings: Ma2miSettings) -> None:
        super().__init__()
        places = (settings.size_px // 8) ** 2
        self.enter = nn.Conv2d(LATENT, settings.tokens, 1)
        self.place = nn.Parameter(0.02 * torch.randn(places, settings.tokens))
        self.blocks = nn.ModuleList([DitBlock(settings.tokens, settings.condition) for _ in range(settings.depth)])
        self.leave = nn.Linear(settings.tokens, LATENT)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        """Return the predicted latent; the change is predicted, so that none is the start."""
        tokens = self.enter(latent).flatten(2).transpose(1, 2) + self.place
        for block in self.blocks:
            tokens = block(tokens, condition)
        return latent + self.leave(tokens).transpose(1, 2).view_as(latent)


def pre_train(clips: Tensor, settings: Ma2miSettings, seed: int) -> MiacNet:
    """Return MIACNet after the pre-training on clips (N, T, S, S), without any label (eq. 10)."""
    torch.manual_seed(seed)
    net, autoencoder, dit = MiacNet(settings), Autoencoder(), Dit(settings)
    optimizer = torch.optim.AdamW(autoencoder.parameters(), 3e-3)
    for _ in range(settings.steps):
        frame = draw_pairs(clips, settings)[0]
        descend(optimizer, functional.l1_loss(autoencoder(frame), frame))
    autoencoder.requires_grad_(False)
    optimizer = torch.optim.AdamW([*net.parameters(), *dit.parameters()], settings.rate)
    for _ in range(settings.steps):
        first, second = draw_pairs(clips, settings)
        before, after = autoencoder.encode(first), autoencoder.encode(second)  # eq. 7
        loss = functional.l1_loss(dit(before, net(first, second)), after)  # eq. 9
        descend(optimizer, loss + position_loss(net, first))
    return net


def position_loss(net: MiacNet, frame: Tensor) -> Tensor:
    """Return eq. 6, the sum of eqs. 2, 3 and 5; 0 without a position encoder."""
    if net.position is None:
        return frame.new_zeros(())
    position = net.position(frame)
    return distinct_loss(position) + cross_face_loss(position) + equivariance_loss(net.position, frame, position)


def draw_pairs(clips: Tensor, settings: Ma2miSettings) -> tuple[Tensor, Tensor]:
    """Draw frames t and t + delta of random clips (N, T, S, S), each (pairs, 1, S, S)."""
    which, length = torch.randint(len(clips), (settings.pairs,)), clips.shape[1]
    delta = torch.randint(1, min(settings.longest, length - 1) + 1, (settings.pairs,))
    at = (torch.rand(settings.pairs) * (length - delta)).long()
    return clips[which, at][:, None], clips[which, at + delta][:, None]


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@dataclass
class Ma2mi:
    """MA2MI as the protocols call it (`protocols.Model`).

    Attributes:
        task: The task.
        clips: (N, T, S, S) of the samples; the first frame is the onset, the last the apex.
        macro: (M, T, S, S) of macro-expressions, or none.
        settings: Sizes and steps.
        trained: Networks by what they were pre-trained on.
    """

    task: Task
    clips: Tensor
    macro: Tensor
    settings: Ma2miSettings
    trained: dict[bytes, MiacNet] = field(default_factory=dict)

    def __call__(
        self, train: np.ndarray, test: np.ndarray, *, seed: int, source: np.ndarray | None = None
    ) -> np.ndarray:
        """See `protocols.Model`. Without a source, the pre-training sees macro-expressions alone."""
        if not len(train):
            raise NeedsSamples("MA2MI must be fine-tuned on samples first.")
        present, label = np.unique(self.task.label[train], return_inverse=True)
        net, head = self.fit(train, label, seed, source if source is not None else train[:0])
        probabilities = np.zeros((len(test), len(self.task.classes)))
        with torch.no_grad():
            probabilities[:, present] = head(self.condition(net.eval(), torch.from_numpy(test))).softmax(1).numpy()
        return probabilities

    def fit(self, train: np.ndarray, label: np.ndarray, seed: int, source: np.ndarray) -> tuple[MiacNet, nn.Linear]:
        """Return network and classifier, fine-tuned on the rows `train` with their `label` (n,) in 0..classes-1."""
        net = deepcopy(self.start(source))
        head = nn.Linear(self.settings.condition, label.max() + 1)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.fine_tune(net, head, torch.from_numpy(train), torch.from_numpy(label), seed)
        return net, head

    def start(self, source: np.ndarray) -> MiacNet:
        """Return MIACNet, pre-trained on the macro-expressions and the rows `source`."""
        key = source.tobytes()
        if key not in self.trained:
            clips = torch.cat([self.macro, self.clips[torch.from_numpy(source)]])
            torch.manual_seed(0)
            has_any = self.settings.pre_train and len(clips)
            self.trained[key] = pre_train(clips, self.settings, 0) if has_any else MiacNet(self.settings)
        return self.trained[key]

    def fine_tune(self, net: MiacNet, head: nn.Linear, rows: Tensor, label: Tensor, seed: int) -> None:
        """Train net and head in place, with half of the samples mirrored."""
        torch.manual_seed(seed)
        parameters = [*net.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(parameters, self.settings.rate, weight_decay=self.settings.weight_decay)
        net.train()
        for _ in range(self.settings.epochs):
            for some in torch.randperm(len(rows)).split(self.settings.batch):
                if len(some) > 1:  # batch norm needs two
                    logits = head(self.condition(net, rows[some], mirror=bool(torch.rand(()) < 0.5)))
                    descend(optimizer, functional.cross_entropy(logits, label[some]))

    def condition(self, net: MiacNet, rows: Tensor, *, mirror: bool = False) -> Tensor:
        """Return the condition of onset and apex of the samples `rows`."""
        onset, apex = self.clips[rows, 0][:, None], self.clips[rows, -1][:, None]
        return net(onset.flip(-1), apex.flip(-1)) if mirror else net(onset, apex)


def make_model(name: str, settings: Ma2miSettings, task: Task, macro: FlowSet | None) -> Ma2mi:
    """Return MA2MI on the frames of `task`.

    Raises:
        UserError: The set has no frames, or there is nothing to pre-train on.
    """
    if settings.pre_train and macro is None:
        raise UserError(
            f"{name} is pre-trained on macro-expressions: give a flow set of them with --macro, or run "
            "ma2mi-without-pretraining."
        )
    clips = normalized_clips(task.data, name, settings)
    others = clips[:0] if macro is None else normalized_clips(macro, name, settings)
    return Ma2mi(task, clips, others, settings)


def normalized_clips(data: FlowSet, name: str, settings: Ma2miSettings) -> Tensor:
    """Return the clips of `data`, each of mean 0 and spread 1, (N, 8, S, S) float32."""
    clips = read_clips(data, name, frames=8, size_px=settings.size_px)
    return normalize(torch.from_numpy(clips))


VARIANTS: dict[str, Ma2miSettings] = {
    "ma2mi": Ma2miSettings(),
    "ma2mi-without-pretraining": Ma2miSettings(pre_train=False),
    "ma2mi-without-position": Ma2miSettings(position=False),
    "ma2mi-published": PUBLISHED,
}
