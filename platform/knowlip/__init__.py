"""KnowLIP: what a SAR scene, a tile, a caption, a corpus and a benchmark are, in plain Python.

This package holds the domain and knows neither Ray nor torch: the engines live in ``jobs``, ``models`` and
``serve_apps``, which import it and never the other way round.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
