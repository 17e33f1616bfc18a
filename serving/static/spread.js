// Means over runs with several seeds, and how far the runs spread.

import { points } from "./dom.js";

/** Mean, and standard deviation over the seeds if there are several. */
export function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null };
}

/** In percent or points. */
export function written({ mean, deviation }) {
  return deviation === null ? points(mean) : `${points(mean)} ± ${points(deviation)}`;
}
