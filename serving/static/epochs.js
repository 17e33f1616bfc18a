// One network, epoch by epoch: learning curves, and a slider that stops the training earlier.

import { lineChart } from "./charts.js";
import { element, percent, points, radios, say } from "./dom.js";
import { recipeName, versionsOf } from "./records.js";
import { word } from "./words.js";

const CLEARLY = 0.8; // of its epochs: a lowest validation loss before this is early

/** The epoch, from 1, of the lowest validation loss. */
export function lowestLoss({ history }) {
  const losses = history.map((epoch) => epoch.val_loss);
  return 1 + losses.indexOf(Math.min(...losses));
}

/** A model's curves, and a switch of its recipes, the article's first. */
export function curves(name) {
  const versions = versionsOf(name)
    .filter((record) => record.history)
    .toReversed();
  if (!versions.length) return [say("How this model was trained is not recorded.")];
  const place = element("div");
  const show = (i) => place.replaceChildren(...curvesOf(versions[i]));
  show(0);
  const recipes = versions.map((record, i) => [i, recipeName(record)]);
  return [...(versions.length > 1 ? [radios("Trained with", recipes, show)] : []), place];
}

/** The finding, the chart and the slider of one version. */
export function curvesOf(record) {
  const { title, history } = record;
  const [figure, moveRule] = lineChart({
    title: `${title}, ${recipeName(record)}: loss and accuracy by epoch`,
    reading: reading(record),
    x: { label: "epoch" },
    panels: [
      { label: "loss", format: (value) => value.toFixed(2), series: lines(history, "loss") },
      { label: "accuracy, %", format: points, domain: [0, 1], series: lines(history, "accuracy") },
    ],
    marks: [{ x: lowestLoss(record), label: "lowest validation loss" }],
  });
  const told = element("dl", { class: "stopped", "aria-live": "polite" });
  const slider = element("input", { type: "range", min: 1, max: history.length, value: history.length });
  const stop = () => {
    const at = Number(slider.value);
    moveRule(at - 1);
    told.replaceChildren(...stopped(record, at));
    slider.setAttribute("aria-valuetext", `epoch ${at} of ${history.length}`);
  };
  slider.addEventListener("input", stop);
  stop();
  figure.querySelector(".plot").after(element("label", { class: "stop" }, "Stop here", slider), told);
  return [say(finding(record)), figure];
}

function lines(history, measure) {
  return [
    ["training", "train", measure],
    ["validation", "validation", `val_${measure}`],
  ].map(([name, look, key]) => ({
    name,
    look,
    points: history.map((epoch, i) => ({ x: i + 1, y: epoch[key] })),
  }));
}

function finding(record) {
  const { history } = record;
  const lowest = lowestLoss(record);
  const [then, last] = [history[lowest - 1], history.at(-1)];
  if (lowest < CLEARLY * history.length) {
    return (
      `After epoch ${lowest} it only gets better at what it has already seen: training loss falls from ` +
      `${then.loss.toFixed(2)} to ${last.loss.toFixed(2)}, validation loss rises from ` +
      `${then.val_loss.toFixed(2)} to ${last.val_loss.toFixed(2)}.`
    );
  }
  return (
    `It learns nearly to the end: validation loss is lowest after epoch ${lowest} of ${history.length}, ` +
    `and the finished network’s gap is ${points(record.generalization_gap)} points.`
  );
}

function stopped(record, at) {
  const { loss, accuracy, val_loss: valLoss, val_accuracy: valAccuracy } = record.history[at - 1];
  return [
    [word("epoch"), `${at} of ${record.history.length}`],
    ["training accuracy", percent(accuracy)],
    [element("span", {}, word("validation"), " accuracy"), percent(valAccuracy)],
    [word("gap"), `${points(accuracy - valAccuracy)} points`],
    [element("span", {}, "training ", word("loss")), loss.toFixed(2)],
    ["validation loss", valLoss.toFixed(2)],
  ].map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
}

function reading({ history, train_accuracy: plain }) {
  const crossed = history.some((epoch) => epoch.val_accuracy > epoch.accuracy);
  return (
    "Where the two lines part, the network overfits: early stopping would end the training at the mark." +
    (crossed
      ? " Training can lie below validation: it is a mean over the epoch, while the network still improves, with " +
        `any dropout and augmentation. On plain training images the finished network is right on ${percent(plain)}.`
      : "")
  );
}
