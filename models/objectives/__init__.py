"""The three objectives of section 3.3, each a function of tensors."""

from models.objectives.itc import contrast_loss, pair_contrast
from models.objectives.itm import draw_negatives, matching_loss
from models.objectives.mlm import IGNORED, writing_loss

__all__ = [
    "IGNORED",
    "contrast_loss",
    "draw_negatives",
    "matching_loss",
    "pair_contrast",
    "writing_loss",
]
