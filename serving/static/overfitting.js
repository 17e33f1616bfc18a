// Overfitting, told as a story: one finding, one chart and one sentence on how to read it, at a time.

import { askForJson } from "./api.js";
import { confidence } from "./confidence.js";
import { $, choice, element, percent, points, say } from "./dom.js";
import { curves, lowestLoss } from "./epochs.js";
import { lessData, randomLabels, widths } from "./experiments.js";
import { modelNames, recipeName, records, titleOf, versionsOf } from "./records.js";
import { reproduction } from "./reproduction.js";
import { best, measured, techniques } from "./techniques.js";

let isShown = false;

/** Fetch the measurements and show them, once. */
export async function showOverfitting() {
  if (isShown) return; // the visitor's choices stay
  const study = await askForJson("study");
  const settings = measured(study);
  const names = trainedNames();
  const chosen = []; // for each place that shows the chosen model, what fills it
  const place = (fill) => {
    const made = element("div");
    chosen.push((name) => made.replaceChildren(...fill(name)));
    return made;
  };
  const ofModel = (...parts) => (names.length ? parts : []);
  const model = choice(
    "Model",
    names.map((name) => [name, titleOf(name)]),
    (name) => chosen.forEach((fill) => fill(name)),
  );
  const { "random-labels": noise, "less-data": data, width } = study.experiments;
  const sections = [
    ["epochs", "One network, epoch by epoch", ofModel(element("p", { class: "beside-radios" }, model), place(curves))],
    ["random-labels", "It can learn anything by heart", randomLabels(noise)],
    ["techniques", "What helps", techniques(settings)],
    ["data", "More data helps", lessData(data, study.training_images)],
    ["width", "A larger network?", widths(width)],
    ["confidence", "Confidence", ofModel(place(confidence))],
    ["image", "On your image", ofModel(place(onYourImage))],
    ["article", "Does it reproduce the article?", reproduction(study.results)],
  ];
  if (names.length) for (const fill of chosen) fill(names[0]);
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

/** The three questions with their answers, from the first training on record and the techniques. */
function inShort(settings) {
  const record = records.findLast(({ name, history }) => history && name === trainedNames()[0]);
  if (!record) return "";
  const helps = settings.length
    ? [best(settings[0]), " ", element("a", { href: "#overfitting/techniques" }, "All techniques")]
    : ["Regularization, and more data."];
  const answers = [
    [
      "What is it?",
      "A network that overfits knows its training images by heart instead of what they have in common: " +
        `${record.title}, with ${recipeName(record)}, is right on ${percent(record.train_accuracy)} of them, ` +
        `and on ${percent(record.test_accuracy)} of new ones.`,
    ],
    [
      "How is it seen?",
      lowestLoss(record) < record.history.length
        ? `Training loss keeps falling while validation loss rises, here after epoch ${lowestLoss(record)} of ` +
          `${record.history.length}: a gap opens between training and validation, at the end ` +
          `${points(record.generalization_gap)} points of accuracy wide. `
        : "Training loss keeps falling while validation loss rises. Here it does not rise yet: " +
          `validation loss is lowest after the last of ${record.history.length} epochs. `,
      element("a", { href: "#overfitting/epochs" }, "Epoch by epoch"),
    ],
    ["What helps?", ...helps],
  ];
  return element(
    "dl",
    { class: "short" },
    ...answers.flatMap(([question, ...answer]) => [
      element("dt", {}, question),
      element("dd", {}, ...answer),
    ]),
  );
}

function trainedNames() {
  return modelNames().filter((name) => versionsOf(name).some((record) => record.history));
}

function onYourImage(name) {
  const kept = versionsOf(name)
    .toReversed()
    .filter(({ stability }) => stability)
    .map((record) => `${percent(record.stability.mirrored)} with ${recipeName(record)}`);
  return [
    say(
      "To you, a mirrored image shows the same. ",
      kept.length ? `${titleOf(name)} keeps its answer on ${kept.join(", and on ")} of the test images.` : "",
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
