// Learning curves: training and validation accuracy by epoch; where they part, a model overfits.

import { element, percent, shape } from "./dom.js";
import { recipeName } from "./records.js";

const [WIDTH, HEIGHT] = [320, 180];
const [LEFT, RIGHT, TOP, BOTTOM] = [34, 314, 8, 160];
const LINES = [
  ["train", "accuracy"],
  ["validation", "val_accuracy"],
];

/** A figure of one or several versions' curves; the first is drawn solid, the second dashed. */
export function curvesFigure(title, records) {
  const longest = Math.max(...records.map(({ history }) => history.length));
  const x = (i) => LEFT + (longest > 1 ? (i / (longest - 1)) * (RIGHT - LEFT) : 0);
  const y = (accuracy) => BOTTOM - accuracy * (BOTTOM - TOP);
  const svg = shape("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": `${title}: training and validation accuracy by epoch. ${inWords(records)}`,
  });
  for (const accuracy of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(
      shape("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: y(accuracy), y2: y(accuracy) }),
      shape("text", { x: LEFT - 4, y: y(accuracy) + 4, "text-anchor": "end" }, String(100 * accuracy)),
    );
  }
  svg.append(
    shape("text", { x: LEFT, y: BOTTOM + 15 }, "epoch 1"),
    shape("text", { x: RIGHT, y: BOTTOM + 15, "text-anchor": "end" }, String(longest)),
  );
  for (const [i, { history }] of records.entries()) {
    for (const [name, key] of LINES) {
      const line = history.map((epoch, at) => `${x(at)},${y(epoch[key])}`).join(" ");
      svg.append(shape("polyline", { class: `${name} ${i ? "dashed" : ""}`, points: line }));
    }
  }
  return element(
    "figure",
    { class: "curves" },
    svg,
    element("p", { class: "legend" }, ...legend(records)),
    element(
      "figcaption",
      {},
      "Accuracy in per cent by epoch: the wider the gap between training and validation, the more " +
        "the network knows its training images by heart.",
    ),
    ...(records.some(isCrossed) ? [note(records)] : []),
  );
}

function legend(records) {
  const lines = [element("span", { class: "train" }, "training, while it trains"), " ", element("span", { class: "validation" }, "validation")];
  if (records.length === 1) return lines;
  return [...lines, ` · solid: ${recipeName(records[0])}, dashed: ${recipeName(records[1])}`];
}

function inWords(records) {
  return records
    .map((record) => {
      const { accuracy, val_accuracy: validation } = record.history.at(-1);
      return `Last, with ${recipeName(record)}: ${percent(accuracy)} and ${percent(validation)}.`;
    })
    .join(" ");
}

function isCrossed({ history }) {
  return history.some((epoch) => epoch.val_accuracy > epoch.accuracy);
}

function note(records) {
  const plain = records.map((record) => `${percent(record.train_accuracy)} with ${recipeName(record)}`);
  return element(
    "p",
    { class: "note" },
    "Where validation lies above training, training is the harder test: its accuracy is a mean over " +
      "the epoch, before the weights are as good, and dropout and augmentation make its images harder " +
      `than they are. On the plain training images the finished network is right on ${plain.join(", ")}.`,
  );
}
