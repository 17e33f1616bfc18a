// Overfitting, told as a story: one finding, one chart and one sentence on how to read it, at a time.

import { askForJson } from "./api.js";
import { confidence } from "./confidence.js";
import { $, choice, element, percent, points } from "./dom.js";
import { curves, lowestLoss } from "./epochs.js";
import { lessData, randomLabels, widths } from "./experiments.js";
import { modelNames, titleOf, recipeName, versionsOf } from "./records.js";
import { reproduction } from "./reproduction.js";
import { best, measured, techniques } from "./techniques.js";

let isShown = false;

/** Fetch the measurements and show them, once. */
export async function showOverfitting() {
  if (isShown) return; // the visitor's choices stay
  const study = await askForJson("study");
  const settings = measured(study);
  const chosen = []; // for each place that shows the chosen model, what fills it
  const place = (fill) => {
    const made = element("div");
    chosen.push((name) => made.replaceChildren(...fill(name)));
    return made;
  };
  const model = choice(
    "Model",
    modelNames().map((name) => [name, titleOf(name)]),
    (name) => chosen.forEach((fill) => fill(name)),
  );
  const { "random-labels": noise, "less-data": data, width } = study.experiments;
  const sections = [
    ["epochs", "One network, epoch by epoch", [element("p", {}, model), place(curves)]],
    ["random-labels", "It can learn anything by heart", randomLabels(noise)],
    ["techniques", "What helps", techniques(settings)],
    ["data", "More data helps", lessData(data, study.training_images)],
    ["width", "A larger network?", widths(width)],
    ["confidence", "Confidence", [place(confidence)]],
    ["image", "On your image", [place(onYourImage)]],
    ["article", "Does it reproduce the article?", reproduction(study.results)],
  ];
  for (const fill of chosen) fill(modelNames()[0]);
  $("view-overfitting").replaceChildren(
    element("h2", { tabIndex: -1 }, "Overfitting"),
    inShort(settings),
    ...sections.filter(([, , parts]) => parts.length).map(section),
  );
  isShown = true;
}

function section([name, title, parts]) {
  const heading = element("h3", { id: `overfitting/${name}`, tabIndex: -1 }, title);
  return element("section", { class: "chapter" }, heading, ...parts);
}

/** The three questions with their answers, from the first model's first recipe and the techniques. */
function inShort(settings) {
  const record = versionsOf(modelNames()[0]).at(-1);
  const helps = settings.length
    ? [best(settings[0]), " ", element("a", { href: "#overfitting/techniques" }, "All techniques")]
    : ["Regularization, and more data."];
  return element(
    "dl",
    { class: "short" },
    element("dt", {}, "What is it?"),
    element(
      "dd",
      {},
      "A network that overfits knows its training images by heart instead of what they have in common: " +
        `${record.title}, with ${recipeName(record.recipe)}, is right on ` +
        `${percent(record.train_accuracy)} of them, and on ${percent(record.test_accuracy)} of new ones.`,
    ),
    element("dt", {}, "How is it seen?"),
    element(
      "dd",
      {},
      `Training loss keeps falling while validation loss rises, here after epoch ${lowestLoss(record)} of ` +
        `${record.history.length}: a gap opens between training and validation, at the end ` +
        `${points(record.generalization_gap)} points of accuracy wide. `,
      element("a", { href: "#overfitting/epochs" }, "Epoch by epoch"),
    ),
    element("dt", {}, "What helps?"),
    element("dd", {}, ...helps),
  );
}

function onYourImage(name) {
  const kept = versionsOf(name)
    .toReversed()
    .filter(({ stability }) => stability)
    .map(({ recipe, stability }) => `${percent(stability.mirrored)} with ${recipeName(recipe)}`);
  return [
    element(
      "p",
      { class: "finding" },
      "To you, a mirrored image shows the same. ",
      kept.length
        ? `${titleOf(name)} keeps its answer on ${kept.join(", and on ")} of the test images.`
        : "",
    ),
    element("p", {}, element("a", { class: "button", href: "#stability" }, "Try it on your last image")),
    element(
      "p",
      { class: "quiet" },
      "It is mirrored, moved by a pixel or two and made a little noisy: what a network has memorized " +
        "does not survive that. Without an image of yours, the drawn frog is taken.",
    ),
  ];
}
