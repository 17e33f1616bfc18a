// Changes to the article's recipe: accuracy and gap with their spread over the seeds.

import { dotChart } from "./charts.js";
import { choice, element, percent, points, say, scrolling, table } from "./dom.js";
import { titleOf } from "./records.js";
import { gapOf, seeds, spread, written } from "./spread.js";

const MEASURES = [
  ["training", (run) => run.train.accuracy],
  ["validation", (run) => run.validation.accuracy],
  ["gap", gapOf],
  ["test", (run) => run.test.accuracy],
];
const [BASELINE, COMBINED] = ["baseline", "combined"];

/** The settings in which techniques compare, each with its techniques' figures. */
export function measured({ results, compared }) {
  return compared.map(({ setting, seeds }) => {
    const same = JSON.stringify(setting);
    const runs = results.filter((run) => JSON.stringify(run.setting) === same && seeds.includes(run.seed));
    const techniques = [...Map.groupBy(runs, (run) => run.technique)].map(([name, of]) => ({
      name,
      runs: of,
      ...Object.fromEntries(MEASURES.map(([measure, read]) => [measure, spread(of.map(read))])),
    }));
    return { setting, techniques };
  });
}

/** The technique of the highest test accuracy, alone and combined, and which ones it hardly beats. */
export function best({ techniques }) {
  const baseline = techniques.find(({ name }) => name === BASELINE);
  const others = techniques.filter((of) => of !== baseline).sort((one, other) => other.test.y - one.test.y);
  const [alone, ...less] = others.filter(({ name }) => name !== COMBINED);
  const close = less.filter((of) => isWithinSpread(difference(of, alone, (run) => run.test.accuracy)));
  const near = close.length ? ` (within the spread of it: ${close.map(({ name }) => name).join(", ")})` : "";
  const combined = others.find(({ name }) => name === COMBINED);
  return (
    `Of the techniques alone, ${alone.name} has the highest test accuracy, ${percent(alone.test.y)} instead of ` +
    `${percent(baseline.test.y)}${near}, and a gap of ${points(alone.gap.y)} instead of ${points(baseline.gap.y)} points.` +
    (combined ? ` All combined: ${percent(combined.test.y)}, gap ${points(combined.gap.y)} points.` : "")
  );
}

/** The charts of one setting, a choice of it, and any two techniques compared. */
export function techniques(settings) {
  if (!settings.length) return [];
  const place = element("div", { class: "techniques" });
  const show = (i) => place.replaceChildren(...techniquesOf(settings[i]));
  show(0);
  const options = settings.map(({ setting: { model, epochs }, techniques }, i) => [
    i,
    `${titleOf(model)}, ${epochs} epochs, ${seeds(techniques[0].runs)}`,
  ]);
  return [...(settings.length > 1 ? [element("p", {}, choice("Measured with", options, show))] : []), place];
}

function techniquesOf(setting) {
  const { techniques } = setting;
  const place = element("div");
  const said = element("p", { "aria-live": "polite" });
  const chosen = [techniques[0].name, techniques.at(-1).name];
  const show = () => {
    const two = chosen.map((name) => techniques.find((technique) => technique.name === name));
    place.replaceChildren(
      chart("test", "Test accuracy, %", "Farther right is better.", techniques, chosen),
      chart("gap", "Gap, points", "Farther left is less overfitting.", techniques, chosen),
      comparison(...two),
    );
    said.textContent = inWords(...two);
  };
  const selects = ["Compare", "with"].map((label, i) => {
    const select = choice(label, techniques.map(({ name }) => [name, name]), (name) => {
      chosen[i] = name;
      show();
    });
    select.querySelector("select").value = chosen[i];
    return select;
  });
  show();
  return [say(best(setting)), element("p", {}, selects[0], " ", selects[1]), said, place];
}

function chart(measure, label, help, techniques, chosen) {
  const [figure] = dotChart({
    title: `${label} by technique`,
    reading: `${help} A dot is the mean of ${seeds(techniques[0].runs)}, a line the standard deviation.`,
    label,
    format: points,
    rows: techniques.map(({ name, runs, [measure]: of }) => ({ x: name, n: runs.length, ...of })),
    chosen,
  });
  figure.dataset.measure = measure;
  return figure;
}

function comparison(one, other) {
  const rows = MEASURES.map(([measure, read]) => [
    measure === "gap" ? "gap, points" : measure,
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
    const { y, deviation } = difference(one, other, Object.fromEntries(MEASURES)[measure]);
    const by = `its ${title} is ${points(Math.abs(y))} points ${y > 0 ? more : less}`;
    if (deviation === null) return `${by}, its spread not known`;
    return isWithinSpread({ y, deviation }) ? `${by}, which is within the spread` : by;
  });
  return `${other.name} against ${one.name}: ${differences.join("; ")}.`;
}

/** Between runs with the same seed. */
function difference(one, other, read) {
  const before = new Map(one.runs.map((run) => [run.seed, read(run)]));
  return spread(other.runs.map((run) => read(run) - before.get(run.seed)));
}

function isWithinSpread({ y, deviation }) {
  return deviation !== null && Math.abs(y) <= 2 * deviation;
}

function signed({ y, deviation }) {
  return `${y < 0 ? "−" : "+"}${written({ y: Math.abs(y), deviation })}`;
}
