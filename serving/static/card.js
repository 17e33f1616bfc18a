// A model's card: the records of its versions, side by side.

import { confusionTable } from "./confusion.js";
import { $, element, percent, points, scrolling, table, thousands } from "./dom.js";
import { curvesOf } from "./epochs.js";
import { classesOf, int8Note, modelNames, recipeName, titleOf, versionsOf } from "./records.js";
import { word } from "./words.js";

/** Show a model's card, or the first model's if there is none of that name. */
export function showCard(asked) {
  const name = modelNames().includes(asked) ? asked : modelNames()[0];
  const versions = versionsOf(name);
  const headings = versions.map((record) =>
    [`version ${record.version}`, ...(record.recipe ? [recipeName(record)] : [])].join(", "),
  );
  const rows = (cells) => cells.map(([text, cell]) => [text, ...versions.map((record) => cell(record) ?? "–")]);
  const trained = versions.filter((record) => record.history);
  const tested = versions.filter((record) => record.confusion_matrix);
  const count = `${versions[0].classes.length} classes`;
  $("view-card").replaceChildren(
    element("h2", { tabIndex: -1 }, `${titleOf(name)}’s card`),
    element("p", {}, ...links(name)),
    element(
      "p",
      {},
      (trained.length
        ? `A convolutional network of ${known(versions[0].parameters, thousands)} parameters that tells ` +
          `${count} apart, made to see overfitting and what reduces it. `
        : `A model that tells ${count} apart; how it was trained is not recorded. `) +
        "Do not use it for decisions about people, safety or money: it gives every image one of its " +
        "classes, whatever it shows." +
        int8Note(versions[0]),
    ),
    classesOf(versions[0].classes),
    ...(trained.length ? [scrolling(table("Training", ["", ...headings], rows(TRAINING)))] : []),
    scrolling(table("Measured", ["", ...headings], rows(MEASURED))),
    ...(tested.length ? testResults(tested, headings, rows) : []),
    ...trained.map((record) =>
      element("section", {}, element("h3", {}, headings[versions.indexOf(record)]), ...curvesOf(record)),
    ),
    element("h3", {}, "The records as JSON"),
    // No links to /models: a browser that follows one would not send the API key.
    ...versions.map((record) =>
      element(
        "details",
        {},
        element("summary", {}, `version ${record.version}`),
        element("pre", { class: "scrolling", tabIndex: 0 }, JSON.stringify(record, null, 2)),
      ),
    ),
  );
}

function testResults(tested, headings, rows) {
  return [
    element("h3", {}, word("confusion matrix", "Confusion matrix")),
    element(
      "p",
      { class: "quiet" },
      "Each row’s test images show one class, each column is an answer: off the diagonal are the mistakes.",
    ),
    ...tested.map(confusionTable),
    scrolling(
      table(
        "Accuracy on the test images of each class, %",
        ["", ...headings],
        rows(tested[0].classes.map((name) => [name, (record) => points(record.class_accuracy?.[name])])),
      ),
    ),
  ];
}

const TRAINING = [
  ["epochs", (r) => (r.epochs_completed === r.epochs ? r.epochs : `${r.epochs_completed} of ${r.epochs}`)],
  ["arithmetic", (r) => r.precision],
  ["seed", (r) => r.seed],
  ["layers", (r) => r.layers],
  ["on", (r) => r.device],
  ["minutes", (r) => known(r.training_seconds, (seconds) => (seconds / 60).toFixed(0))],
  ["exported", (r) => r.date?.slice(0, 10)],
];

const MEASURED = [
  ["training accuracy", (r) => percent(r.train_accuracy)],
  ["validation accuracy", (r) => percent(r.validation_accuracy)],
  ["gap, points", (r) => points(r.generalization_gap)],
  ["test accuracy", (r) => percent(r.test_accuracy)],
  ["the article’s test accuracy", (r) => known(r.article, (a) => percent(a.test_accuracy))],
  ["mean confidence", (r) => known(r.calibration, (c) => percent(c.mean_confidence))],
  [
    "expected calibration error, points",
    (r) => known(r.calibration, (c) => points(c.expected_calibration_error)),
  ],
  ["same answer when mirrored", (r) => known(r.stability, (s) => percent(s.mirrored))],
  ["same answer when moved by 2 pixels", (r) => known(r.stability, (s) => percent(s.shifted))],
  [
    "noise is most often called",
    (r) => known(r.noise, (n) => `${n.most_common_class}, ${percent(n.share)}; confidence ${percent(n.confidence)}`),
  ],
];

function known(measured, text) {
  return measured === undefined || measured === null ? "–" : text(measured);
}

function links(shown) {
  return modelNames().flatMap((name) => [
    element(
      "a",
      { href: `#card/${name}`, ...(name === shown ? { "aria-current": "page" } : {}) },
      titleOf(name),
    ),
    " ",
  ]);
}
