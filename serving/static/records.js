// The models' records, as GET /models gives them, and which of them are shown.

import { askForJson } from "./api.js";
import { $, element } from "./dom.js";

export let records = []; // of every model and version; a model's newest first

export async function loadRecords() {
  records = (await askForJson("models")).models;
}

export function versionsOf(name) {
  return records.filter((record) => record.name === name);
}

export function modelNames() {
  return [...new Set(records.map((record) => record.name))];
}

export function titleOf(name) {
  return versionsOf(name)[0].title;
}

/** How a version was made; its number if that is not known. */
export function recipeName({ recipe, version }) {
  if (!recipe) return `version ${version}`;
  return recipe === "article" ? "the article’s recipe" : `the ${recipe} recipe`;
}

/** Which figures are the int8 file's, if the service runs that; otherwise nothing. */
export function int8Note({ sha256, int8 }) {
  return int8?.sha256 === sha256
    ? " The int8 file answers: figures of test images and of noise are its own, all others the float32 file’s."
    : "";
}

/** The chosen version; empty for each model's newest. */
export function chosenVersion() {
  return document.querySelector("#versions input:checked").value;
}

/** The records of the chosen version. */
export function shownRecords() {
  const version = chosenVersion();
  if (version) return records.filter((record) => String(record.version) === version);
  return modelNames().map((name) => versionsOf(name)[0]);
}

/** Offer the versions, and each model's newest if not all models have the newest. */
export function addVersions(choose) {
  const versions = [...new Set(records.map((record) => record.version))].sort((a, b) => b - a);
  const newest = records.filter((record) => record.version === versions[0]);
  const offered = newest.length === modelNames().length ? versions : ["", ...versions];
  for (const [i, version] of offered.entries()) {
    const input = element("input", { type: "radio", name: "version", value: version });
    input.checked = i === 0;
    input.addEventListener("change", choose);
    const recipes = new Set(records.filter((record) => record.version === version).map(recipeName));
    const text = version ? [...recipes].join(", ") : "the newest recipe of each";
    $("versions").append(element("label", {}, input, ` ${text}`));
  }
  $("versions").hidden = versions.length < 2;
}
