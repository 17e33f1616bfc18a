// Means over runs with several seeds, and how far the runs spread.

import { points } from "./dom.js";

/** The mean as `y`, and the standard deviation over the seeds, null if there is one alone. */
export function spread(values) {
  const y = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - y) ** 2, 0);
  return { y, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null };
}

/** In percent or points. */
export function written({ y, deviation }) {
  return deviation === null ? points(y) : `${points(y)} ± ${points(deviation)}`;
}

export function seeds(runs) {
  return runs.length === 1 ? "1 seed" : `${runs.length} seeds`;
}

export function gapOf(run) {
  return run.train.accuracy - run.validation.accuracy;
}
