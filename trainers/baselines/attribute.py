"""Attribute embedding and cross-modal contrast, on the frames and flow of a clip.

Yanxin Song, Jianzong Wang, Tianbo Wu, Zhangcheng Huang and Jing Xiao, "Micro-Expression Recognition Based on Attribute
Information Embedding and Cross-modal Contrastive Learning", 2022. Equation numbers are the paper's.

Two 3-D ResNets see the grey frames and their flow (table I); in training a text branch reads the FACS sentence of the
sample's Action Units (table II), and a contrastive loss draws the video to its own sentence. The text is not used for a
prediction. Eq. 4 has no temperature: here it is a setting, 1 by default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from merau.engine.clip import clip_flow
from merau.engine.errors import UserError
from merau.engine.validation import check_choice, check_range
from merau.trainers.baselines.clips import normalize, read_clips
from merau.trainers.baselines.network import Baseline, Batch, Network, Training
from merau.trainers.baselines.text_encoder import BertTextEncoder, SmallTextEncoder
from merau.trainers.data.facs_sentences import describe_units
from merau.trainers.evaluate.task import Task

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # table I
STREAMS = ("both", "frames", "flow")


@dataclass(frozen=True)
class AttributeSettings:
    """The network and its losses. The defaults take minutes on one core; PUBLISHED are the paper's.

    Attributes:
        depth: Layers of the 3-D ResNets: 10, 18 or 34.
        width: Filters of the first layer; the paper has 64.
        size_px: Side of the frames; the paper has 112.
        frames: Frames of a clip, by TIM.
        features: Features of each stream.
        contrast: Weight alpha of the contrastive loss (eq. 8); 0 leaves it out.
        temperature: Divisor of the cosine in eq. 4.
        text: Whether there is a text branch.
        streams: Both, frames alone or flow alone.
        bert: Folder of a local BERT; None for a small encoder trained from scratch.
        training: Epochs, batch and rate.
    """

    depth: int = 10
    width: int = 8
    size_px: int = 32
    frames: int = 16
    features: int = 128
    contrast: float = 0.5
    temperature: float = 1.0
    text: bool = True
    streams: str = "both"
    bert: Path | None = None
    training: Training = Training(epochs=30, batch=16)

    def __post_init__(self) -> None:
        check_choice(self, "depth", BLOCKS)
        check_choice(self, "streams", STREAMS)
        check_range(self, "contrast", low=0, high=1)
        check_range(self, "temperature", "width", "size_px", "frames", "features", above=0)


PUBLISHED = AttributeSettings(
    depth=18, width=64, size_px=112, training=Training(epochs=200, batch=32, rate=1e-4, weight_decay=0)
)


class Residual3d(nn.Module):
    """A basic block in three dimensions: (n, before, T, H, W) -> (n, after, T / stride, H / stride, W / stride)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv3d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm3d(after),
            nn.ReLU(),
            nn.Conv3d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm3d(after),
        )
        shortcut = nn.Sequential(nn.Conv3d(before, after, 1, stride=stride, bias=False), nn.BatchNorm3d(after))
        self.shortcut = nn.Identity() if before == after and stride == 1 else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return functional.relu(self.way(x) + self.shortcut(x))


class ResNet3d(nn.Sequential):
    """3-D ResNet of table I: (n, channels, T, S, S) -> (n, features)."""

    def __init__(self, channels: int, settings: AttributeSettings) -> None:
        width = settings.width
        layers: list[nn.Module] = [
            nn.Conv3d(channels, width, (3, 7, 7), stride=(2, 2, 2), padding=(1, 3, 3), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),  # (n, width, 8, S / 2, S / 2)
        ]
        before = width
        for stage, count in enumerate(BLOCKS[settings.depth]):
            after = width * 2**stage
            for i in range(count):
                layers.append(Residual3d(before, after, 2 if stage and not i else 1))
                before = after
        super().__init__(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(before, settings.features))


