// The models' records, as GET /models gives them, and which of them are shown.

import { askForJson } from "./api.js";
import { $, element } from "./dom.js";

const FEW = 5; // classes named; the rest is folded

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

/** A model's title; its name where it is not loaded but measured. */
export function titleOf(name) {
  return versionsOf(name)[0]?.title ?? name;
}

/** How a version was made; its number if that is not known. */
export function recipeName({ recipe, version }) {
  if (!recipe) return `version ${version}`;
  return recipe === "article" ? "the article’s recipe" : `the ${recipe} recipe`;
}

/** What a network knows: a few classes by name, the rest folded. */
export function classesOf(classes, whose = "It knows") {
  const knows = `${whose} ${classes.length} classes: `;
  if (classes.length <= FEW) return element("p", { class: "quiet" }, `${knows}${classes.join(", ")}.`);
  const first = `${knows}${classes.slice(0, FEW).join(", ")} and ${classes.length - FEW} more`;
  return element(
    "details",
    { class: "quiet" },
    element("summary", {}, first),
    element("p", {}, classes.join(", ")),
  );
}

/** What the shown models know, said once for those that know the same. */
export function showClasses() {
  const groups = [...Map.groupBy(shownRecords(), ({ classes }) => JSON.stringify(classes)).values()];
  $("classes").replaceChildren(
    ...groups.map((of) => {
      const whose = groups.length === 1 ? "All answers are among" : `${of.map((r) => r.title).join(", ")}:`;
      return classesOf(of[0].classes, whose);
    }),
  );
}

/** Which figures are the int8 file's, if the service runs that; otherwise nothing. */
export function int8Note({ served_precision: precision }) {
  return precision === "int8"
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
