"""The measured captioner's templates: several wordings a kind, with choices inside (`knowlip.captioning.wording`)."""

# ruff: noqa: E501 - a sentence stays on its line

from __future__ import annotations

__all__ = [
    "ALONGSIDE",
    "BACKGROUND",
    "BASIN",
    "CATEGORY",
    "CATEGORY_NONE",
    "FUNCTION",
    "GROUND",
    "INHERITED",
    "LAYOUT_NONE",
    "LOCATION",
    "LOCATION_NONE",
    "NAMED",
    "ONE_SIDE",
    "PATTERN",
    "QUANTITY",
    "QUANTITY_NONE",
    "SCALE",
    "STRIP",
    "STRIP_NONE",
    "STRUCTURE",
    "STRUCTURE_NONE",
    "UNPLACED",
]

SCALE = {
    "L": ("[wide|broad|large-scale] [view|overview|scene]",),
    "M": ("[medium-scale|intermediate|district-scale] [view|section|scene]",),
    "S": ("[close|detailed|small-scale] [view|crop|scene]",),
}

BACKGROUND = (
    "[A|This] {scale} [covers|spans|takes in] {extent} of ground [near|around|by] {place}, [centred on|at] {coordinates}{imaged}.",
    "[Near|Close to] {place} ({coordinates}), {extent} of ground [fill|make up|occupy] this {scale}{imaged}.",
    "{place} [lies in|is the locality of] this {scale}, [about|roughly] {extent} [wide|across] [about|around] {coordinates}{imaged}.",
)
UNPLACED = (
    "[A|This] {scale} [covers|spans|takes in] {extent} of ground [whose position is not recorded|without georeference]{imaged}.",
)

NAMED = {
    "airport": (
        "[The ground|The area|This land] [belongs to|is part of|serves] {name}, an airport [for air traffic|handling aircraft].",
        "[Aviation|Air transport] [is|dominates as] the [purpose|function] here: an airport, {name}.",
        "[An|The] airport, {name}, [shapes|governs|determines] [how this ground is used|land use here].",
    ),
    "port": (
        "[The waterfront|The shore|This district] [belongs to|is part of|serves] {name}, a port for [shipping|maritime trade|cargo vessels].",
        "[Shipping|Maritime transport|Cargo handling] [is|dominates as] the [purpose|function] here: a port, {name}.",
        "[A|The] port, {name}, [shapes|governs|determines] [how this shore is used|activity here].",
    ),
}

FUNCTION = {
    "airport": ("[Ground|Land] [given over to|used for] [aviation|air traffic], an airport.",),
    "port": ("[Ground and water|A shore] [given over to|used for] [shipping|maritime trade], a port.",),
    "open water": (
        "[Open water|An open water surface] [used for navigation|crossed by shipping], [with little or no land|away from land use].",
        "[Navigable|Unbuilt] open water [makes up|dominates] [the region|this area].",
    ),
    "urban": (
        "[Settlement|Housing and commerce|Urban land use]: [residential|urban] [blocks|quarters] with [their|local] streets.",
        "[An|A typical] urban [area|district] for [living and working|homes, shops and services].",
        "[Built-up|Developed] land in urban use, [mostly|mainly] [housing|dwellings] and [services|small business].",
    ),
    "industrial": (
        "[Factories|Warehouses], [yards|depots] and [halls|sheds] [suggest|indicate] an industrial [zone|district].",
        "[An|The] industrial [estate|area|complex], [with|holding] [large halls|metal-roofed plants].",
    ),
    "mixed": (
        "[Mixed|Varied] land use: [open ground|gaps] [among|between] [scattered|dispersed] [buildings|structures].",
        "[Ground|Land] in mixed use, [partly|in part] [built-up|built], [partly|in part] open.",
    ),
    "agricultural": (
        "[Farming|Cultivation]: [open|level] agricultural [fields|parcels|land], [sparsely|thinly] [built|settled].",
        "[Agricultural|Cultivated] and [open|grassy] ground, [few|hardly any] buildings.",
    ),
    "natural": (
        "[Natural|Unbuilt] [cover|vegetation], [woodland|scrub] and [open ground|clearings], [little used|without dense settlement].",
        "[Wooded|Vegetated] natural [terrain|land] [with little|away from] [settlement|construction].",
    ),
}
INHERITED = (
    "It [lies|sits|is set] within a larger {function} [region|setting|area].",
    "[The wider|Its broader|The surrounding] [setting|context|region] is {function}.",
)

