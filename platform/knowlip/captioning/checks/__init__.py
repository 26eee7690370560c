"""Facts held against a text: what it claims, against what was measured and where the tile lies."""

from knowlip.captioning.checks.factcheck import CHECKS, CHECKS_VERSION, Flag, check_texts, flag_rows

__all__ = ["CHECKS", "CHECKS_VERSION", "Flag", "check_texts", "flag_rows"]
