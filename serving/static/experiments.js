// Three experiments with the article's recipe: random labels, less data, other widths.

import { lineChart } from "./charts.js";
import { element, of100, percent, points, radios, say, thousands } from "./dom.js";
import { titleOf, versionsOf } from "./records.js";
import { gapOf, seeds, spread } from "./spread.js";

/** What is memorized when, by share of random labels; nothing if it was not measured. */
export function randomLabels(results) {
  const noisy = results.filter(({ hyperparameters, history }) => hyperparameters.label_noise && history.length);
  const groups = [...Map.groupBy(noisy, ({ setting, technique }) => `${technique} ${setting.epochs}`).values()];
  if (!groups.length) return [];
  groups.sort(([a], [b]) => a.hyperparameters.label_noise - b.hyperparameters.label_noise || a.setting.epochs - b.setting.epochs);
  const place = element("div");
  const show = (i) => place.replaceChildren(...memorized(groups[i]));
  show(0);
  const options = groups.map(([{ hyperparameters, setting }], i) => [
    i,
    `${of100(hyperparameters.label_noise)} %, ${setting.epochs} epochs`,
  ]);
  return [radios("Random labels", options, show), place];
}

function memorized(runs) {
  const [{ setting, hyperparameters }] = runs;
  const epochs = Math.min(...runs.map(({ history }) => history.length));
  const by = (read) =>
    Array.from({ length: epochs }, (_, i) => ({ x: i + 1, ...spread(runs.map(({ history }) => read(history[i]))) }));
  const hasClean = runs[0].history[0].memorization.clean !== null;
  const clean = hasClean ? by(({ memorization }) => memorization.clean) : [];
  const noisy = by(({ memorization }) => memorization.noisy);
  const validation = by((epoch) => epoch.val_accuracy);
  const share = percent(hyperparameters.label_noise).replace(".0", "");
  const [figure] = lineChart({
    title: `${share} random labels: accuracy by epoch`,
    reading:
      "Labels of training images were replaced by random ones; validation labels are true. The random " +
      "labels have no pattern: their line can only rise by learning them by heart, image by image. " +
      `${titleOf(setting.model)}, mean of ${seeds(runs)}.`,
    x: { label: "epoch" },
    panels: [
      {
        label: "%",
        format: points,
        domain: [0, 1],
        series: [
          ...(hasClean ? [{ name: "images with their true label: correct", look: "other", points: clean }] : []),
          { name: "images with a random label: that label", look: "train", points: noisy },
          { name: "validation images: correct", look: "validation", points: validation },
        ],
      },
    ],
  });
  const last = noisy.at(-1).y;
  const end = validation.at(-1).y;
  if (!hasClean) {
    const chance = 1 / versionsOf(setting.model)[0]?.classes.length;
    return [
      say(
        `Every label is random, so there is nothing to learn. By epoch ${epochs} the network repeats ` +
          `${percent(last)} of the labels all the same, and is right on ${percent(end)} of the validation ` +
          `images${chance ? `; by chance, both would be ${percent(chance)}` : ""}.`,
      ),
      figure,
    ];
  }
  const top = validation.reduce((one, other) => (other.y > one.y ? other : one));
  return [
    say(
      `First it learns, then it memorizes: after epoch ${top.x} it is right on ${percent(clean[top.x - 1].y)} of the ` +
        `images with their true label and repeats ${percent(noisy[top.x - 1].y)} of the random labels. By epoch ` +
        `${epochs} it repeats ${percent(last)} of them, and validation accuracy has gone from ${percent(top.y)} to ${percent(end)}.`,
    ),
    figure,
  ];
}

/** Test accuracy and gap by the number of training images, plain and augmented. */
export function lessData(results, all) {
  const images = ({ hyperparameters }) => hyperparameters.training_images ?? all;
  const kinds = [
    ["article’s recipe", "train", results.filter((run) => !run.hyperparameters.flips_and_shifts)],
    ["with flips and shifts", "validation", results.filter((run) => run.hyperparameters.flips_and_shifts)],
  ];
  const by = (read) =>
    kinds
      .map(([name, look, runs]) => ({ name, look, points: averaged(runs, images, read) }))
      .filter((series) => series.points.length > 1);
  const [test, gap] = [by((run) => run.test.accuracy), by(gapOf)];
  if (!test.length) return [];
  const [few, many] = ends(test[0]);
  const [fewGap, manyGap] = ends(gap[0]);
  const [figure] = lineChart({
    title: "Test accuracy and gap by number of training images",
    reading:
      "Every run has as many updates as the whole training takes, so only the data differ. Each step to " +
      "the right multiplies the images. A bar is the standard deviation over the seeds; the table has n.",
    x: { label: "training images", format: thousands, log: true },
    panels: [
      { label: "test accuracy, %", format: points, series: test },
      { label: "gap, points", format: points, series: gap },
    ],
  });
  return [
    say(
      `With ${thousands(many.x)} training images instead of ${thousands(few.x)}, test accuracy goes from ` +
        `${percent(few.y)} to ${percent(many.y)} and the gap from ${points(fewGap.y)} to ${points(manyGap.y)} points.`,
    ),
    figure,
  ];
}

/** Training and test accuracy by the number of parameters. */
export function widths(results) {
  // The baseline is of the bundled network; earlier runs did not record its parameters.
  const parameters = (run) => run.parameters ?? versionsOf(run.setting.model)[0]?.parameters;
  const known = results.filter(parameters);
  const train = averaged(known, parameters, (run) => run.train.accuracy);
  const test = averaged(known, parameters, (run) => run.test.accuracy);
  if (test.length < 2) return [];
  const [small, large] = [test[0], test.at(-1)];
  const change = large.y - small.y;
  const better = change > 0 ? "higher" : "lower";
  const noise = 2 * Math.max(small.deviation ?? 0, large.deviation ?? 0);
  const [figure] = lineChart({
    title: "Training and test accuracy by number of parameters",
    reading:
      "The same network with fewer or more filters and units in every layer. The distance between the lines " +
      "is overfitting. A bar is the standard deviation over the seeds; the table has n.",
    x: { label: "parameters", format: thousands, log: true },
    panels: [
      {
        label: "accuracy, %",
        format: points,
        series: [
          { name: "training", look: "train", points: train },
          { name: "test", look: "validation", points: test },
        ],
      },
    ],
  });
  return [
    say(
      `From ${thousands(small.x)} to ${thousands(large.x)} parameters, training accuracy goes from ` +
        `${percent(train[0].y)} to ${percent(train.at(-1).y)}; test accuracy is ${points(Math.abs(change))} points ` +
        `${better}${Math.abs(change) > noise ? "" : ", which is within the spread of the seeds"}.`,
    ),
    figure,
  ];
}

function ends({ points }) {
  return [points[0], points.at(-1)];
}

/** A point for each x, with mean, deviation and n over the seeds. */
function averaged(runs, x, read) {
  return [...Map.groupBy(runs, x)]
    .map(([at, of]) => ({ x: at, n: of.length, ...spread(of.map(read)) }))
    .sort((one, other) => one.x - other.x);
}
