"""darts(channels=4, layers=8): normal { h1 = dil_conv_3x3(input0) + dil_conv_5x5(input1); h2 =
skip_connect(input1) + skip_connect(h1); h3 = sep_conv_3x3(input1) + skip_connect(h1); h4 =
sep_conv_3x3(input1) + sep_conv_5x5(h2) } reduction { h1 = avg_pool_3x3(input0) +
dil_conv_3x3(input1); h2 = dil_conv_5x5(input1) + avg_pool_3x3(h1); h3 = dil_conv_5x5(input0)
+ avg_pool_3x3(h1); h4 = dil_conv_5x5(h2) + sep_conv_3x3(h3) }

Made for images of 3x32x32; 24,934 parameters.
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


class Calibrate(nn.Module):
    """ReLU, 1x1, batch norm; across a reduction the factorized one: DARTS, section 3.1.1."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.batch_norm(self.conv(torch.relu(x)))


class StridedCalibrate(nn.Module):
    """ReLU, 1x1, batch norm; across a reduction the factorized one: DARTS, section 3.1.1."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = PointwiseConv2d(in_channels, channels // 2, 1, stride=2, bias=False)
        self.conv2 = PointwiseConv2d(in_channels, channels // 2, 1, stride=2, bias=False)
        self.batch_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        relu = torch.relu(x)
        joined = torch.cat([self.conv(relu), self.conv2(F.pad(relu, (-1, 1, -1, 1)))], 1)
        return self.batch_norm(joined)


class DilConv3x3(nn.Module):
    """ReLU, depthwise of dilation 2, 1x1, batch norm: DARTS, section 3.1.1."""

    def __init__(self, in_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            in_channels,
            3,
            stride=stride,
            padding=2,
            dilation=2,
            groups=in_channels,
            bias=False,
        )
        self.conv2 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.batch_norm(self.conv2(self.conv(torch.relu(x))))


class DilConv5x5(nn.Module):
    """ReLU, depthwise of dilation 2, 1x1, batch norm: DARTS, section 3.1.1."""

    def __init__(self, in_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            in_channels,
            5,
            stride=stride,
            padding=4,
            dilation=2,
            groups=in_channels,
            bias=False,
        )
        self.conv2 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.batch_norm(self.conv2(self.conv(torch.relu(x))))


class SepConv3x3(nn.Module):
    """(ReLU, depthwise, 1x1, batch norm) twice: NASNet, appendix A.4; DARTS, section 3.1.1."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False
        )
        self.conv2 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(in_channels)
        self.conv3 = nn.Conv2d(
            in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False
        )
        self.conv4 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.batch_norm2 = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        relu = torch.relu(self.batch_norm(self.conv2(self.conv(torch.relu(x)))))
        return self.batch_norm2(self.conv4(self.conv3(relu)))


class SepConv5x5(nn.Module):
    """(ReLU, depthwise, 1x1, batch norm) twice: NASNet, appendix A.4; DARTS, section 3.1.1."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, in_channels, 5, padding=2, groups=in_channels, bias=False
        )
        self.conv2 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(in_channels)
        self.conv3 = nn.Conv2d(
            in_channels, in_channels, 5, padding=2, groups=in_channels, bias=False
        )
        self.conv4 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.batch_norm2 = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        relu = torch.relu(self.batch_norm(self.conv2(self.conv(torch.relu(x)))))
        return self.batch_norm2(self.conv4(self.conv3(relu)))


class Reduction(nn.Module):
    """The cell `reduction` of the space."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.input0 = Calibrate(in_channels, channels)
        self.input1 = Calibrate(in_channels, channels)
        self.h1_op1 = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.h1_op2 = DilConv3x3(channels, stride=2)
        self.h2_op1 = DilConv5x5(channels, stride=2)
        self.h2_op2 = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.h3_op1 = DilConv5x5(channels, stride=2)
        self.h3_op2 = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.h4_op1 = DilConv5x5(channels)
        self.h4_op2 = SepConv3x3(channels)

    def forward(self, prev2: Tensor, prev1: Tensor) -> Tensor:
        input0 = self.input0(prev2)
        input1 = self.input1(prev1)
        h1 = self.h1_op1(input0) + self.h1_op2(input1)
        h2 = self.h2_op1(input1) + self.h2_op2(h1)
        h3 = self.h3_op1(input0) + self.h3_op2(h1)
        return torch.cat([h1, h2, h3, self.h4_op1(h2) + self.h4_op2(h3)], 1)


class Normal(nn.Module):
    """The cell `normal` of the space."""

    def __init__(
        self, prev2_channels: int, prev1_channels: int, channels: int, input0_stride: int = 1
    ) -> None:
        super().__init__()
        self.input0 = (
            Calibrate(prev2_channels, channels)
            if input0_stride == 1
            else StridedCalibrate(prev2_channels, channels)
        )
        self.input1 = Calibrate(prev1_channels, channels)
        self.h1_op1 = DilConv3x3(channels)
        self.h1_op2 = DilConv5x5(channels)
        self.h3_op1 = SepConv3x3(channels)
        self.h4_op1 = SepConv3x3(channels)
        self.h4_op2 = SepConv5x5(channels)

    def forward(self, prev2: Tensor, prev1: Tensor) -> Tensor:
        input0 = self.input0(prev2)
        input1 = self.input1(prev1)
        h1 = self.h1_op1(input0) + self.h1_op2(input1)
        h2 = input1 + h1
        h3 = self.h3_op1(input1) + h1
        return torch.cat([h1, h2, h3, self.h4_op1(input1) + self.h4_op2(h2)], 1)


class Model(nn.Module):
    """A network of the space `darts`: images (N, 3, H, W) to scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(12)
        self.cells = nn.ModuleList(
            [
                Normal(12, 12, 4),
                Normal(12, 16, 4),
                Reduction(16, 8),
                Normal(16, 32, 8, input0_stride=2),
                Normal(32, 32, 8),
                Reduction(32, 16),
                Normal(32, 64, 16, input0_stride=2),
                Normal(64, 64, 16),
            ]
        )
        self.linear = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.batch_norm(self.conv(image))
        prev2 = prev1 = x
        for cell in self.cells:
            prev2, prev1 = prev1, cell(prev2, prev1)
        return self.linear(prev1.mean((2, 3)))
