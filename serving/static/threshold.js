// The confidence below which a model gives no answer, and what that buys on the test set.

import { $, element, of100, percent } from "./dom.js";
import { shownRecords } from "./records.js";

let thresholds = [0]; // for which the records have figures

/** The chosen minimum confidence, a fraction. */
export function leastConfidence() {
  return thresholds[$("least").value] ?? 0;
}

/** Offer the records' thresholds, and call `choose` when another is chosen. */
export function addThreshold(choose) {
  $("least").addEventListener("input", () => {
    showThreshold();
    choose();
  });
  showThreshold();
}

/** Show what the threshold buys for the models that are shown. */
export function showThreshold() {
  const measured = shownRecords().filter((record) => record.calibration);
  $("threshold").hidden = measured.length === 0;
  const offered = measured[0]?.calibration.coverage.map((at) => at.threshold) ?? [0];
  thresholds = offered.filter((least) => measured.every((record) => coverageAt(record, least)));
  $("least").max = thresholds.length - 1;
  const least = leastConfidence();
  const shown = least ? `${of100(least)} %` : "any";
  $("least").setAttribute("aria-valuetext", shown);
  $("least-shown").textContent = shown;
  $("buys").replaceChildren(...measured.map((record) => element("li", {}, buys(record, least))));
}

function buys(record, least) {
  const { coverage, accuracy } = coverageAt(record, least);
  const correct = accuracy === null ? "" : `, ${percent(accuracy)} correct`;
  return `${record.title}: answers ${percent(coverage)}${correct}`;
}

function coverageAt({ calibration }, least) {
  return calibration.coverage.find((at) => at.threshold === least);
}
