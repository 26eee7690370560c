// The page: what is searched for lives in the address, so a search can be bookmarked, shared and gone back to.

import { markCard, showCards } from "./cards.js";
import { makeMap } from "./map.js";
import { Refused, getJson } from "./service.js";
import { openTile, openUpload } from "./tile.js";

const byId = (id) => document.getElementById(id);
const MANY = ["scales", "polarisations", "sensors"];
const ONE = ["time_from", "time_to", "gsd_min_m", "gsd_max_m", "k"];
const results = byId("results");
const filterForm = byId("filter-form");

let found = [];
let image = null;
let running = null;
let map = null;

/* ---- the address ---- */

function readAddress() {
  const query = new URLSearchParams(location.search);
  return {
    text: query.get("q") ?? "", like: query.get("like"), bbox: query.get("bbox")?.split(",").map(Number) ?? null, tile: query.get("tile"),
    rerank: query.has("rerank"),
    ...Object.fromEntries(MANY.map((name) => [name, query.getAll(name)])),
    ...Object.fromEntries(ONE.map((name) => [name, query.get(name) ?? ""])),
  };
}

function writeAddress(state, replace = false) {
  const query = new URLSearchParams();
  if (state.text) query.set("q", state.text);
  if (state.like) query.set("like", state.like);
  if (state.bbox) query.set("bbox", state.bbox.join(","));
  if (state.rerank) query.set("rerank", "1");
  for (const name of MANY) for (const value of state[name]) query.append(name, value);
  for (const name of ONE) if (state[name] && !(name === "k" && state[name] === "24")) query.set(name, state[name]);
  if (state.tile) query.set("tile", state.tile);
  const address = query.size ? `?${query}` : location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", address);
}

let state = readAddress();

/* ---- what is on the page, from the state and back ---- */

function fill() {
  byId("text").value = state.text;
  for (const name of ONE) filterForm.elements[name].value = state[name] || (name === "k" ? "24" : "");
  filterForm.elements.rerank.checked = state.rerank;
  for (const name of MANY) for (const box of filterForm.querySelectorAll(`[name=${name}]`)) box.checked = state[name].includes(box.value);
  byId("area-clear").hidden = !state.bbox;
  byId("likeness").hidden = !(state.like || image);
  byId("likeness-name").textContent = image ? image.name : "like this tile";
  const picture = byId("likeness-picture");
  picture.hidden = !image || /tiff?$/i.test(image.name);
  if (!picture.hidden) picture.src = URL.createObjectURL(image);
  const set = [...MANY.filter((name) => state[name].length), ...ONE.filter((name) => name !== "k" && state[name])].length + Number(state.rerank) + Number(Boolean(state.bbox));
  byId("filters-count").textContent = set ? `(${set})` : "";
  map?.showArea(state.bbox);
}

function gather() {
  state.text = byId("text").value.trim();
  for (const name of ONE) state[name] = filterForm.elements[name].value;
  state.rerank = filterForm.elements.rerank.checked;
  for (const name of MANY) state[name] = [...filterForm.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value);
}

function request() {
  const asked = { k: Number(state.k) || 24 };
  if (state.text) asked.text = state.text;
  if (state.like) asked.like = state.like;
  if (state.bbox) asked.bbox = state.bbox;
  if (state.rerank && state.text) asked.rerank = true;
  for (const name of MANY) if (state[name].length) asked[name] = state[name];
  for (const name of ["gsd_min_m", "gsd_max_m"]) if (state[name]) asked[name] = Number(state[name]);
  if (state.time_from) asked.time_from = `${state.time_from}T00:00:00Z`;
  if (state.time_to) asked.time_to = `${state.time_to}T23:59:59Z`;
  return asked;
}

/* ---- searching ---- */

let holdings = null;

function sayWhatThereIs() {
  const { tiles = 0, time_from: from, time_to: to } = holdings ?? {};
  const times = from ? `, from ${from.slice(0, 10)} to ${to.slice(0, 10)}` : "";
  say(`${tiles.toLocaleString("en")} tiles${times}. Say what to look for, or search by an image.`);
  byId("suggestions").hidden = !tiles;
  if (holdings?.bbox) map?.lookAt(holdings.bbox);
}

function say(text, wrong = "") {
  byId("suggestions").hidden = true;
  byId("status").textContent = text;
  byId("error").textContent = wrong;
  byId("error").hidden = !wrong;
}

