// The article's figures beside ours for its recipe, in its own metric; means of several seeds.

import { element, points, scrolling, table } from "./dom.js";
import { records } from "./records.js";
import { seeds, spread, written } from "./spread.js";

const REPRODUCED = [
  (run) => run.running_train_accuracy,
  (run) => run.validation.accuracy,
  (run) => run.test.accuracy,
];

/** The table, folded; nothing where no model is the article's. */
export function reproduction(results) {
  const rows = records
    .filter(({ recipe, article }) => recipe === "article" && article)
    .flatMap(({ name, title, article, running_train_accuracy: training, history, test_accuracy: test }) => {
      const repeated = results.filter(
        ({ setting, technique, running_train_accuracy }) =>
          technique === "baseline" &&
          setting.model === name &&
          setting.epochs === history.length &&
          running_train_accuracy !== null,
      );
      const byPrecision = [...Map.groupBy(repeated, ({ setting }) => setting.precision)];
      return [
        ["the article", article.train_accuracy, article.validation_accuracy, article.test_accuracy],
        ["here", training, history.at(-1).val_accuracy, test],
      ]
        .map(([whose, ...accuracies]) => [`${title}, ${whose}`, ...accuracies.map(points)])
        .concat(
          byPrecision.map(([precision, runs]) => [
            `${title}, here, ${seeds(runs)} in ${precision}`,
            ...REPRODUCED.map((read) => written(spread(runs.map(read)))),
          ]),
        );
    });
  if (!rows.length) return [];
  return [
    element(
      "details",
      {},
      element("summary", {}, "The article’s figures beside ours"),
      scrolling(table("Accuracy after the last epoch, %", ["", "training", "validation", "test"], rows)),
      element(
        "p",
        { class: "quiet" },
        "The closer, the better the article is reproduced. Training is the mean over the last epoch, as " +
          "the article has it.",
      ),
    ),
  ];
}
