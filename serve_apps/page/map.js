// The map: coastlines and borders of this service alone, footprints of what was found, an area to search within.

import { getJson } from "./service.js";

const NOTHING = { type: "FeatureCollection", features: [] };
const FINE_ZOOM = 5;

const STYLE = {
  version: 8,
  sources: {
    land: { type: "geojson", data: NOTHING },
    borders: { type: "geojson", data: NOTHING },
    found: { type: "geojson", data: NOTHING, promoteId: "id" },
    // Seen from afar a footprint is less than a pixel, and not drawn: its middle is.
    middles: { type: "geojson", data: NOTHING, promoteId: "id" },
    area: { type: "geojson", data: NOTHING },
  },
  layers: [
    { id: "sea", type: "background", paint: { "background-color": "#cfdde6" } },
    { id: "land", type: "fill", source: "land", paint: { "fill-color": "#f4f1ea" } },
    { id: "coast", type: "line", source: "land", paint: { "line-color": "#8fa3b0", "line-width": 0.8 } },
    { id: "borders", type: "line", source: "borders", paint: { "line-color": "#a08f7a", "line-width": 0.8, "line-dasharray": [3, 2] } },
    { id: "area-fill", type: "fill", source: "area", paint: { "fill-color": "#c2410c", "fill-opacity": 0.08 } },
    { id: "area-line", type: "line", source: "area", paint: { "line-color": "#c2410c", "line-width": 2, "line-dasharray": [2, 1] } },
    { id: "found-fill", type: "fill", source: "found", paint: { "fill-color": "#0b5d8a", "fill-opacity": ["case", ["boolean", ["feature-state", "marked"], false], 0.45, 0.15] } },
    { id: "found-line", type: "line", source: "found", paint: { "line-color": ["case", ["boolean", ["feature-state", "marked"], false], "#c2410c", "#0b5d8a"], "line-width": ["case", ["boolean", ["feature-state", "marked"], false], 3, 1.6] } },
    { id: "found-dot", type: "circle", source: "middles", maxzoom: 11, paint: { "circle-radius": 5, "circle-color": ["case", ["boolean", ["feature-state", "marked"], false], "#c2410c", "#0b5d8a"], "circle-stroke-color": "#fff", "circle-stroke-width": 1 } },
  ],
};

function polygonOf([west, south, east, north]) {
  const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
  return { type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [ring] } };
}

const clamp = (value, most) => Math.max(-most, Math.min(most, value));

