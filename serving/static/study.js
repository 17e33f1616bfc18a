// The study's view: what reduces overfitting, and the two recipes of a model compared.

import { askForJson } from "./api.js";
import { confusionTable } from "./confusion.js";
import { curvesFigure } from "./curves.js";
import { $, choice, element, points, scrolling, table } from "./dom.js";
import { reliabilityFigure } from "./reliability.js";
import { spread, written } from "./spread.js";
import { techniques } from "./techniques.js";

let isShown = false;

/** Fetch the study and show it, once. */
export async function showStudy() {
  if (isShown) return; // the visitor's choices stay
  const { results, compared, versions } = await askForJson("study");
  isShown = true;
  $("view-study").replaceChildren(
    element("h2", { tabIndex: -1 }, "The study"),
    ...techniques(results, compared),
    ...(versions.length ? [element("h2", {}, "The recipes against each other"), ...recipes(versions)] : []),
    element("h2", {}, "The article, reproduced"),
    reproduction(versions, results),
  );
}

/** The figures of one model's versions, and a choice of the model. */
function recipes(versions) {
  const titles = new Map(versions.map(({ name, title }) => [name, title]));
  const place = element("div");
  const show = (name) => {
    // The article's recipe comes first.
    const of = versions.filter((version) => version.name === name).toReversed();
    place.replaceChildren(
      element("h3", {}, "Learning curves"),
      curvesFigure(titles.get(name), of),
      element("h3", {}, "Is it as good as it is sure?"),
      element("div", { class: "pair" }, ...of.map(reliabilityFigure)),
      element("h3", {}, "What is taken for what?"),
      element("div", { class: "pair" }, ...of.filter((version) => version.confusion_matrix).map(confusionTable)),
    );
  };
  const select = choice("Model", [...titles], show);
  show(titles.keys().next().value);
  return [element("p", {}, select), place];
}

const REPRODUCED = [
  (run) => run.running_train_accuracy,
  (run) => run.validation.accuracy,
  (run) => run.test.accuracy,
];

/** The article's figures beside ours for its recipe, in its own metric; means of several seeds. */
function reproduction(versions, results) {
  const rows = versions
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
            `${title}, here, ${runs.length} ${runs.length === 1 ? "seed" : "seeds"} in ${precision}`,
            ...REPRODUCED.map((read) => written(spread(runs.map(read)))),
          ]),
        );
    });
  return element(
    "figure",
    {},
    scrolling(table("Accuracy after the last epoch, %", ["", "training", "validation", "test"], rows)),
    element(
      "figcaption",
      {},
      "The article’s figures beside those of its recipe trained here: the closer, the better it is " +
        "reproduced. Training is the mean over the last epoch, as the article has it.",
    ),
  );
}
