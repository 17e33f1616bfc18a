// What each network is and how far it overfits, from its record.

import { curvesFigure } from "./curves.js";
import { $, element, percent, points, table } from "./dom.js";
import { int8Note, shownRecords } from "./records.js";

/** Fill in a card for each model that is shown. */
export function showModels() {
  const opened = new Set(
    [...document.querySelectorAll("#models details[open]")].map((d) => d.dataset.model),
  );
  $("models").replaceChildren(...shownRecords().map((record) => model(record, opened)));
}

function model(record, opened) {
  const { name, title } = record;
  return element(
    "article",
    { class: "model" },
    element("h3", {}, title),
    element(
      "p",
      { class: "accuracy" },
      `${worth(record)}. `,
      element("a", { href: `#card/${name}` }, `${title}’s card`),
    ),
    ...(record.history ? [overfitting(record, opened)] : []),
  );
}

function worth({ test_accuracy: accuracy, article }) {
  if (accuracy === undefined) return "How often it is right was not measured";
  const compared = article ? `; the article’s was on ${percent(article.test_accuracy)}` : "";
  return `Right on ${percent(accuracy)} of the test images${compared}`;
}

function overfitting(record, opened) {
  const { name, title, article } = record;
  const rows = [
    ["training", record.train_accuracy, article?.train_accuracy],
    ["validation", record.validation_accuracy, article?.validation_accuracy],
    ["gap, in points", record.generalization_gap, article && article.train_accuracy - article.validation_accuracy],
    ["test", record.test_accuracy, article?.test_accuracy],
  ];
  const columns = article ? ["here", "article"] : ["here"];
  const note = article
    ? "The article’s training accuracy, and so its gap, is a mean over its last epoch; ours is of " +
      "the finished network."
    : "";
  return element(
    "details",
    { "data-model": name, open: opened.has(name) },
    element("summary", {}, "How much it overfits"),
    curvesFigure(title, [record]),
    table(
      "Accuracy, %",
      ["", ...columns],
      rows.map(([set, ...fractions]) => [set, ...fractions.slice(0, columns.length).map(points)]),
    ),
    element("p", { class: "quiet" }, note + int8Note(record)),
  );
}
