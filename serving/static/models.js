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
  const { name, title, article } = record;
  return element(
    "article",
    { class: "model" },
    element("h3", {}, title),
    element(
      "p",
      { class: "accuracy" },
      `Right on ${percent(record.test_accuracy)} of the test images; ` +
        `the article’s was on ${percent(article.test_accuracy)}. `,
      element("a", { href: `#card/${name}` }, `${title}’s card`),
    ),
    element(
      "details",
      { "data-model": name, open: opened.has(name) },
      element("summary", {}, "How much it overfits"),
      curvesFigure(title, [record]),
      table(
        "Accuracy, %",
        ["", "here", "article"],
        [
          ["training", points(record.train_accuracy), points(article.train_accuracy)],
          ["validation", points(record.validation_accuracy), points(article.validation_accuracy)],
          [
            "gap, in points",
            points(record.generalization_gap),
            points(article.train_accuracy - article.validation_accuracy),
          ],
          ["test", points(record.test_accuracy), points(article.test_accuracy)],
        ],
      ),
      element(
        "p",
        { class: "quiet" },
        "The article’s training accuracy, and so its gap, is a mean over its last epoch; ours is of " +
          "the finished network." +
          int8Note(record),
      ),
    ),
  );
}
