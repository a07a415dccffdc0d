"""ResNet18 on the flow of a face: Deep Residual Learning for Image Recognition.

Kaiming He, Xiangyu Zhang, Shaoqing Ren and Jian Sun, CVPR 2016. The parameters have the names of the public ImageNet
weights, so that a local file of these can be read. Their last layer, `fc`, is left out: MERAU uses its input, x_of.
"""

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from merau.engine.errors import UserError

SIZE_PX = 224  # side of the paper's images
FEATURES = 512


class Block(nn.Module):
    """The basic block: two 3 x 3 convolutions and a shortcut.

    The shortcut has `downsample` where the shapes differ.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride > 1:
            self.downsample.extend([nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H / stride, W / stride) of `x` (N, inputs, H, W)."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class ResNet18(nn.Module):
    """Pattern of the flow (N, 2, G, G) of any size G -> x_of (N, 512).

    The pattern is enlarged to 224 px bilinearly. The paper's dense flow is computed at that resolution; the trunk's
    input, 32 x 32 means, locates movements less exactly.
    """

    def __init__(self) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            return nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))

        self.conv1 = nn.Conv2d(2, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = layer(64, 64, 1)  # (N, 64, 56, 56)
        self.layer2 = layer(64, 128, 2)
        self.layer3 = layer(128, 256, 2)
        self.layer4 = layer(256, FEATURES, 2)  # (N, 512, 7, 7)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, flow: Tensor) -> Tensor:
        """Return x_of (N, 512) of `flow` (N, 2, G, G)."""
        x = functional.interpolate(flow, size=(SIZE_PX, SIZE_PX), mode="bilinear", align_corners=False)
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


def load_weights(net: ResNet18, path: Path) -> None:
    """Load the weights at `path` into `net`.

    The file is safetensors, or a state dict that torch.save wrote.

    Of a first layer for three channels, u gets the filters of the first and v those of the second, times 3/2, which
    keeps the size of the response. Their mean would give u and v equal filters, which a rate of 1e-5 hardly separates.

    Raises:
        UserError: The file cannot be read, or holds the weights of another net.
    """
    try:
        read = load_file if path.suffix == ".safetensors" else _load_pickled
        weights = {name: value for name, value in read(path).items() if not name.startswith("fc.")}
        if weights["conv1.weight"].shape[1] == 3:
            weights["conv1.weight"] = 1.5 * weights["conv1.weight"][:, :2]
        net.load_state_dict(weights)
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError, UnpicklingError, SafetensorError) as error:
        raise UserError(
            f"{path} holds no weights of ResNet18 with their public names, conv1.weight and so on."
        ) from error


def _load_pickled(path: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
