// Results as cards, in the order in which they were found.

import { linked, showPicture } from "./service.js";

const template = document.getElementById("card");

export function placeOf(feature) {
  const { city, admin, country } = feature.properties;
  return [city, admin, country].filter(Boolean).join(", ") || "unnamed place";
}

export function factsOf(feature) {
  const p = feature.properties;
  const facts = [`scale ${p.scale}`, p.sensor, p.polarisation, `${Number(p.gsd_m.toPrecision(3))} m a pixel`, p.time?.slice(0, 10).replaceAll("-", "\u2011")];
  return facts.filter(Boolean).join(" · ");
}

/** What sets a tile apart: the background names the place and the sensor, which stand above already. */
function textOf(feature) {
  const { scene_background: background, ...others } = feature.properties.texts;
  return Object.values(others).join(" ") || background || "";
}

export function scoreOf(feature) {
  const { score, match } = feature.properties;
  if (match !== undefined) return `match ${(100 * match).toFixed(0)} %`;
  return score === undefined ? "" : score.toFixed(3);
}

/** Show features; `pick(feature)` opens one, `mark(id)` is told what is pointed at. */
export function showCards(list, features, { pick, mark }) {
  list.replaceChildren(
    ...features.map((feature) => {
      const item = template.content.firstElementChild.cloneNode(true);
      const card = item.querySelector(".card");
      card.dataset.id = feature.id;
      card.querySelector(".place").textContent = placeOf(feature);
      card.querySelector(".score").textContent = scoreOf(feature);
      card.querySelector(".facts").textContent = factsOf(feature);
      card.querySelector(".text").textContent = textOf(feature);
      const img = card.querySelector("img");
      img.alt = `radar image, ${placeOf(feature)}`;
      showPicture(img, linked(feature, "thumbnail"));
      card.addEventListener("click", () => pick(feature));
      for (const name of ["pointerenter", "focus"]) card.addEventListener(name, () => mark(feature.id));
      for (const name of ["pointerleave", "blur"]) card.addEventListener(name, () => mark(null));
      return item;
    }),
  );
}

export function markCard(list, id) {
  for (const card of list.querySelectorAll(".card")) card.classList.toggle("marked", card.dataset.id === id);
}
