"""Networks of other papers that see a clip, or a pair, as bundles that run live: each trained on a prepared set."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from merau.engine.clip import PAIR, ClipSpec
from merau.trainers.baselines import apex_resnet, attribute, cnn3d, ma2mi
from merau.trainers.baselines.clips import normalize, subtract_onset
from merau.trainers.baselines.frames import read_strips
from merau.trainers.baselines.meta.clip_net import FRAMES, SIZE_PX, freeze_norms
from merau.trainers.baselines.meta.episodes import MetaSettings
from merau.trainers.baselines.network import Baseline, Network
from merau.trainers.data.flow_set import FlowSet
from merau.trainers.evaluate.models import make_learner
from merau.trainers.evaluate.task import Task

ATTRIBUTE, MA2MI, META = attribute.AttributeSettings(), ma2mi.Ma2miSettings(), MetaSettings()
Watch = Callable[[int, float, float], None]


@dataclass(frozen=True)
class Material:
    """What a network is trained on.

    Attributes:
        task: The task.
        rows: (n,) rows of it to train on.
        kept: (m,) rows of other subjects, never trained on.
        macro: Macro-expressions, for networks that learn from them as well.
        seed: Seed of all random draws.
        watch: See `Network.watch`.
    """

    task: Task
    rows: np.ndarray
    kept: np.ndarray
    macro: FlowSet | None = None
    seed: int = 0
    watch: Watch | None = None

    @property
    def label(self) -> np.ndarray:
        """(n,) class indices of the rows to train on."""
        return np.asarray(self.task.label[self.rows])

    def fit(self, network: Network) -> tuple[Baseline, nn.Linear]:
        """Train a network whose class layer is linear, as all here have it."""
        watched, classes = replace(network, watch=self.watch), len(self.task.classes)
        net, _ = watched.fit(self.rows, self.label, classes, self.seed, test=self.kept)
        assert isinstance(net.classify, nn.Linear)
        return net, net.classify


Fit = Callable[[Material], tuple[nn.Module, nn.Linear]]


@dataclass(frozen=True)
class FrameNetwork:
    """How a network becomes a trunk.

    Attributes:
        clip: The frames that it takes.
        embed: Network, clip and flow as `clip.inputs` gives them -> embedding (n, d).
        fit: Returns the trained network, and the linear layer on its embedding.
    """

    clip: ClipSpec
    embed: Callable[..., Tensor]
    fit: Fit


class LiveFrames(nn.Module):
    """A trunk: clip (N, T, S, S) in 0..1, and its flow where it is asked for -> embedding (N, d), no Action Units."""

    def __init__(self, net: nn.Module, embed: Callable[..., Tensor]) -> None:
        super().__init__()
        self.net, self.embed = net, embed

    def forward(self, clip: Tensor, clip_flow: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the embedding and (N, 0)."""
        embedding = self.embed(self.net, clip) if clip_flow is None else self.embed(self.net, clip, clip_flow)
        return embedding, embedding[:, :0]


def fit_network(make: Callable[[Task], Network], material: Material) -> tuple[nn.Module, nn.Linear]:
    """Train a network by its own settings."""
    return material.fit(make(material.task))


def fit_learner(name: str, material: Material, settings: MetaSettings = META) -> tuple[nn.Module, nn.Linear]:
    """Meta-train a learner, and adapt it to the samples shown as it would be before a prediction."""
    model = replace(make_learner(name, material.task, material.macro), settings=settings)
    learner = model.meta_train(material.rows, len(material.task.classes), material.seed)
    episode = model.make_episode(material.rows, material.label, material.rows[:1], material.seed)
    net = deepcopy(learner.net)
    net.load_state_dict({key: weight.detach() for key, weight in learner.adapt(episode).items()})  # type: ignore[attr-defined]
    freeze_norms(net, episode.support)
    assert isinstance(net.head, nn.Linear)
    return net, net.head


def fit_ma2mi(material: Material, settings: ma2mi.Ma2miSettings = MA2MI) -> tuple[nn.Module, nn.Linear]:
    """Pre-train MIACNet on the macro-expressions, and fine-tune it."""
    model = ma2mi.make_model("ma2mi", settings, material.task, material.macro)
    return model.fit(material.rows, material.label, material.seed, material.rows[:0])


LEARNERS = ("lightmannet", "lightmannet-without-auxiliary", "maml", "anil", "reptile")
FRAME_NETWORKS: dict[str, FrameNetwork] = {
    "cnn3d": FrameNetwork(
        ClipSpec(cnn3d.FRAMES, cnn3d.SIZE_PX),
        lambda net, clip: net(cnn3d.prepare(clip))[0],
        partial(fit_network, cnn3d.make_model),
    ),
    "attribute": FrameNetwork(
        ClipSpec(ATTRIBUTE.frames, ATTRIBUTE.size_px, flow=True),
        lambda net, clip, flow: net(attribute.prepare(clip, flow))[0],
        partial(fit_network, attribute.make_model),
    ),
    "apex-resnet": FrameNetwork(
        ClipSpec(PAIR, apex_resnet.SIZE_PX),
        lambda net, pair: net(apex_resnet.prepare(pair))[0],
        partial(fit_network, apex_resnet.make_model),
    ),
    "ma2mi": FrameNetwork(
        ClipSpec(PAIR, MA2MI.size_px),
        lambda net, pair: net(normalize(pair)[:, :1], normalize(pair)[:, 1:]),
        fit_ma2mi,
    ),
    **{
        name: FrameNetwork(
            ClipSpec(FRAMES, SIZE_PX),
            lambda net, clip: net.backbone(subtract_onset(clip)),
            partial(fit_learner, name),
        )
        for name in LEARNERS
    },
}


def train_on_frames(name: str, material: Material) -> tuple[LiveFrames, nn.Linear]:
    """Return trunk and class layer of the network `name`, trained on `material`. Raises UserError without frames."""
    torch.manual_seed(material.seed)
    net, layer = FRAME_NETWORKS[name].fit(material)
    return LiveFrames(net, FRAME_NETWORKS[name].embed), layer


def frame_inputs(name: str, data: FlowSet) -> dict[str, np.ndarray]:
    """Return what the trunk of the network `name` takes of every sample."""
    return FRAME_NETWORKS[name].clip.inputs(read_strips(data, name))
