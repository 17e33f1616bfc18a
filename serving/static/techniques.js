// Changes to the article's recipe: accuracy and gap with their spread over the seeds.

import { choice, element, points, scrolling, shape, table } from "./dom.js";
import { spread, written } from "./spread.js";

const MEASURES = [
  ["training", (run) => run.train.accuracy],
  ["validation", (run) => run.validation.accuracy],
  ["gap", (run) => run.train.accuracy - run.validation.accuracy],
  ["test", (run) => run.test.accuracy],
];
const [WIDTH, ROW, LEFT, RIGHT, BELOW] = [360, 22, 124, 346, 20];

/** A section per setting in which techniques compare: two charts, a comparison, all figures. */
export function techniques(results, compared) {
  return compared.map(({ setting, seeds }) => {
    const same = JSON.stringify(setting);
    const runs = results.filter((run) => JSON.stringify(run.setting) === same && seeds.includes(run.seed));
    const { model, epochs } = setting;
    const figures = [...Map.groupBy(runs, (run) => run.technique)].map(([name, of]) => ({
      name,
      runs: of,
      ...Object.fromEntries(MEASURES.map(([measure, read]) => [measure, spread(of.map(read))])),
    }));
    const place = element("div");
    const said = element("p", { "aria-live": "polite" });
    const chosen = [figures[0].name, figures.at(-1).name];
    const show = () => {
      const two = chosen.map((name) => figures.find((figure) => figure.name === name));
      place.replaceChildren(...charts(figures, chosen), comparison(...two));
      said.textContent = inWords(...two);
    };
    const selects = ["Compare", "with"].map((label, i) => {
      const select = choice(label, figures.map(({ name }) => [name, name]), (name) => {
        chosen[i] = name;
        show();
      });
      select.querySelector("select").value = chosen[i];
      return select;
    });
    show();
    return element(
      "section",
      { class: "techniques" },
      element(
        "p",
        {},
        `The article’s recipe, here the baseline, and changes to it, on the ${model} model for up ` +
          `to ${epochs} epochs.`,
        figures.some(({ name }) => name === "combined") ? " “combined” is all of them at once." : "",
      ),
      element("p", {}, selects[0], " ", selects[1]),
      said,
      place,
      element("details", {}, element("summary", {}, "All figures"), scrolling(allFigures(figures))),
    );
  });
}

function charts(figures, chosen) {
  return [
    element(
      "div",
      { class: "pair" },
      chart(
        "test",
        "Test accuracy, %",
        "How often the network is right on images that it has not seen: farther right is better.",
        figures,
        chosen,
      ),
      chart(
        "gap",
        "Gap, in points",
        "Training minus validation accuracy: farther left is less overfitting.",
        figures,
        chosen,
      ),
    ),
  ];
}

function chart(measure, title, help, figures, chosen) {
  const reaches = figures.flatMap(({ [measure]: { mean, deviation } }) => [
    mean - (deviation ?? 0),
    mean + (deviation ?? 0),
  ]);
  const low = Math.floor(10 * Math.min(...reaches)) / 10;
  const high = Math.max(Math.ceil(10 * Math.max(...reaches)) / 10, low + 0.1);
  const x = (value) => LEFT + ((value - low) / (high - low)) * (RIGHT - LEFT);
  const bottom = ROW * figures.length;
  const svg = shape("svg", {
    viewBox: `0 0 ${WIDTH} ${bottom + BELOW}`,
    role: "img",
    "aria-label": `${title}: ${figures.map((f) => `${f.name} ${written(f[measure])}`).join(", ")}`,
  });
  for (let at = low; at < high + 0.01; at += 0.1) {
    svg.append(
      shape("line", { class: "grid", x1: x(at), x2: x(at), y1: 0, y2: bottom }),
      shape("text", { x: x(at), y: bottom + 14, "text-anchor": "middle" }, points(at).replace(".0", "")),
    );
  }
  for (const [i, figure] of figures.entries()) {
    const { mean, deviation } = figure[measure];
    const y = ROW * i + ROW / 2;
    const row = shape("g", { class: chosen.includes(figure.name) ? "chosen" : "" });
    row.append(
      shape("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, figure.name),
      shape("circle", { cx: x(mean), cy: y, r: 4 }),
    );
    if (deviation !== null) {
      row.append(shape("line", { x1: x(mean - deviation), x2: x(mean + deviation), y1: y, y2: y }));
    }
    svg.append(row);
  }
  return element(
    "figure",
    { "data-measure": measure },
    element("strong", {}, title),
    svg,
    element("figcaption", {}, `${help} A dot is the mean of the seeds, a line the standard deviation.`),
  );
}

function comparison(one, other) {
  const rows = MEASURES.map(([measure, read]) => [
    measure === "gap" ? "gap, in points" : measure,
    written(one[measure]),
    written(other[measure]),
    signed(difference(one, other, read)),
  ]);
  return element(
    "figure",
    {},
    scrolling(table("Accuracy, %", ["", one.name, other.name, "difference"], rows)),
    element(
      "figcaption",
      {},
      "A difference is that of runs with the same seed, ± its standard deviation; it is within the " +
        "spread where it is at most twice that.",
    ),
  );
}

function inWords(one, other) {
  if (one === other) return "Choose two different techniques to compare them.";
  const differences = [
    ["test accuracy", "test", ["higher", "lower"]],
    ["gap", "gap", ["wider", "narrower"]],
  ].map(([title, measure, [more, less]]) => {
    const { mean, deviation } = difference(one, other, Object.fromEntries(MEASURES)[measure]);
    const by = `its ${title} is ${points(Math.abs(mean))} points ${mean > 0 ? more : less}`;
    if (deviation === null) return `${by}, its spread not known`;
    return Math.abs(mean) > 2 * deviation ? by : `${by}, which is within the spread`;
  });
  return `${other.name} against ${one.name}: ${differences.join("; ")}.`;
}

/** Between runs with the same seed. */
function difference(one, other, read) {
  const before = new Map(one.runs.map((run) => [run.seed, read(run)]));
  return spread(other.runs.map((run) => read(run) - before.get(run.seed)));
}

function signed({ mean, deviation }) {
  return `${mean < 0 ? "−" : "+"}${written({ mean: Math.abs(mean), deviation })}`;
}

function allFigures(figures) {
  return table(
    "Means in per cent and points, ± the standard deviation over n seeds",
    ["", "n", ...MEASURES.map(([measure]) => measure)],
    figures.map((figure) => [
      figure.name,
      String(figure.runs.length),
      ...MEASURES.map(([measure]) => written(figure[measure])),
    ]),
  );
}
