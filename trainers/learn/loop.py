"""One stage of a training.

It has epochs over batches, a log of losses, and a checkpoint after each epoch to resume from.

Accelerate places model and batches on a CPU or a GPU, or shares the batches among the processes that `torchrun` or
`accelerate launch` started. Each epoch draws from a seed of its own, so that a resumed training ends with exactly the
weights of an uninterrupted one.
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

from merau.engine.csv_table import read_csv
from merau.engine.errors import UserError
from merau.trainers.learn.curves import open_curves

LOG = "losses.csv"


@dataclass(frozen=True)
class Stage:
    """What to train. `batches` and `take` may draw from torch's generator.

    Attributes:
        name: Name of the stage, and of its checkpoint.
        model: `model(*take(rows))` is the loss of one batch.
        optimizer: Optimizer of the model's parameters.
        batches: Returns the batches of one epoch, each the rows of its samples.
        take: Returns the inputs of the model for the rows of a batch.
        epochs: How many epochs to train.
        validate: Returns the loss on samples that are held out; None without any.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Callable[[], list[Tensor]]
    take: Callable[[Tensor], tuple[Tensor, ...]]
    epochs: int
    validate: Callable[[], float] | None = None


def fit(stage: Stage, *, seed: int, folder: Path | None = None) -> list[float]:
    """Train `stage.model` in place, and return the mean loss of each epoch.

    Args:
        stage: What to train.
        seed: Seed of all random draws.
        folder: Where the checkpoint is written after each epoch, and read from where it is there already; curves for
            TensorBoard go there, too.

    Raises:
        UserError: There are fewer batches than processes, or the checkpoint is of another stage.
    """
    accelerator = make_accelerator()
    model, optimizer = accelerator.prepare(stage.model, stage.optimizer)
    losses = load_checkpoint(stage, folder / f"{stage.name}.pt") if folder else []
    draw = open_curves(folder if accelerator.is_main_process else None)
    stage.model.train()
    with tqdm(
        total=stage.epochs,
        initial=len(losses),
        desc=stage.name,
        unit="epoch",
        leave=None,  # a bar inside another one disappears when it is full
        disable=not accelerator.is_main_process or current_process().name != "MainProcess",  # bars would overlap
    ) as bar:
        for epoch in range(len(losses), stage.epochs):
            losses.append(run_epoch(stage, model, optimizer, accelerator, seed * 100_003 + epoch))
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
            bar.update()
            if draw:
                draw(f"{stage.name}/train", losses[-1], epoch)
            if draw and stage.validate:
                draw(f"{stage.name}/validation", measure(stage), epoch)
            if folder and accelerator.is_main_process:
                save_checkpoint(stage, losses, folder)
    stage.model.cpu()
    for tensor in stage.model.state_dict().values():  # each process has running means of batch norm of its own
        tensor.copy_(broadcast(tensor.to(accelerator.device)))
    return losses


def measure(stage: Stage) -> float:
    """Return the loss on held-out samples; no random draw of the training changes by it."""
    assert stage.validate
    state = torch.get_rng_state()
    stage.model.eval()
    with torch.no_grad():
        loss = stage.validate()
    stage.model.train()
    torch.set_rng_state(state)
    return loss


def make_accelerator() -> Accelerator:
    """Return this process's part in the training.

    It is all of it, unless a launcher started several processes.
    """
    return Accelerator(cpu=not torch.accelerator.is_available())


def run_epoch(
    stage: Stage, model: nn.Module, optimizer: torch.optim.Optimizer, accelerator: Accelerator, seed: int
) -> float:
    """Train on this process's share of the batches.

    Return the mean loss over all processes.
    """
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
    """Split the rows of `samples` into random batches.

    One of a single sample is dropped, as batch norm needs two.
    """
    return [rows for rows in torch.randperm(samples).split(batch) if len(rows) > 1]


def save_checkpoint(stage: Stage, losses: list[float], folder: Path) -> None:
    """Write the checkpoint atomically, then the stage's lines of the log."""
    state = {"model": stage.model.state_dict(), "optimizer": stage.optimizer.state_dict(), "losses": losses}
    try:
        torch.save(state, folder / f"{stage.name}.new")
        os.replace(folder / f"{stage.name}.new", folder / f"{stage.name}.pt")
        write_log(folder / LOG, stage.name, losses)
    except (OSError, RuntimeError) as error:
        raise UserError(f"The checkpoint cannot be written to {folder}: {error}.") from error


def write_log(path: Path, stage: str, losses: list[float]) -> None:
    """Write the columns stage, epoch and loss; lines of other stages stay."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        rows = [dict(row) for _, row in read_csv(path).rows(("stage",)) if row["stage"] != stage]
    rows += [{"stage": stage, "epoch": epoch, "loss": f"{loss:.6f}"} for epoch, loss in enumerate(losses, 1)]
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ("stage", "epoch", "loss"))
        table.writeheader()
        table.writerows(rows)
    os.replace(new, path)


def load_checkpoint(stage: Stage, path: Path) -> list[float]:
    """Load model and optimizer from `path`, and return the losses so far.

    None where there is no checkpoint.
    """
    if not path.exists():
        return []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        stage.model.load_state_dict(state["model"])
        stage.optimizer.load_state_dict(state["optimizer"])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a checkpoint of this stage: remove it to train the stage again.") from error
    return list(state["losses"])
