"""Features of many images in the plane, by t-SNE (Fig. 10); `scatter` draws them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from knowlip.errors import DataError

__all__ = ["tsne"]

_LEAST = 5
_WIDTH = 50


def tsne(features_ND: npt.NDArray[np.float32], *, perplexity: float = 30.0, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return places in the plane (N, 2): near ones were near among many dimensions.

    Args:
        features_ND: Features, one row an image.
        perplexity: How many neighbours count; fewer where there are few images.
        seed: Decides the picture.

    Raises:
        DataError: There are too few images.
    """
    count = len(features_ND)
    if count < _LEAST:
        raise DataError(f"{count} images", where="t-SNE", fix=f"give {_LEAST} or more")
    few = features_ND
    if features_ND.shape[1] > _WIDTH:  # as its authors advise: what is left out is noise to it
        few = PCA(min(_WIDTH, count), random_state=seed).fit_transform(features_ND)
    perplexity = min(perplexity, (count - 1) / 3)
    plane = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(few)
    return np.asarray(plane, np.float64)
