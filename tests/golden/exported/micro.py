"""micro(channels=4): h1 = dw_conv_5x5(prev1) + avg_pool_3x3(prev2); h2 = conv_3x3(h1) +
dw_conv_3x3(prev1); h3 = conv_5x5(prev2) + conv_5x5(prev2); h4 = dw_conv_3x3(h1) +
dw_conv_3x3(h2); h5 = dw_conv_3x3(h3) + dw_conv_5x5(h1)

Made for images of 3x32x32; 75,718 parameters.
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

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv(x)))


class DwConv5x5(nn.Module):
    """Depthwise-separable convolution, batch norm, ReLU: EPNAS, section 3."""

    def __init__(self, in_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, in_channels, 5, stride=stride, padding=2, groups=in_channels, bias=False
        )
        self.conv2 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv2(self.conv(x))))


class DwConv3x3(nn.Module):
    """Depthwise-separable convolution, batch norm, ReLU: EPNAS, section 3."""

    def __init__(self, in_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, in_channels, 3, stride=stride, padding=1, groups=in_channels, bias=False
        )
        self.conv2 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv2(self.conv(x))))


class Conv5x5(nn.Module):
    """Convolution, batch norm, ReLU: the convolution of EPNAS, section 3."""

    def __init__(self, in_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, 5, stride=stride, padding=2, bias=False)
        self.batch_norm = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv(x)))


class Conv1x1(nn.Module):
    """Convolution, batch norm, ReLU: the convolution of EPNAS, section 3."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = PointwiseConv2d(in_channels, out_channels, 1, stride=stride, bias=False)
        self.batch_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv(x)))


class Reduction(nn.Module):
    """The cell `reduction` of the space."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.h1_op1 = DwConv5x5(in_channels, stride=2)
        self.h1_op2 = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.h2_op1 = Conv3x3(in_channels, in_channels)
        self.h2_op2 = DwConv3x3(in_channels, stride=2)
        self.h3_op1 = Conv5x5(in_channels, stride=2)
        self.h3_op2 = Conv5x5(in_channels, stride=2)
        self.h4_op1 = DwConv3x3(in_channels)
        self.h4_op2 = DwConv3x3(in_channels)
        self.h5_op1 = DwConv3x3(in_channels)
        self.h5_op2 = DwConv5x5(in_channels)

    def forward(self, prev2: Tensor, prev1: Tensor) -> Tensor:
        h1 = self.h1_op1(prev1) + self.h1_op2(prev2)
        h2 = self.h2_op1(h1) + self.h2_op2(prev1)
        h3 = self.h3_op1(prev2) + self.h3_op2(prev2)
        h4 = self.h4_op1(h1) + self.h4_op2(h2)
        return torch.cat([h4, self.h5_op1(h3) + self.h5_op2(h1)], 1)


class Normal(nn.Module):
    """The cell `normal` of the space."""

    def __init__(
        self, prev2_channels: int, prev1_channels: int, channels: int, prev2_stride: int = 1
    ) -> None:
        super().__init__()
        self.prev2 = (
            Conv1x1(prev2_channels, channels, stride=prev2_stride)
            if prev2_channels != channels or prev2_stride != 1
            else nn.Identity()
        )
        self.prev1 = (
            Conv1x1(prev1_channels, channels) if prev1_channels != channels else nn.Identity()
        )
        self.h1_op1 = DwConv5x5(channels)
        self.h1_op2 = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.h2_op1 = Conv3x3(channels, channels)
        self.h2_op2 = DwConv3x3(channels)
        self.h3_op1 = Conv5x5(channels)
        self.h3_op2 = Conv5x5(channels)
        self.h4_op1 = DwConv3x3(channels)
        self.h4_op2 = DwConv3x3(channels)
        self.h5_op1 = DwConv3x3(channels)
        self.h5_op2 = DwConv5x5(channels)

    def forward(self, prev2: Tensor, prev1: Tensor) -> Tensor:
        prev2 = self.prev2(prev2)
        prev1 = self.prev1(prev1)
        h1 = self.h1_op1(prev1) + self.h1_op2(prev2)
        h2 = self.h2_op1(h1) + self.h2_op2(prev1)
        h3 = self.h3_op1(prev2) + self.h3_op2(prev2)
        h4 = self.h4_op1(h1) + self.h4_op2(h2)
        return torch.cat([h4, self.h5_op1(h3) + self.h5_op2(h1)], 1)


class Model(nn.Module):
    """A network of the space `micro`: images (N, 3, H, W) to scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_3x3 = Conv3x3(3, 4)
        self.cells = nn.ModuleList(
            [
                Normal(4, 4, 4),
                Normal(4, 8, 4),
                Reduction(8),
                Normal(8, 16, 8, prev2_stride=2),
                Normal(16, 16, 8),
                Reduction(16),
                Normal(16, 32, 16, prev2_stride=2),
                Normal(32, 32, 16),
            ]
        )
        self.linear = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv_3x3(image)
        prev2 = prev1 = x
        for cell in self.cells:
            prev2, prev1 = prev1, cell(prev2, prev1)
        return self.linear(prev1.mean((2, 3)))