async function search({ fit = true } = {}) {
  fill();
  document.title = `${state.text ? `${state.text} · ` : ""}KnowLIP`;
  running?.abort();
  if (!state.text && !state.like && !image) {
    found = [];
    showFound(false);
    sayWhatThereIs();
    return;
  }
  running = new AbortController();
  const { signal } = running;
  say("Searching …");
  try {
    const asked = request();
    let reply;
    if (image) {
      const form = new FormData();
      form.append("image", image);
      form.append("query", JSON.stringify(asked));
      reply = await getJson("v1/search", { method: "POST", form, signal });
    } else reply = await getJson("v1/search", { method: "POST", json: asked, signal });
    found = reply.features;
    say(found.length ? `${found.length} tile${found.length === 1 ? "" : "s"} found, best first.` : "No tile fits these filters.");
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    found = [];
    say("", error.message);
  }
  showFound(fit && !state.bbox);
}

function mark(id) {
  map?.mark(id);
  markCard(results, id);
}

function showFound(fit) {
  showCards(results, found, { pick, mark });
  map?.show(found, fit);
}

/* ---- one tile ---- */

function pick(feature) {
  state.tile = feature.id;
  writeAddress(state);
  openTile(feature, pick);
}

async function openFromAddress() {
  const { tile } = state;
  if (!tile) return byId("tile").close();
  try {
    const feature = await getJson(`v1/tiles/${encodeURIComponent(tile)}`);
    if (state.tile === tile) openTile(feature, pick);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (state.tile === tile) say("", error.message);
  }
}

byId("tile").addEventListener("close", () => {
  if (!state.tile) return;
  const opened = state.tile;
  state.tile = null;
  writeAddress(state);
  results.querySelector(`[data-id="${CSS.escape(opened)}"]`)?.focus();
});

byId("more-like").addEventListener("click", () => {
  state.like = state.tile;
  state.text = "";
  image = null;
  state.tile = null;
  byId("tile").close();
  writeAddress(state);
  search();
});

/* ---- controls ---- */

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  gather();
  writeAddress(state);
  search();
});
for (const button of document.querySelectorAll(".suggestion"))
  button.addEventListener("click", () => {
    byId("text").value = button.textContent;
    byId("search").requestSubmit();
  });
filterForm.addEventListener("submit", (event) => event.preventDefault());
filterForm.addEventListener("change", () => {
  gather();
  writeAddress(state);
  search({ fit: false });
});
byId("filters-clear").addEventListener("click", () => {
  for (const name of MANY) state[name] = [];
  for (const name of ONE) state[name] = "";
  state.rerank = false;
  setArea(null);
});
byId("likeness-clear").addEventListener("click", () => {
  state.like = null;
  image = null;
  writeAddress(state);
  search();
});
byId("by-image").addEventListener("change", (event) => {
  [image] = event.target.files;
  event.target.value = "";
  state.like = null;
  gather();
  search();
});
byId("ask-image").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) openUpload(file);
});
for (const label of document.querySelectorAll("label.button"))
  label.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    label.querySelector("input").click();
  });
results.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const cards = [...results.querySelectorAll(".card")];
  cards[cards.indexOf(document.activeElement) + step]?.focus();
  event.preventDefault();
});
window.addEventListener("popstate", () => {
  state = readAddress();
  image = null;
  search();
  openFromAddress();
});

function setArea(box) {
  state.bbox = box;
  draw(false);
  writeAddress(state);
  search({ fit: false });
}

function draw(on) {
  map?.setDrawing(on);
  byId("draw").setAttribute("aria-pressed", on);
}

byId("within").addEventListener("click", () => setArea(map.view()));
byId("draw").addEventListener("click", () => draw(byId("draw").getAttribute("aria-pressed") !== "true"));
byId("area-clear").addEventListener("click", () => setArea(null));

/* ---- beginning ---- */

function offer(name, counts) {
  byId(name).replaceChildren(
    ...Object.entries(counts).map(([value, count]) => {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", name, value });
      label.append(box, ` ${value} (${count})`);
      return label;
    }),
  );
  byId(name).closest("fieldset").hidden = Object.keys(counts).length < 2;
}

async function begin() {
  try {
    map = makeMap(byId("map"), {
      onPick: (id) => pick(found.find((feature) => feature.id === id)),
      onMark: mark,
      onArea: setArea,
    });
    window.knowlipMap = map;
  } catch (error) {
    byId("map").innerHTML = '<p class="map-failed">This browser shows no map (it has no WebGL); everything else works.</p>';
    for (const id of ["within", "draw"]) byId(id).disabled = true;
    console.warn(error);
  }
  try {
    const { verbs, ...info } = await getJson("v1/info");
    ({ holdings } = info);
    for (const name of MANY) offer(name, holdings?.[name] ?? {});
    byId("search").hidden = !verbs.includes("search");
    byId("ask-section").hidden = !verbs.includes("vqa");
    byId("ask-image").parentElement.hidden = !verbs.includes("vqa");
  } catch (error) {
    say("", error.message);
    return;
  }
  await search();
  if (state.tile) openFromAddress();
}

begin();
