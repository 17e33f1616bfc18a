// A model's card: the records of its versions, side by side.

import { curvesFigure } from "./curves.js";
import { $, element, percent, points, scrolling, table } from "./dom.js";
import { int8Note, modelNames, recipeName, records, titleOf, versionsOf } from "./records.js";

/** Show a model's card, or the first model's if there is none of that name. */
export function showCard(asked) {
  const name = modelNames().includes(asked) ? asked : modelNames()[0];
  const versions = versionsOf(name);
  const headings = versions.map((record) =>
    [`version ${record.version}`, ...(record.recipe ? [recipeName(record)] : [])].join(", "),
  );
  const rows = (cells) => cells.map(([text, cell]) => [text, ...versions.map((record) => cell(record) ?? "–")]);
  const trained = versions.some((record) => record.history);
  $("view-card").replaceChildren(
    element("h2", { tabIndex: -1 }, `${titleOf(name)}’s card`),
    element("p", {}, ...links(name)),
    element(
      "p",
      {},
      (trained
        ? `A convolutional network of ${known(versions[0].parameters, (n) => n.toLocaleString("en"))} ` +
          "parameters that tells CIFAR-10’s ten classes apart, made to see overfitting and what " +
          "reduces it. "
        : "A model that tells CIFAR-10’s ten classes apart; how it was trained is not recorded. ") +
        "It is no tool for decisions about people, safety or money: it gives every image one of its " +
        "classes, whatever it shows." +
        int8Note(versions[0]),
    ),
    ...(trained ? [scrolling(table("Training", ["", ...headings], rows(TRAINING)))] : []),
    scrolling(table("What it is worth", ["", ...headings], rows(WORTH))),
    scrolling(
      table(
        "Right on test images of each class, %",
        ["", ...headings],
        rows(records[0].classes.map((c) => [c, (record) => points(record.class_accuracy?.[c])])),
      ),
    ),
    ...versions.flatMap((record, i) =>
      record.history
        ? [element("section", {}, element("h3", {}, headings[i]), curvesFigure(headings[i], [record]))]
        : [],
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

const TRAINING = [
  ["epochs", (r) => (r.epochs_completed === r.epochs ? r.epochs : `${r.epochs_completed} of ${r.epochs}`)],
  ["arithmetic", (r) => r.precision],
  ["seed", (r) => r.seed],
  ["layers", (r) => r.layers],
  ["on", (r) => r.device],
  ["minutes", (r) => known(r.training_seconds, (seconds) => (seconds / 60).toFixed(0))],
  ["exported", (r) => r.date?.slice(0, 10)],
];

const WORTH = [
  ["right on training images", (r) => percent(r.train_accuracy)],
  ["on validation images", (r) => percent(r.validation_accuracy)],
  ["gap, in points", (r) => points(r.generalization_gap)],
  ["on test images", (r) => percent(r.test_accuracy)],
  ["mean confidence on them", (r) => known(r.calibration, (c) => percent(c.mean_confidence))],
  [
    "calibration error, in points",
    (r) => known(r.calibration, (c) => points(c.expected_calibration_error)),
  ],
  ["same answer when mirrored", (r) => known(r.stability, (s) => percent(s.mirrored))],
  ["when moved by 2 pixels", (r) => known(r.stability, (s) => percent(s.shifted))],
  [
    "takes pure noise most often for",
    (r) => known(r.noise, (n) => `${n.most_common_class} in ${percent(n.share)}; ${percent(n.confidence)} sure`),
  ],
];

function known(measured, text) {
  return measured ? text(measured) : "–";
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
