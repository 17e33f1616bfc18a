// Does an answer survive small changes to the image? Each model's recipes, side by side.

import { post } from "./api.js";
import { element, percent } from "./dom.js";
import { modelNames, recipeName, titleOf, versionsOf } from "./records.js";

/** Ask every version of the models that a card shows, and return the elements to show. */
export async function vary(file, card) {
  const names = modelNames().filter((name) => card.querySelector(`.answer[data-model="${name}"]`));
  const versions = new Map(names.map((name) => [name, versionsOf(name).toReversed()]));
  const answers = new Map(); // by version, one after another: each runs the models many times
  for (const version of new Set([...versions.values()].flat().map((record) => record.version))) {
    const having = names.filter((name) => versions.get(name).some((r) => r.version === version));
    const query = [["images", "true"], ["version", version], ...having.map((name) => ["model", name])];
    answers.set(version, await post("stability", query, file));
  }
  const help = element(
    "p",
    { class: "quiet" },
    "Mirrored, moved by up to 2 pixels or made a little noisy, it is the same image to a person: a " +
      "network that has learned what it shows keeps its answer. The class under each image is the " +
      "network’s answer, right or wrong.",
  );
  const sections = names.map((name) =>
    element(
      "section",
      { class: "stability" },
      element("h3", {}, `${titleOf(name)}: does it hold?`),
      element(
        "div",
        { class: "pair" },
        ...versions.get(name).map((record) => strip(record, answers.get(record.version))),
      ),
    ),
  );
  return [help, ...sections];
}

function strip(record, { variants, models }) {
  const answer = models.find(({ model }) => model === record.name);
  const changed = new Map(answer.changed.map((change) => [change.variant, change]));
  const kept = variants.length - changed.size;
  return element(
    "figure",
    { "data-version": record.version },
    element(
      "figcaption",
      {},
      element("strong", {}, `With ${recipeName(record)}`),
      ` it says ${answer.class}, and keeps that on ${kept} of ${variants.length} changed images.`,
      becomes(answer.changed),
      onTestImages(record),
    ),
    element(
      "ol",
      { class: "strip" },
      ...variants.map((variant) => variantOf(variant, changed.get(variant.name), answer.class)),
    ),
  );
}

function becomes(changed) {
  const classes = Map.groupBy(changed, (change) => change.class);
  const counts = [...classes].map(([name, of]) => `${name} (${of.length})`);
  return counts.length ? ` It becomes ${counts.join(", ")}.` : "";
}

function onTestImages({ stability }) {
  return stability
    ? ` Of ${stability.images.toLocaleString("en")} test images it keeps ${percent(stability.mirrored)} when they are mirrored.`
    : "";
}

function variantOf({ name, image }, change, kept) {
  const says = change ? `${change.class}, confidence ${percent(change.confidence)}` : `still ${kept}`;
  const text = `${name}: ${says}`;
  return element(
    "li",
    { class: change ? "changed" : "same", title: text },
    element("img", { src: image, alt: text }),
    // The image's text says the same.
    element("span", { "aria-hidden": "true" }, change?.class ?? kept),
    element("span", { "aria-hidden": "true" }, change ? "changed" : "same"),
  );
}
