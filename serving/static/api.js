// Requests to the service, with an API key if it requires one.

import { $ } from "./dom.js";

let key = storedKey();

/** Fetch, or throw an Error whose message is for a person. */
export async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, headers: key ? { "X-API-Key": key } : {} });
  } catch {
    throw new Error(
      options?.body
        ? "The image did not reach the service. It may be too large, or have changed since it was " +
          "chosen, or the service is no longer running."
        : "The service does not answer. Is it still running?",
    );
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) {
    await askForKey(problem.detail);
    return ask(url, options);
  }
  if (response.status === 413 && !problem.detail) {
    throw new Error("The image is too large for a proxy before the service.");
  }
  throw new Error(problem.detail ?? `The service answered ${response.status}.`);
}

/** Fetch JSON, or throw an Error as `ask` does. */
export async function askForJson(url, options) {
  const response = await ask(url, options);
  try {
    return await response.json();
  } catch {
    throw new Error("The answer could not be read: it broke off, or is not the service’s.");
  }
}

/** Send an image as is; the service crops and resamples it. Return its answer. */
export async function post(path, query, file) {
  const form = new FormData();
  form.append("image", file, file.name ?? "image");
  return askForJson(`${path}?${new URLSearchParams(query)}`, { method: "POST", body: form });
}

/** Wait until the visitor has entered a key. */
async function askForKey(reason) {
  $("reason").textContent = key ? reason : "This service requires an API key.";
  const before = document.activeElement;
  const field = $("key").elements.key;
  $("key").hidden = false;
  field.focus();
  key = await new Promise((resolve) => {
    const enter = (event) => {
      event.preventDefault();
      const entered = field.value.trim();
      if (!/^[\x21-\x7e]+$/.test(entered)) {
        $("reason").textContent = "A key has visible ASCII characters alone.";
        field.focus();
        return;
      }
      $("key").removeEventListener("submit", enter);
      resolve(entered);
    };
    $("key").addEventListener("submit", enter);
  });
  storeKey();
  $("key").hidden = true;
  before.focus();
}

// A browser that blocks a site's cookies throws for its storage, too; the key then lasts as long as
// the page.
function storedKey() {
  try {
    return sessionStorage.getItem("key");
  } catch {
    return null;
  }
}

function storeKey() {
  try {
    sessionStorage.setItem("key", key);
  } catch {}
}
