"""RCN: Revealing the Invisible with Model and Data Shrinking for Composite-Database Micro-Expression Recognition.

Zhaoqiang Xia, Wei Peng, Huai-Qian Khor, Xiaoyi Feng and Guoying Zhao, IEEE Transactions on Image Processing 29, 2020: a
shallow recurrent convolution on small pictures, here with two of its three modules without parameters: shortcut and
attention.
"""

from torch import Tensor, nn
from torch.nn import functional

from merau.trainers.baselines.flow_images import flow_images
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.evaluate.task import Task

FILTERS = 32
STEPS = 3  # how often the recurrent convolution is applied
CELLS = 5  # a side, before the classifier


class RecurrentConvolution(nn.Module):
    """A convolution that is applied to its input and its own output: (n, C, H, W) -> (n, C, H, W)."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(filters, filters, 1), nn.BatchNorm2d(filters), nn.ReLU())
        self.again = nn.Sequential(nn.Conv2d(filters, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Return the state after STEPS steps; all states before are added to its input (shortcut)."""
        total = x + self.enter(x)
        state = self.again(total)
        for _ in range(STEPS - 1):
            total = total + state
            state = self.again(total)
        return state


class Rcn(Baseline):
    """Flow images (n, 3, 28, 28) -> embedding (n, 800), logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.shrink = nn.Sequential(
            nn.Conv2d(3, FILTERS, 5), nn.BatchNorm2d(FILTERS), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5)
        )  # (n, 32, 12, 12)
        self.recur = RecurrentConvolution(FILTERS)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(CELLS), nn.Flatten(), nn.Dropout(0.5))
        self.classify = nn.Linear(FILTERS * CELLS * CELLS, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits of `image`."""
        state = self.recur(self.shrink(image))
        embedding = self.pool(state * self.attention(state))
        return embedding, self.classify(embedding)

    def attention(self, state: Tensor) -> Tensor:
        """Return where the classifier looks, (n, 1, H, W) in 0..1.

        It is the mean class activation map (Zhou et al. 2016) of `state`, so that it needs no parameters.
        """
        weight = self.classify.weight.detach().mean(0).view(FILTERS, CELLS, CELLS)
        map_ = (functional.adaptive_avg_pool2d(state, CELLS) * weight).mean(1, keepdim=True)
        low, high = map_.amin((2, 3), keepdim=True), map_.amax((2, 3), keepdim=True)
        return functional.interpolate((map_ - low) / (high - low + 1e-6), state.shape[2:])


def make_model(task: Task, *, best_epoch: bool = False) -> Network:
    """Return the baseline on the flow images of `task`."""
    return Network(task, flow_images(task), Rcn, best_epoch, Training(epochs=60, rate=3e-3))
