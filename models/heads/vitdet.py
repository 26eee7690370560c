"""ViTDet (section 4.3): a simple feature pyramid on the last states of a plain vision transformer, and region heads.

Shape letters: B batch, C channels, N patches, D width, h w patch rows and columns, F pyramid width.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from knowlip.settings import Section
from models import _torchvision_guard as _torchvision_guard  # before torchvision

__all__ = ["DetectorConfig", "make_detector"]


class DetectorConfig(Section):
    """The detector's own part."""

    width: int = Field(256, ge=16)
    """Channels of the pyramid."""
    anchors_px: tuple[float, float, float, float, float] = (16, 32, 64, 128, 256)
    """Side of the anchors at the five levels, input pixels."""
    proposals: int = Field(256, ge=8)
    """Regions an image that the box head learns from; torchvision's 512 want twice the memory."""
    pooled: int = Field(7, ge=1)
    """Cells a side to which a region is pooled."""
    head_width: int = Field(1024, ge=32)
    """Width of the box head."""
    kept_score: float = Field(0.05, ge=0, lt=1)
    """Detections below are dropped."""


class SimplePyramid(nn.Module):
    """Five levels from one map: strides of a quarter, a half, one, two and four patches.

    Args:
        vision: A tower that gives states (B, 1 + N, D).
        patch: Pixels a side of a patch.
        states: D.
        width: F.
    """

    def __init__(self, vision: nn.Module, patch: int, states: int, width: int) -> None:
        super().__init__()
        self.vision, self.patch, self.out_channels = vision, patch, width
        half, quarter = max(states // 2, 16), max(states // 4, 16)
        up = nn.Sequential(nn.ConvTranspose2d(states, half, 2, 2), nn.GroupNorm(1, half), nn.GELU())
        self.scales = nn.ModuleList(
            [
                nn.Sequential(up, nn.ConvTranspose2d(half, quarter, 2, 2)),
                nn.ConvTranspose2d(states, half, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2, 2, ceil_mode=True),
            ]
        )
        entries = (quarter, half, states, states)
        self.smooth = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(entry, width, 1, bias=False),
                    nn.GroupNorm(1, width),
                    nn.Conv2d(width, width, 3, padding=1, bias=False),
                    nn.GroupNorm(1, width),
                )
                for entry in entries
            ]
        )

    def forward(self, pixels_BCHW: Tensor) -> OrderedDict[str, Tensor]:
        """Return the levels (B, F, ·, ·), the finest first."""
        states_BND = self.vision.forward_features(pixels_BCHW)[:, 1:].float()
        rows = pixels_BCHW.shape[2] // self.patch
        map_BDhw = states_BND.transpose(1, 2).unflatten(2, (rows, -1))
        levels = [smooth(scale(map_BDhw)) for scale, smooth in zip(self.scales, self.smooth, strict=True)]
        levels.append(nn.functional.max_pool2d(levels[-1], 1, 2))
        return OrderedDict((str(place), level) for place, level in enumerate(levels))


def make_detector(vision: nn.Module, patch: int, channels: int, size: int, classes: int, config: DetectorConfig) -> Any:
    """Return torchvision's Faster R-CNN on the pyramid; it takes normalised images of one size.

    Args:
        vision: The tower.
        patch: Pixels a side of its patches.
        channels: Of its input.
        size: Pixels a side of its input.
        classes: Categories; the network counts the background as one more, its first.
        config: The rest.
    """
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    pyramid = SimplePyramid(vision, patch, int(vision.num_features), config.width)
    return FasterRCNN(
        pyramid,
        num_classes=None,
        min_size=size,
        max_size=size,
        image_mean=[0.0] * channels,
        image_std=[1.0] * channels,
        rpn_anchor_generator=AnchorGenerator(
            tuple((side,) for side in config.anchors_px), ((0.5, 1.0, 2.0),) * len(config.anchors_px)
        ),
        rpn_pre_nms_top_n_train=4 * config.proposals,
        rpn_pre_nms_top_n_test=2 * config.proposals,
        rpn_post_nms_top_n_train=config.proposals,
        rpn_post_nms_top_n_test=config.proposals,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=config.pooled, sampling_ratio=2),
        box_head=TwoMLPHead(config.width * config.pooled**2, config.head_width),
        box_predictor=_Predictor(config.head_width, classes + 1),
        box_score_thresh=config.kept_score,
        box_batch_size_per_image=config.proposals,
        size_divisible=1,
        _skip_resize=True,
    )


class _Predictor(nn.Module):
    """Class scores and box corrections of a region."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classes, self.boxes = nn.Linear(width, classes), nn.Linear(width, 4 * classes)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.normal_(self.boxes.weight, std=0.001)
        for layer in (self.classes, self.boxes):
            nn.init.zeros_(layer.bias)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and corrections."""
        return self.classes(regions), self.boxes(regions)
