// A reliability diagram: how often a network is right at each confidence.

import { element, percent, points, shape } from "./dom.js";
import { recipeName } from "./records.js";

const [SIDE, LEFT, TOP] = [200, 30, 8];

export function reliabilityFigure({ calibration, ...version }) {
  const title = `With ${recipeName(version)}`;
  if (!calibration) {
    return element("figure", {}, element("strong", {}, title), element("p", {}, "Not measured."));
  }
  const { reliability, mean_confidence: sure, expected_calibration_error: error } = calibration;
  const x = (confidence) => LEFT + confidence * SIDE;
  const y = (accuracy) => TOP + (1 - accuracy) * SIDE;
  const words = `calibration error ${points(error)} points, at ${percent(sure)} mean confidence`;
  const svg = shape("svg", {
    class: "reliability",
    viewBox: `0 0 ${LEFT + SIDE + 10} ${TOP + SIDE + 30}`,
    role: "img",
    "aria-label": `${title}: ${words}. ${inWords(reliability)}`,
  });
  for (const at of [0, 0.5, 1]) {
    svg.append(
      shape("line", { class: "grid", x1: x(0), x2: x(1), y1: y(at), y2: y(at) }),
      shape("text", { x: LEFT - 4, y: y(at) + 4, "text-anchor": "end" }, String(100 * at)),
      shape("text", { x: x(at), y: y(0) + 14, "text-anchor": "middle" }, String(100 * at)),
    );
  }
  const width = 1 / reliability.length;
  for (const [i, { accuracy, count }] of reliability.entries()) {
    if (!count) continue;
    const bar = { x: x(i * width) + 1, y: y(accuracy), width: width * SIDE - 2, height: accuracy * SIDE };
    svg.append(shape("rect", bar, shape("title", {}, `${percent(accuracy)} of ${count} images`)));
  }
  svg.append(
    shape("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    shape("text", { x: x(0.5), y: y(0) + 28, "text-anchor": "middle" }, "confidence, %"),
  );
  return element(
    "figure",
    {},
    element("strong", {}, title),
    `: ${words}`,
    svg,
    element(
      "figcaption",
      {},
      "Bars are how often it is right, in per cent, when it is so sure: below the diagonal it is too " +
        "sure of itself, above it not sure enough.",
    ),
  );
}

function inWords(reliability) {
  return reliability
    .filter(({ count }) => count)
    .map(({ confidence, accuracy }) => `${percent(confidence)} sure: right on ${percent(accuracy)}`)
    .join("; ");
}
