// One image at a time, large: a tile of the archive with its family, or an upload; and questions about it.

import { factsOf, placeOf } from "./cards.js";
import { Refused, call, getJson, linked, save, showPicture } from "./service.js";

const byId = (id) => document.getElementById(id);
const dialog = byId("tile");
// What is open: a new object each time, by which an answer that comes late is known to be about something else.
let about = null;

function words(name) {
  return name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function clear() {
  byId("answer").replaceChildren();
  byId("ask-error").hidden = true;
  byId("heat").hidden = true;
}

function open(title, isTile) {
  clear();
  for (const button of byId("ask").querySelectorAll("button")) button.disabled = false;
  byId("tile-title").textContent = title;
  for (const id of ["tile-texts-section", "family-section", "more-like", "tile-links"]) byId(id).hidden = !isTile;
  if (!dialog.open) dialog.showModal();
}

/** Show a tile of the archive; `openOther(feature)` opens one of its family. */
export async function openTile(feature, openOther) {
  about = { tile_id: feature.id };
  open(placeOf(feature), true);
  byId("tile-facts").textContent = factsOf(feature);
  byId("tile-picture").alt = `radar image, ${placeOf(feature)}`;
  showPicture(byId("tile-picture"), linked(feature, "image"));
  const texts = Object.entries(feature.properties.texts);
  byId("tile-texts").replaceChildren(...texts.flatMap(([name, text]) => [element("dt", words(name)), element("dd", text)]));
  byId("tile-texts-section").hidden = !texts.length;
  const download = element("a", "GeoTIFF");
  download.href = linked(feature, "data");
  download.addEventListener("click", async (event) => {
    event.preventDefault();
    await attempt(async () => save(await (await call(linked(feature, "data"))).blob(), `${feature.id}.tif`));
  });
  byId("tile-links").replaceChildren(download, element("span", feature.id));
  byId("family").replaceChildren();
  const mine = about;
  await attempt(async () => {
    const family = await getJson(linked(feature, "related"));
    if (about === mine) showFamily(family, openOther);
  });
}

function showFamily({ parents, children }, openOther) {
  const members = [...parents, ...children];
  byId("family-section").hidden = !members.length;
  byId("family").replaceChildren(
    ...members.map((member) => {
      const button = element("button", "");
      button.type = "button";
      const img = document.createElement("img");
      img.alt = "";
      showPicture(img, linked(member, "thumbnail"));
      button.append(img, element("span", member.properties.scale));
      button.setAttribute("aria-label", `${parents.includes(member) ? "contains this tile" : "within this tile"}, scale ${member.properties.scale}`);
      button.addEventListener("click", () => openOther(member));
      return button;
    }),
  );
}

/** Show an image of the person's own. */
export function openUpload(file) {
  about = { file };
  open(file.name, false);
  byId("tile-facts").textContent = "an image of yours; it is not kept";
  const img = byId("tile-picture");
  img.dataset.path = "";
  img.alt = file.name;
  if (/tiff?$/i.test(file.name)) img.removeAttribute("src");
  else img.src = URL.createObjectURL(file);
}

async function attempt(action) {
  const mine = about;
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (about !== mine) return;
    byId("ask-error").textContent = error.message;
    byId("ask-error").hidden = false;
  }
}

function formAbout() {
  const form = new FormData();
  if (about.file) form.append("image", about.file);
  else form.append("tile_id", about.tile_id);
  return form;
}

function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}

function showAnswer(reply) {
  const lines = [element("p", `${reply.answer || "(nothing)"} (confidence ${percent(reply.confidence)})`)];
  if (reply.ranked?.length > 1) {
    const list = document.createElement("ol");
    list.append(...reply.ranked.map((one) => element("li", `${one.answer}: ${percent(one.confidence)}`)));
    lines.push(list);
  }
  if (reply.place) lines.push(element("p", `Lies near ${[reply.place.city, reply.place.admin, reply.place.country].filter(Boolean).join(", ")}.`));
  byId("answer").replaceChildren(...lines);
  if (reply.attention) drawHeat(reply.attention.values);
}

/** Lay the attention over the image: black where the model looks least, through red to yellow where it looks most. */
function drawHeat(values) {
  const canvas = byId("heat");
  const [height, width] = [values.length, values[0].length];
  canvas.width = width;
  canvas.height = height;
  const flat = values.flat();
  const [low, high] = [Math.min(...flat), Math.max(...flat)];
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  flat.forEach((value, place) => {
    const heat = high > low ? (value - low) / (high - low) : 0;
    pixels.data.set([255 * Math.min(1, 2 * heat), 255 * Math.max(0, 2 * heat - 1), 0, 255 * Math.min(1, 0.25 + heat)], 4 * place);
  });
  context.putImageData(pixels, 0, 0);
  canvas.hidden = false;
}

/** Show what `ask()` answers, unless something else is open by then. */
async function submit(button, ask) {
  const mine = about;
  clear();
  button.disabled = true;
  byId("answer").textContent = "Thinking …";
  try {
    await attempt(async () => {
      const reply = await ask();
      if (about === mine) showAnswer(reply);
    });
  } finally {
    if (about === mine) {
      button.disabled = false;
      if (byId("answer").textContent === "Thinking …") byId("answer").replaceChildren();
    }
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = new FormData(event.target);
  submit(event.submitter ?? event.target.querySelector("[type=submit]"), async () => {
    const form = formAbout();
    form.append("question", given.get("question"));
    form.append("attention", given.has("attention"));
    for (const answer of given.get("candidates").split(",").map((a) => a.trim()).filter(Boolean)) form.append("candidates", answer);
    return getJson("v1/vqa", { method: "POST", form });
  });
});

byId("describe").addEventListener("click", (event) => {
  submit(event.target, async () => {
    const { text, confidence, place } = await getJson("v1/captions", { method: "POST", form: formAbout() });
    return { answer: text, confidence, place };
  });
});
