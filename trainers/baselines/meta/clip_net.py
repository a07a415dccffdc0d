"""The backbone of LightmanNet and its comparison learners: Conv4 on each frame, then one 3-D convolution."""

import torch
from torch import Tensor, nn

WIDTH = 32  # filters of Conv4 (Finn et al. 2017)
TEMPORAL = 6  # size of the 3-D convolution along time (LightmanNet, section 4.1)
FRAMES, SIZE_PX = 8, 48
CELLS = 3  # a side, after four poolings of 48 px


class ClipNet(nn.Module):
    """Clips (n, T, S, S) -> features (n, WIDTH * CELLS * CELLS).

    Batch normalization uses the batch alone, so that an inner step needs no running statistics.
    """

    def __init__(self) -> None:
        super().__init__()

        def block(before: int) -> nn.Sequential:
            convolution = nn.Conv2d(before, WIDTH, 3, padding=1)
            norm = nn.BatchNorm2d(WIDTH, track_running_stats=False)
            return nn.Sequential(convolution, norm, nn.ReLU(), nn.MaxPool2d(2))

        self.frames = nn.Sequential(block(1), block(WIDTH), block(WIDTH), block(WIDTH))
        self.time = nn.Conv3d(WIDTH, WIDTH, (TEMPORAL, 1, 1))

    def forward(self, clip: Tensor) -> Tensor:
        """Return the features of `clip`."""
        count, length = clip.shape[:2]
        seen = self.frames(clip.flatten(0, 1)[:, None])  # (n T, WIDTH, CELLS, CELLS)
        seen = seen.view(count, length, *seen.shape[1:]).transpose(1, 2)
        return torch.relu(self.time(seen)).mean(2).flatten(1)  # over the T - 5 places of the kernel


def freeze_norms(net: nn.Module, clips: Tensor) -> None:
    """Give every batch norm of `net` the mean and spread that `clips` have there, so that one clip can be alone."""

    def keep(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        norm.running_mean, norm.running_var = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), correction=0)
        norm.track_running_stats = True

    hooks = [m.register_forward_pre_hook(keep) for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        net.eval()(clips)
    for hook in hooks:
        hook.remove()


FEATURES = WIDTH * CELLS * CELLS


class Classifier(nn.Module):
    """ClipNet and a linear head: clips (n, T, S, S) -> logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = ClipNet()
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Return the logits of `clip`."""
        return self.head(self.backbone(clip))
