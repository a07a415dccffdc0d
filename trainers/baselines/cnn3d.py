"""MicroExpSTCNN: Spontaneous Facial Micro-Expression Recognition using 3D Spatiotemporal Convolutional Neural Networks.

Sai Prasanna Teja Reddy, Surya Teja Karri, Shiv Ram Dubey and Snehasis Mukherjee, IJCNN 2019: one three-dimensional
convolution over the whole clip, pooling, and a layer of 128. Its frames are fewer and smaller here: those of a flow
set's strips, onset to apex.
"""

import torch
from torch import Tensor, nn

from merau.trainers.baselines.clips import read_clips, subtract_onset
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.evaluate.task import Task

SIZE_PX = 48
FRAMES = 8
FILTERS = 32
TRAINING = Training(epochs=60)  # at 20 it does not even fit 40 clips


class Cnn3d(Baseline):
    """Clips (n, 1, 8, 48, 48) -> embedding (n, 128), logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(1, FILTERS, (5, 3, 3), bias=False),  # (n, 32, 4, 46, 46)
            nn.BatchNorm3d(FILTERS),
            nn.ReLU(),
            nn.MaxPool3d((2, 5, 5)),  # (n, 32, 2, 9, 9)
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(FILTERS * 2 * 9 * 9, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
        )
        self.classify = nn.Linear(128, classes)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `clip`."""
        embedding = self.features(clip)
        return embedding, self.classify(embedding)


def prepare(clip: Tensor) -> Tensor:
    """Return the network's input, (n, 1, 8, 48, 48), of clips (n, 8, 48, 48) in 0..1."""
    return subtract_onset(clip)[:, None]


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the clips of `task`, less their first frame, so that they show what changes."""
    clips = read_clips(task.data, "cnn3d", frames=FRAMES, size_px=SIZE_PX)
    return Network(task, prepare(torch.from_numpy(clips)), Cnn3d, best_epoch, TRAINING)
