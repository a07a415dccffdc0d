"""A graph of Action Units: MER-GCN, Micro-Expression Recognition Based on Relation Modeling with Graph Convolution.

Ling Lo, Hong-Xia Xie, Hong-Han Shuai and Wen-Huang Cheng, MIPR 2020: the nodes are Action Units, the edges how often
two occur together, and a graph convolution (Kipf and Welling 2017) shares what nodes know. The paper's nodes come from
a 3-D network on the clip; here they come from a small network on the flow, so that flow sets suffice.
"""

import numpy as np
import torch
from torch import Tensor, nn

from merau.trainers.baselines.flow_images import flow_images
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.data.synth.action_units import AUS, COMBINATIONS, Combinations
from merau.trainers.evaluate.task import Task

NODE = 16  # features of a node


def co_occurrence(combinations: Combinations = COMBINATIONS) -> np.ndarray:
    """Return how often the Action Units of a column are seen beside those of a row, (17, 17) float32.

    Rows are normalized as in Kipf and Welling 2017, D^-1/2 (A + I) D^-1/2. The counts are those of `combinations`, as
    most samples are not coded.
    """
    counts = np.zeros((len(AUS), len(AUS)))
    for shares in combinations.values():
        for units, share in shares:
            nodes = [AUS.index(unit) for unit in units]
            counts[np.ix_(nodes, nodes)] += share
    shown = np.maximum(np.diag(counts).copy(), 1e-9)
    given = counts / shown[:, None]
    np.fill_diagonal(given, 1)
    edges = (given + given.T) / 2
    degree = edges.sum(1) ** -0.5
    return np.asarray(degree[:, None] * edges * degree, np.float32)


class AuGraph(Baseline):
    """Flow images (n, 3, 28, 28) -> embedding (n, 17 * 16), logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),  # (n, 32 * 7 * 7)
            nn.Dropout(0.5),
        )
        self.nodes = nn.Linear(32 * 7 * 7, len(AUS) * NODE)
        self.first, self.second = nn.Linear(NODE, NODE), nn.Linear(NODE, NODE)
        self.classify = nn.Linear(len(AUS) * NODE, classes)
        self.edges: Tensor
        self.register_buffer("edges", torch.from_numpy(co_occurrence()))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `image`."""
        node = self.nodes(self.features(image)).view(-1, len(AUS), NODE).relu()
        for layer in (self.first, self.second):
            node = node + layer(self.edges @ node).relu()
        embedding = node.flatten(1)
        return embedding, self.classify(embedding)


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the flow images of `task`."""
    return Network(task, flow_images(task), AuGraph, best_epoch, Training(epochs=40))
