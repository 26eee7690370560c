"""Tiles in the shapes that other tools read: COGs, a STAC item collection, WebDataset tars, a Hugging Face dataset."""

from knowlip.tiling.exports.cogs import cog_bytes
from knowlip.tiling.exports.hub import hub_card, hub_shard
from knowlip.tiling.exports.stac import item_collection, stac_item
from knowlip.tiling.exports.webdataset import tar_shard

__all__ = ["cog_bytes", "hub_card", "hub_shard", "item_collection", "stac_item", "tar_shard"]
