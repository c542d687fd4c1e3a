"""residual:

Made for images of 3x32x32; 94,194 parameters.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution that drops the pixels between its strides before it reads them.

    It computes what nn.Conv2d does. That one writes past its memory on CPUs when it learns in
    channels_last format with a stride and fewer channels than fit a register (oneDNN issue 6035).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_channels, H / stride, W / stride)."""
        x = x[:, :, :: self.stride[0], :: self.stride[1]]
        return F.conv2d(x, self.weight, self.bias, groups=self.groups)


class Conv3x3(nn.Module):
    """Convolution, batch norm, ReLU: the convolution of EPNAS, section 3."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv(x)))


class Dense(nn.Module):
    """The function `dense` of the space."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.batch_norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, 4, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(torch.relu(self.batch_norm(x)))], 1)


class Mbconv(nn.Module):
    """The inverted residual: MobileNetV2, section 3.3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(48, 144, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(144)
        self.conv2 = nn.Conv2d(144, 144, 3, stride=2, padding=1, groups=144, bias=False)
        self.batch_norm2 = nn.BatchNorm2d(144)
        self.conv3 = nn.Conv2d(144, 48, 1, bias=False)
        self.batch_norm3 = nn.BatchNorm2d(48)

    def forward(self, x: Tensor) -> Tensor:
        batch_norm2 = self.batch_norm2(self.conv2(F.relu6(self.batch_norm(self.conv(x)))))
        return self.batch_norm3(self.conv3(F.relu6(batch_norm2)))


class ResidualMbconv(nn.Module):
    """The inverted residual: MobileNetV2, section 3.3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(48, 144, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(144)
        self.conv2 = nn.Conv2d(144, 144, 3, padding=1, groups=144, bias=False)
        self.batch_norm2 = nn.BatchNorm2d(144)
        self.conv3 = nn.Conv2d(144, 48, 1, bias=False)
        self.batch_norm3 = nn.BatchNorm2d(48)

    def forward(self, x: Tensor) -> Tensor:
        batch_norm2 = self.batch_norm2(self.conv2(F.relu6(self.batch_norm(self.conv(x)))))
        return x + self.batch_norm3(self.conv3(F.relu6(batch_norm2)))


class Calibrated(nn.Module):
    """The function `calibrated` of the space."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv = PointwiseConv2d(in_channels, width, 1, stride=2, bias=False)
        self.batch_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.batch_norm(self.conv(x))


class Block(nn.Module):
    """The function `block` of the space."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv_3x3 = Conv3x3(in_channels, in_channels)
        self.conv = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv(self.conv_3x3(x))) + x)


class StridedBlock(nn.Module):
    """The function `block` of the space."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv_3x3 = Conv3x3(in_channels, width, stride=2)
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(width)
        self.calibrated = Calibrated(in_channels, width)

    def forward(self, x: Tensor) -> Tensor:
        out = self.batch_norm(self.conv(self.conv_3x3(x))) + self.calibrated(x)
        return torch.relu(out)


class Stage(nn.Module):
    """The function `stage` of the space."""

    def __init__(self, in_channels: int, width: int, repeats: int, stride: int = 1) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            Block(in_channels) if stride == 1 else StridedBlock(in_channels, width),
            *(Block(width) for _ in range(repeats - 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class Model(nn.Module):
    """A network of the space `residual`: images (N, 3, H, W) to scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_3x3 = Conv3x3(3, 8)
        self.stages = nn.Sequential(
            Stage(8, 8, repeats=3),
            Stage(8, 16, repeats=1, stride=2),
            Stage(16, 32, repeats=2, stride=2),
        )
        self.denses = nn.Sequential(*(Dense(32 + 4 * i) for i in range(4)))
        self.mbconvs = nn.Sequential(Mbconv(), *(ResidualMbconv() for _ in range(2)))
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(48, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.mbconvs(self.denses(self.stages(self.conv_3x3(image))))
        return self.linear(self.dropout(x.mean((2, 3))))
