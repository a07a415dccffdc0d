"""TCAE, the Twin-Cycle Autoencoder.

Yong Li, Jiabei Zeng, Shiguang Shan and Xilin Chen, Self-Supervised Representation Learning from Videos for Facial
Action Unit Detection, CVPR 2019.

Without labels it learns from two frames of one face one code for the Action Units and one for the pose: each, decoded
with the other frame's, must give the displacement that turns the first frame into the second. Layer sizes are those of
the authors' code, with `base` 32 and `size_px` 256; smaller values make a net for one CPU core.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


class Encoder(nn.Module):
    """Images (N, 1, size_px, size_px) in 0..1 -> two codes.

    They are the Action Unit code (N, 8 base) and the pose code (N, 8 base).
    """

    def __init__(self, *, size_px: int = 128, base: int = 8) -> None:
        super().__init__()
        depth = size_px.bit_length() - 1  # stride-2 layers down to 1 x 1; units and pose each have the last three
        widths = [1] + [min(2**i, 8) * base for i in range(depth)]
        layers = [_down(a, b) for a, b in itertools.pairwise(widths)]
        self.shared = nn.Sequential(*layers[:-3])
        self.aus = nn.Sequential(*layers[-3:])
        self.pose = nn.Sequential(*(_down(a, b) for a, b in zip(widths[-4:], widths[-3:], strict=False)))
        self.features, self.size_px = widths[-1], size_px

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return both codes of `image`."""
        shared = self.shared(image)
        return self.aus(shared).flatten(1), self.pose(shared).flatten(1)


class Decoder(nn.Module):
    """Codes of two frames -> displacement in half image widths.

    The codes are (N, 2 features), the displacement (N, 2, size_px, size_px).
    """

    def __init__(self, features: int, *, size_px: int = 128, base: int = 8) -> None:
        super().__init__()
        depth = size_px.bit_length() - 1
        widths = [2 * features] + [min(2 ** (depth - 2 - i), 8) * base for i in range(depth - 1)]
        self.layers = nn.Sequential(*(_up(a, b) for a, b in itertools.pairwise(widths)))
        self.last = nn.Conv2d(widths[-1], 2, 3, padding=1)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the displacement from the codes `source` and `target` (N, features)."""
        grown = self.layers(torch.cat([source, target], 1)[:, :, None, None])
        return torch.tanh(self.last(_double(grown)))


class Tcae(nn.Module):
    """The twin cycles; `forward` returns the loss of a batch of frame pairs."""

    def __init__(self, *, size_px: int = 128, base: int = 8) -> None:
        super().__init__()
        self.encode = Encoder(size_px=size_px, base=base)
        self.by_aus = Decoder(self.encode.features, size_px=size_px, base=base)
        self.by_pose = Decoder(self.encode.features, size_px=size_px, base=base)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the loss of two frames of the same faces.

        `source`, `target` are (N, 1, size_px, size_px) in 0..1.

        Reconstruction has weight 10, feature and cycle terms 1, the size of the Action Unit displacement 0.1.
        """
        (aus, pose), (aus_t, pose_t) = self.encode(source), self.encode(target)
        move_aus, move_pose = self.by_aus(aus, aus_t), self.by_pose(pose, pose_t)
        reconstruction = _l1(warp(source, move_aus + move_pose), target)
        with_aus, with_pose = warp(source, move_aus), warp(source, move_pose)
        (aus_1, pose_1), (aus_2, pose_2) = self.encode(with_aus), self.encode(with_pose)
        features = _l1(aus_1, aus_t) + _l1(pose_1, pose) + _l1(aus_2, aus) + _l1(pose_2, pose_t)
        back = _l1(warp(with_aus, self.by_aus(aus_1, aus)), source) + _l1(
            warp(with_pose, self.by_pose(pose_2, pose)), source
        )
        onward = _l1(warp(with_aus, self.by_pose(pose_1, pose_t)), target) + _l1(
            warp(with_pose, self.by_aus(aus_2, aus_t)), target
        )
        return 10 * reconstruction + features + back + onward + 0.1 * move_aus.abs().mean()


def warp(image: Tensor, displacement: Tensor) -> Tensor:
    """Sample `image` (N, C, H, W) at each pixel plus `displacement`.

    The displacement is (N, 2, H, W) in half widths.
    """
    identity = torch.eye(2, 3, device=image.device).expand(len(image), 2, 3)
    grid = functional.affine_grid(identity, list(image.shape), align_corners=False)
    return functional.grid_sample(image, grid + displacement.movedim(1, -1), padding_mode="border", align_corners=False)


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
    )


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
