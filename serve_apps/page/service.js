// The service as the page calls it: with the caller's key, and with errors that say what was wrong.

const KEY = "knowlip-api-key";

export class Refused extends Error {}

function headers(more = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

function askForKey() {
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key");
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        if (input.value) sessionStorage.setItem(KEY, input.value);
        resolve(Boolean(input.value));
        input.value = "";
      },
      { once: true },
    );
    if (!dialog.open) dialog.showModal();
  });
}

let asking = null;

/** Call the service. A 401 asks for a key once and tries again. */
export async function call(path, { method = "GET", json, form, signal } = {}, again = true) {
  const body = json ? JSON.stringify(json) : form;
  let response;
  try {
    const kind = json ? { "Content-Type": "application/json" } : {};
    response = await fetch(new URL(path, document.baseURI), { method, body, signal, headers: headers(kind) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The service cannot be reached.");
  }
  if (response.status === 401 && again) {
    sessionStorage.removeItem(KEY);
    asking ??= askForKey().finally(() => (asking = null));
    if (await asking) return call(path, { method, json, form, signal }, false);
  }
  if (!response.ok) throw new Refused(await reason(response));
  return response;
}

async function reason(response) {
  try {
    const problem = await response.json();
    return `${problem.title}: ${problem.detail}`;
  } catch {
    return `The service answered ${response.status}.`;
  }
}

export async function getJson(path, options) {
  return (await call(path, options)).json();
}

/** Put a picture of the service into an <img>; it may need the key, so it comes as a blob. */
export async function showPicture(img, path) {
  const wanted = (img.dataset.path = path);
  try {
    const blob = await (await call(path)).blob();
    if (img.dataset.path !== wanted) return;
    const url = URL.createObjectURL(blob);
    img.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    img.src = url;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    img.alt = "the image cannot be loaded";
  }
}

/** The path of a link relative to where the page lies. */
export function linked(feature, rel) {
  return feature.links.find((link) => link.rel === rel)?.href;
}

export function save(blob, name) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1000);
}