/** Make the map. `onPick(id)` hears of clicks, `onMark(id)` of what is pointed at, `onArea(bbox)` of a drawn area. */
export function makeMap(container, { onPick, onMark, onArea }) {
  if (!window.maplibregl) throw new Error("the map's library did not load");
  const map = new maplibregl.Map({
    container, style: STYLE, center: [0, 25], zoom: 1, attributionControl: false, dragRotate: false, pitchWithRotate: false,
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibregl.NavigationControl({ showCompass: false }));
  map.addControl(new maplibregl.ScaleControl({ unit: "metric" }), "bottom-left");
  const loaded = new Promise((resolve) => map.on("load", resolve));
  let marked = null;

  async function loadBasemap(bbox) {
    const query = bbox ? `?bbox=${encodeURIComponent(JSON.stringify(bbox))}` : "";
    for (const name of ["land", "borders"]) map.getSource(name).setData(await getJson(`page/basemap/${name}.json${query}`));
  }

  let shown = "";
  async function refreshBasemap() {
    // Ten-degree steps, so that neighbouring views ask for the same.
    const b = map.getBounds();
    const fine = map.getZoom() >= FINE_ZOOM;
    const bbox = fine && [
      clamp(Math.floor(b.getWest() / 10 - 1) * 10, 180), clamp(Math.floor(b.getSouth() / 10 - 1) * 10, 90),
      clamp(Math.ceil(b.getEast() / 10 + 1) * 10, 180), clamp(Math.ceil(b.getNorth() / 10 + 1) * 10, 90),
    ];
    const usable = bbox && bbox[0] < bbox[2] && bbox[1] < bbox[3] ? bbox : null;
    const wanted = JSON.stringify(usable);
    if (wanted === shown) return;
    shown = wanted;
    await loadBasemap(usable);
  }
  loaded.then(refreshBasemap);
  map.on("moveend", () => loaded.then(refreshBasemap));

  function mark(id) {
    for (const source of ["found", "middles"]) {
      if (marked) map.setFeatureState({ source, id: marked }, { marked: false });
      if (id) map.setFeatureState({ source, id }, { marked: true });
    }
    marked = id;
  }

  for (const layer of ["found-fill", "found-dot"]) {
    map.on("click", layer, (event) => onPick(event.features[0].properties.id));
    map.on("mousemove", layer, (event) => { map.getCanvas().style.cursor = "pointer"; onMark(event.features[0].properties.id); });
    map.on("mouseleave", layer, () => { map.getCanvas().style.cursor = ""; onMark(null); });
  }

  // Drawing: press, drag, release; the map holds still meanwhile.
  let start = null;
  let drawing = false;
  function corners(event) {
    const a = start, b = event.lngLat;
    return [Math.min(a.lng, b.lng), Math.min(a.lat, b.lat), Math.max(a.lng, b.lng), Math.max(a.lat, b.lat)].map(
      (value, place) => Number(clamp(value, place % 2 ? 90 : 180).toFixed(5)),
    );
  }
  function begin(event) { if (drawing) { start = event.lngLat; event.preventDefault(); } }
  function drag(event) { if (drawing && start) map.getSource("area").setData(polygonOf(corners(event))); }
  function end(event) {
    if (!drawing || !start) return;
    const box = corners(event);
    start = null;
    if (box[0] < box[2] && box[1] < box[3]) onArea(box);
  }
  for (const [names, handler] of [[["mousedown", "touchstart"], begin], [["mousemove", "touchmove"], drag], [["mouseup", "touchend"], end]])
    for (const name of names) map.on(name, handler);

  return {
    mark,
    async show(features, fit) {
      await loaded;
      mark(null);
      const give = (source, geometryOf) => map.getSource(source).setData({
        type: "FeatureCollection",
        features: features.map((f) => ({ type: "Feature", geometry: geometryOf(f), properties: { id: f.id } })),
      });
      give("found", (f) => f.geometry);
      give("middles", ({ bbox: [west, south, east, north] }) => ({ type: "Point", coordinates: [(west + east) / 2, (south + north) / 2] }));
      if (!fit || !features.length) return;
      const bounds = new maplibregl.LngLatBounds();
      for (const f of features) bounds.extend([f.bbox[0], f.bbox[1]]).extend([f.bbox[2], f.bbox[3]]);
      map.fitBounds(bounds, { padding: 60, maxZoom: 14, animate: false });
    },
    async lookAt([west, south, east, north]) {
      await loaded;
      map.fitBounds([[west, south], [east, north]], { padding: 60, maxZoom: 9, animate: false });
    },
    async showArea(box) {
      await loaded;
      map.getSource("area").setData(box ? polygonOf(box) : NOTHING);
    },
    setDrawing(on) {
      drawing = on;
      container.classList.toggle("drawing", on);
      map.dragPan[on ? "disable" : "enable"]();
    },
    view() {
      const b = map.getBounds();
      return [clamp(b.getWest(), 180), clamp(b.getSouth(), 90), clamp(b.getEast(), 180), clamp(b.getNorth(), 90)].map((v) => Number(v.toFixed(5)));
    },
    /** Where a longitude and latitude lie within the map, in pixels. */
    pixel(lngLat) { const p = map.project(lngLat); return [p.x, p.y]; },
    /** How many footprints are to be seen. */
    drawn() { return new Set(map.queryRenderedFeatures({ layers: ["found-fill", "found-dot"] }).map((f) => f.properties.id)).size; },
  };
}
