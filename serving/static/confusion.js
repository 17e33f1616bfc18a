// A confusion matrix as a table: the more images a cell counts, the darker it is.

import { element, percent, scrolling, table } from "./dom.js";
import { recipeName } from "./records.js";

export function confusionTable(version) {
  const { classes, confusion_matrix: matrix, test_accuracy: accuracy } = version;
  const made = table(
    `With ${recipeName(version)}: test accuracy ${percent(accuracy)}`,
    ["", ...classes],
    classes.map((name, i) => [name, ...matrix[i].map(String)]),
  );
  made.className = "confusion";
  for (const [i, counts] of matrix.entries()) {
    const sum = counts.reduce((total, count) => total + count, 0);
    for (const [j, count] of counts.entries()) {
      const cell = made.tBodies[0].rows[i].cells[j + 1];
      cell.className = i === j ? "right" : "wrong";
      cell.style.setProperty("--share", count / sum);
    }
  }
  return scrolling(made);
}