class Attribute(Baseline):
    """Grey frames and flow (n, 3, T, S, S) -> z_m (n, features of all streams) and logits (n, classes).

    `sentences` are those of all samples of the task, "" where no unit was coded.
    """

    def __init__(self, classes: int, settings: AttributeSettings, sentences: tuple[str, ...]) -> None:
        super().__init__()
        self.settings = settings
        used = {"both": (slice(0, 1), slice(1, 3)), "frames": (slice(0, 1),), "flow": (slice(1, 3),)}
        self.channels = used[settings.streams]
        self.streams = nn.ModuleList([ResNet3d(c.stop - c.start, settings) for c in self.channels])
        features = settings.features * len(self.streams)
        self.classify = nn.Linear(features, classes)
        self.has_text = torch.tensor([bool(sentence) for sentence in sentences])
        self.sentence = torch.from_numpy(np.unique(sentences, return_inverse=True)[1])
        if settings.text:
            filled = tuple(sentence or "and" for sentence in sentences)
            text = BertTextEncoder(filled, features, settings.bert) if settings.bert else None
            self.text = text or SmallTextEncoder(filled, features)
            self.classify_text = nn.Linear(features, classes)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return z_m (eq. 1) and logits of `clip`."""
        parts = [stream(clip[:, c]) for stream, c in zip(self.streams, self.channels, strict=True)]
        z_m = torch.cat(parts, 1)
        return z_m, self.classify(z_m)

    def loss(self, embedding: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Return eq. 8; samples without coded Action Units have the video's loss alone."""
        video = functional.cross_entropy(logits, batch.label)  # eq. 6
        coded = self.has_text[batch.rows]
        if not self.settings.text or not coded.any():
            return video
        alpha, label = self.settings.contrast, batch.label[coded]
        z_a = self.text(batch.rows[coded])  # eq. 2
        text = functional.cross_entropy(self.classify_text(z_a), label)  # eq. 7
        contrast = self.contrastive_loss(embedding[coded], z_a, self.sentence[batch.rows][coded])
        return (1 - alpha) * (video + text) + alpha * contrast

    def contrastive_loss(self, z_m: Tensor, z_a: Tensor, sentence: Tensor) -> Tensor:
        """Return eqs. 3-5 of n pairs (n, d): the sentences of the batch's other samples are the negatives.

        A sample of the same `sentence` (n,) is no negative.
        """
        cosine = functional.normalize(z_m) @ functional.normalize(z_a).T / self.settings.temperature
        same = (sentence[:, None] == sentence) & ~torch.eye(len(z_a), dtype=torch.bool)
        return functional.cross_entropy(cosine.masked_fill(same, -torch.inf), torch.arange(len(z_m)))


def prepare(clip: Tensor, flow: Tensor) -> Tensor:
    """Return the network's input, (n, 3, T, S, S), of clips (n, T, S, S) in 0..1 and their flow (n, 2, T, S, S) px."""
    spread = flow.std((1, 2, 3, 4), correction=0, keepdim=True).clamp(min=1e-3)
    return torch.cat([normalize(clip)[:, None], flow / spread], 1)


def make_model(task: Task, *, best_epoch: bool = False, settings: AttributeSettings = AttributeSettings()) -> Network:
    """Return the network on the frames of `task`.

    Raises:
        UserError: The set has no frames, or, with a text branch, no coded Action Units.
    """
    sentences = tuple(describe_units(codes) for codes in task.data.aus.tolist())
    if settings.text and not any(sentences):
        raise UserError(
            "attribute needs Action Units, and this flow set has none in its column aus: attribute-without-text does "
            "without."
        )
    clips = read_clips(task.data, "attribute", frames=settings.frames, size_px=settings.size_px)
    inputs = prepare(torch.from_numpy(clips), torch.from_numpy(clip_flow(clips)))
    build: Callable[[int], Baseline] = partial(Attribute, settings=settings, sentences=sentences)
    return Network(task, inputs, build, best_epoch, settings.training)


VARIANTS: dict[str, AttributeSettings] = {
    "attribute": AttributeSettings(),
    "attribute-without-text": AttributeSettings(text=False),
    "attribute-without-contrast": AttributeSettings(contrast=0),
    "attribute-frames": AttributeSettings(streams="frames"),
    "attribute-flow": AttributeSettings(streams="flow"),
    "attribute-published": PUBLISHED,
}
