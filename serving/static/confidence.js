// Reliability diagrams: how often a network is right at each confidence, its recipes on one scale.

import { lineChart } from "./charts.js";
import { percent, points, say } from "./dom.js";
import { recipeName, versionsOf } from "./records.js";

const FEWEST = 30; // images in a bin; fewer say little
const CALIBRATED = 0.02; // mean confidence this close to accuracy
const LOOKS = ["train", "validation", "other"];

/** The finding and the diagram of a model's versions, the article's recipe first. */
export function confidence(name) {
  const versions = versionsOf(name)
    .filter((record) => record.calibration)
    .toReversed();
  if (!versions.length) return [say("The calibration of this model was not measured.")];
  const [figure] = lineChart({
    title: `${versions[0].title}: accuracy by confidence`,
    reading:
      "On the diagonal, confidence is what it says: of the answers at 80 %, 80 % are correct. Below " +
      `it the network is overconfident. Intervals with fewer than ${FEWEST} test images are left out.`,
    x: { label: "confidence, %", format: points, domain: [0, 1] },
    panels: [
      {
        label: "accuracy, %",
        format: points,
        domain: [0, 1],
        guide: [[0, 0], [1, 1]],
        series: versions.map(({ calibration: { reliability }, ...version }, i) => ({
          name: recipeName(version),
          look: LOOKS[i % LOOKS.length],
          points: reliability
            .map(({ accuracy, count }, bin) => ({ x: (bin + 0.5) / reliability.length, y: accuracy, count }))
            .filter(({ count }) => count >= FEWEST),
        })),
      },
    ],
  });
  return [say(versions.map(inWords).join(" ")), figure];
}

function inWords({ test_accuracy: accuracy, calibration, ...version }) {
  const { mean_confidence: mean, expected_calibration_error: error } = calibration;
  const off = mean - accuracy;
  const is = Math.abs(off) <= CALIBRATED ? "calibrated" : off > 0 ? "overconfident" : "underconfident";
  return (
    `With ${recipeName(version)} it is ${is}: ${percent(mean)} confident on average, and right on ` +
    `${percent(accuracy)} of the test images; calibration error ${points(error)} points.`
  );
}
