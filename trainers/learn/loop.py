"""One stage of a training: epochs over batches, a log of losses, and a checkpoint after each epoch to go on from.

Accelerate places model and batches: on one CPU core, on a GPU, or in as many processes as `torchrun` or `accelerate
launch` started, which share the batches among them. Each epoch draws from a seed of its own, so that a training which
was stopped and goes on ends with the very weights of one that was not.
"""

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from tqdm import tqdm

from merau.engine.errors import UserError

LOG = "losses.csv"


@dataclass(frozen=True)
class Stage:
    """`model(*take(rows))` is the loss of one batch; `batches()` draws those of an epoch, each the `rows` of its
    samples. Both may draw from torch's generator.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Callable[[], list[Tensor]]
    take: Callable[[Tensor], tuple[Tensor, ...]]
    epochs: int


def fit(stage: Stage, *, seed: int, folder: Path | None = None) -> list[float]:
    """Train `stage.model` in place, and give back the mean loss of each epoch.

    In `folder` the checkpoint is written, and read where it is there already: it must be of this very stage.
    Raises UserError where there are fewer batches than processes, or the checkpoint does not fit.
    """
    accelerator = make_accelerator()
    model, optimizer = accelerator.prepare(stage.model, stage.optimizer)
    losses = load_checkpoint(stage, folder / f"{stage.name}.pt") if folder else []
    stage.model.train()
    with tqdm(
        total=stage.epochs,
        initial=len(losses),
        desc=stage.name,
        unit="epoch",
        leave=None,  # a bar within another one goes when it is full
        disable=not accelerator.is_main_process or current_process().name != "MainProcess",  # others cover it
    ) as bar:
        for epoch in range(len(losses), stage.epochs):
            losses.append(run_epoch(stage, model, optimizer, accelerator, seed * 100_003 + epoch))
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
            bar.update()
            if folder and accelerator.is_main_process:
                save_checkpoint(stage, losses, folder)
    stage.model.cpu()
    for tensor in stage.model.state_dict().values():  # running means of batch norm are each process's own
        tensor.copy_(broadcast(tensor.to(accelerator.device)))
    return losses


def make_accelerator() -> Accelerator:
    """This process among those that train together: alone, unless a launcher started several."""
    return Accelerator(cpu=not torch.accelerator.is_available())


def run_epoch(
    stage: Stage, model: nn.Module, optimizer: torch.optim.Optimizer, accelerator: Accelerator, seed: int
) -> float:
    """One pass over this process's share of the batches; the mean loss over all processes."""
    torch.manual_seed(seed)
    batches = stage.batches()
    mine = batches[accelerator.process_index :: accelerator.num_processes][: len(batches) // accelerator.num_processes]
    if not mine:
        raise UserError(
            f"Stage {stage.name} has {len(batches)} batches for {accelerator.num_processes} processes: give it more "
            "samples, or start fewer processes."
        )
    torch.manual_seed(seed + 7 * accelerator.process_index)
    total = torch.zeros((), device=accelerator.device)
    for rows in mine:
        loss = model(*(part.to(accelerator.device) for part in stage.take(rows)))
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        total += loss.detach()
    return float(accelerator.reduce(total / len(mine), "mean"))


def random_batches(samples: int, batch: int) -> list[Tensor]:
    """Rows of `samples` in random batches; one of a single sample is left out, which batch norm cannot take."""
    return [rows for rows in torch.randperm(samples).split(batch) if len(rows) > 1]


def save_checkpoint(stage: Stage, losses: list[float], folder: Path) -> None:
    """Write the checkpoint whole or not at all, then the stage's lines of the log."""
    state = {"model": stage.model.state_dict(), "optimizer": stage.optimizer.state_dict(), "losses": losses}
    try:
        torch.save(state, folder / f"{stage.name}.new")
        os.replace(folder / f"{stage.name}.new", folder / f"{stage.name}.pt")
        write_log(folder / LOG, stage.name, losses)
    except (OSError, RuntimeError) as error:
        raise UserError(f"The checkpoint cannot be written to {folder}: {error}.") from error


def write_log(path: Path, stage: str, losses: list[float]) -> None:
    """Columns stage, epoch, loss; what other stages wrote stays."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["stage"] != stage]
    rows += [{"stage": stage, "epoch": epoch, "loss": f"{loss:.6f}"} for epoch, loss in enumerate(losses, 1)]
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ("stage", "epoch", "loss"))
        table.writeheader()
        table.writerows(rows)
    os.replace(new, path)


def load_checkpoint(stage: Stage, path: Path) -> list[float]:
    """The losses so far, with model and optimizer as the checkpoint at `path` has them; none without one."""
    if not path.exists():
        return []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        stage.model.load_state_dict(state["model"])
        stage.optimizer.load_state_dict(state["optimizer"])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"{path} is no checkpoint of this stage: remove it to train the stage anew.") from error
    return list(state["losses"])
