"""Training MERAU's embedding, Action Unit head and classifier on synthetic flow."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from engine.errors import UserError
from engine.recognizer import normalise
from trainers.data.synth.flows import Flows, FlowSettings, flows
from trainers.models.merau import Merau


@dataclass(frozen=True)
class FusionSettings:
    samples: int = 100_000
    epochs: int = 8
    batch: int = 256
    rate: float = 2e-3
    label_smoothing: float = 0.1
    au_weight: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"FusionSettings.{name} is {getattr(self, name)}: choose 1 or more.")


def draw(seed: int, samples: int, settings: FlowSettings) -> Flows:
    """Many samples with a progress bar; float32 throughout."""
    rng, chunk = np.random.default_rng(seed), 500
    with tqdm(total=samples, desc="drawing flows", unit="pair", smoothing=0.05) as bar:
        parts = []
        for start in range(0, samples, chunk):
            parts.append(flows(rng, min(chunk, samples - start), settings))
            bar.update(len(parts[-1].label))
    return Flows(*(np.concatenate([getattr(p, f) for p in parts]) for f in Flows.__dataclass_fields__))


def train(data: Flows, settings: FusionSettings) -> Merau:
    """AdamW with one cycle; cross-entropy on the classes (eq. 8), binary cross-entropy on the Action Units (eq. 1)."""
    torch.manual_seed(settings.seed)
    pattern, magnitude = (torch.from_numpy(a) for a in normalise(data.flow))
    label, aus = torch.from_numpy(data.label), torch.from_numpy(data.aus)
    model = Merau()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    steps = settings.epochs * -(-len(label) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=steps)
    with tqdm(total=steps, desc="training", unit="step", smoothing=0.05) as bar:
        for _ in range(settings.epochs):
            for rows in torch.randperm(len(label)).split(settings.batch):
                embedding, au_logits = model(mirrored(pattern[rows]), magnitude[rows])
                expression = functional.cross_entropy(
                    model.classify(embedding), label[rows], label_smoothing=settings.label_smoothing
                )
                loss = expression + settings.au_weight * functional.binary_cross_entropy_with_logits(
                    au_logits, aus[rows]
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
            bar.set_postfix(loss=f"{loss.item():.3f}")
    return model.eval()


def mirrored(pattern: torch.Tensor) -> torch.Tensor:
    """Half of the flows (N, 2, G, G), drawn anew at each call, as the mirrored face would show them: u changes sign."""
    flip = torch.rand(len(pattern), 1, 1, 1) < 0.5
    return torch.where(flip, pattern.flip(-1) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1), pattern)