GROUND = (
    "[Backscatter|Texture] is {texture}: {parts}.",
    "[The surface|This terrain], {texture} [in texture|in grain], [comprises|consists of|breaks down into] {parts}.",
    "{parts} [make up|form|compose] [ground|terrain] of {texture} texture.",
)
BASIN = {
    "water": (
        "[Smooth|Dark|Calm] water [covers|fills] {share}{side}.",
        "[Open|Specular] water [occupies|takes] {share} [of the tile|of the view]{side}.",
    ),
    "apron": (
        "[Smooth|Dark] [paved apron|pavement] [covers|fills] {share}{side}.",
        "[Wide|Broad] paved [aprons|surfaces] [occupy|take] {share}{side}.",
    ),
}
STRIP = (
    "[A|One] dark {way} [runs|stretches|extends] {length} [on|along] a bearing of {bearing}°{more}.",
    "[The longest|A prominent] {way}, {length} long and {width} wide, [trends|heads|points] {bearing}°{more}.",
)
STRIP_NONE = (
    "No [straight|linear] [dark strip|road or runway] [stands out|is resolved].",
    "[Linear features|Roads and runways] [are not resolved|cannot be made out].",
)

CATEGORY = (
    "[Strong scatterers|Bright returns|Point targets] [correspond to|are read as|indicate] {kinds}.",
    "[Visible|Detected|Discernible] targets [are|include] {kinds}.",
    "{kinds} [stand out|appear|are recognised] [against|above] the [clutter|background].",
)
CATEGORY_NONE = (
    "[No distinct target|No man-made target] [rises|stands] above the clutter; [the tile shows|only] {cover} [is present|remains].",
    "[Targets|Strong scatterers] are absent, [leaving|apart from] {cover}.",
)

QUANTITY = (
    "[The detector finds|A count gives|The image holds] {counts}{total}.",
    "[Count|Number|Tally]: {counts}{total}.",
    "{counts} {were} [counted|detected|found]{total}.",
)
QUANTITY_NONE = (
    "[The count of|The number of] [targets|strong scatterers] is zero.",
    "[No target|Not one target|Zero targets] [was|could be] counted.",
)

LOCATION = (
    "[The strongest|The brightest] {kind} [lies|is found|sits] in the {region} [part|region|ninth]{most}.",
    "[In the|Within the] {region} [part|region|sector] [lies|appears] the [strongest|brightest] {kind}{most}.",
)
LOCATION_NONE = (
    "[Bright ground|Built-up ground] [concentrates|is densest] in the {region} [part|region].",
    "[The backscatter|Brightness] [peaks|is highest] [towards|in] the {region} [part|region].",
)

STRUCTURE = (
    "[It|The strongest {kind}] [measures|extends] {length} by {width}, [its long axis|oriented] at {bearing}°, {contrast} dB [above|over] [clutter|background].",
    "{length} long and {width} wide, [the|this] {kind} [rises|stands] {contrast} dB [above|over] its surroundings, [axis|heading] {bearing}°.",
)
STRUCTURE_NONE = (
    "[Distributed|Diffuse] scattering with a [variation|contrast] of {variation} [shows|reveals] no [resolved|compact] object.",
    "[Without|Lacking] compact objects, amplitude [varies|fluctuates] by {variation}.",
)

PATTERN = {
    "single": ("[A lone|The only|A solitary] {kind} [stands alone|is isolated]{beside}.",),
    "pair": ("[Two|Both] {kinds} [lie|stand] {spacing} apart [along|on] {bearing}°{beside}.",),
    "row": (
        "[The|These] {kinds} [line up|form a row|are aligned] along {bearing}°, [about|some] {spacing} apart{beside}.",
    ),
    "compact group": (
        "[The|These] {kinds} [crowd|gather|cluster] [tightly|closely], [about|some] {spacing} apart{beside}.",
    ),
    "scattered": (
        "[The|These] {kinds} are [scattered|spread|dispersed] [across|over] the [tile|view], typically {spacing} apart{beside}.",
        "{kinds} [spread|distribute] [unevenly|loosely], [neighbours|the nearest] [about|some] {spacing} away{beside}.",
    ),
}
LAYOUT_NONE = (
    "{cover} [extends|continues] [evenly|without interruption]{side}.",
    "[The layout|Arrangement] is [plain|simple]: {cover}{side}.",
)
ALONGSIDE = (", [beside|along|next to] the {way}", ", [flanking|near] the {way}")
ONE_SIDE = (", [to the|lying] {wind} of the {way}", ", on the {wind} side of the {way}")
