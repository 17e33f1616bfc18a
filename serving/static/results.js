// The chosen images, each with a card of its own: what the service saw, and what each model says.

import { post } from "./api.js";
import { closerLook } from "./closer.js";
import { $, element, of100, percent, showError } from "./dom.js";
import { chosenVersion, shownRecords, titleOf } from "./records.js";
import { leastConfidence } from "./threshold.js";
import { word } from "./words.js";

let images = []; // of the last choice: each one's file, its card, and the models' answers
let isStabilityNext = false; // whether the next answers are looked at closer without a click
let latest = 0; // number of the newest round; answers to older ones are no longer shown

/** Show a card for each file, and fill them in one by one. */
export async function see(files) {
  images = files.map((file) => ({ file, card: element("section", { class: "result" }) }));
  $("results").replaceChildren(...images.map(({ card }) => card));
  showError("");
  const classified = classifyAgain();
  scrollToAnswers(); // once there are cards that wait
  await classified;
}

/** Move the answers up if they begin in the lower half of the screen, or above it. */
function scrollToAnswers() {
  const { top } = $("verdict").getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) $("verdict").scrollIntoView();
}

/** Classify the chosen images with the models that are shown now. */
export async function classifyAgain() {
  if (!images.length) return;
  const number = ++latest;
  for (const image of images) {
    image.answers = null;
    showWaiting(image);
  }
  $("verdict").textContent = "";
  const query = [["details", "true"], ["crop", "true"], ...asked()];
  let failed = 0;
  // One at a time: each may be as large as a request may be, and a refused one does not affect
  // the others.
  for (const image of images) {
    try {
      const { predictions } = await post("predict", query, image.file);
      if (number !== latest) return;
      image.answers = predictions[0].models;
      showPrediction(image, predictions[0]);
    } catch (error) {
      if (number !== latest) return;
      failed += 1;
      showProblem(image, error.message);
    }
  }
  $("verdict").textContent = summary(failed);
}

/** Show the answers again, at another threshold. */
export function judgeAgain() {
  for (const image of images) if (image.answers) showAnswers(image);
  if (images.length === 1 && images[0].answers) $("verdict").textContent = summary(0);
}

/** The models that are shown, as request parameters. */
function asked() {
  const version = chosenVersion();
  return [
    ...shownRecords().map((record) => ["model", record.name]),
    ...(version ? [["version", version]] : []),
  ];
}

function summary(failed) {
  if (images.length === 1) {
    return failed ? "" : images[0].card.querySelector(".verdict").textContent;
  }
  return failed
    ? `${failed} of ${images.length} images could not be classified.`
    : `All ${images.length} images are classified.`;
}

/** Show whether the answers to the last image hold; false if there is none, then of the next one. */
export function showStability() {
  const last = images.at(-1);
  isStabilityNext = !last?.answers;
  if (!isStabilityNext) openStability(last.card);
  return Boolean(last);
}

function openStability(card) {
  card.querySelector(".hold[aria-pressed=false]")?.click();
  card.querySelector(".hold").scrollIntoView();
}

function showWaiting({ file, card }) {
  card.setAttribute("aria-label", file.name);
  card.setAttribute("aria-busy", "true");
  card.replaceChildren(element("h2", {}, file.name), element("p", { class: "quiet" }, "…"));
}

function showProblem({ file, card }, message) {
  card.setAttribute("aria-busy", "false");
  card.replaceChildren(
    element("h2", {}, file.name),
    element("p", { class: "problem", role: "alert" }, message),
  );
}

const CALIBRATED = 0.05; // accuracy this close to confidence
const BEST = 5; // classes shown; the rest is folded

function unfamiliar() {
  return element(
    "p",
    { class: "unfamiliar" },
    "Possibly ",
    word("out of distribution"),
    ": the networks disagree on it more than on images like those they were trained on.",
  );
}

function showPrediction(image, { crop, models, width, height, familiarity }) {
  const { file, card } = image;
  const seen = element(
    "figure",
    { class: "seen" },
    element("img", { class: "crop", src: crop, alt: `The center of ${file.name}, 32 × 32 pixels` }),
    element(
      "figcaption",
      {},
      `What the networks see: 32 × 32 pixels, from ${width} × ${height} pixels.`,
    ),
  );
  const alone = images.length === 1; // its verdict is the page's
  card.setAttribute("aria-busy", "false");
  card.replaceChildren(
    element("h2", {}, file.name),
    element("p", { class: "verdict", hidden: alone }),
    ...(familiarity?.familiar === false ? [unfamiliar()] : []),
    element("div", { class: "beside" }, seen, element("div", { class: "answers" }, head(), ...models.map(answerOf))),
    closerLook(file, card, asked()),
  );
  showAnswers(image);
  if (isStabilityNext) openStability(card);
  isStabilityNext = false;
}

function showAnswers({ card, answers }) {
  for (const answer of answers) {
    const row = card.querySelector(`.answer[data-model="${answer.model}"]`);
    const abstains = answered(answer) === null;
    row.querySelector(".class").textContent = abstains ? "no answer" : answer.class;
    row.querySelector(".guess").textContent = abstains ? ` best guess: ${answer.class}` : "";
  }
  card.querySelector(".verdict").textContent = verdict(answers);
}

/** The class that counts as the answer; null if the model's confidence is below the threshold. */
function answered(answer) {
  return answer.confidence < leastConfidence() ? null : answer.class;
}

function head() {
  return element(
    "div",
    { class: "row head" },
    element("span", {}, "class"),
    element("span", {}, word("confidence")),
    element("span", { class: "tested" }, word("test accuracy")),
  );
}

/** A row that compares: class, confidence, test accuracy and how far to trust it; details folded. */
function answerOf(answer) {
  const { model, confidence, test_accuracy: accuracy } = answer;
  return element(
    "details",
    { class: "answer", "data-model": model },
    element(
      "summary",
      { class: "row" },
      element(
        "span",
        {},
        element("span", { class: "who" }, titleOf(model)),
        element("strong", { class: "class" }),
        element("span", { class: "guess" }),
      ),
      element("span", { class: "sure" }, bar(confidence), element("span", { class: "confidence" }, percent(confidence))),
      element("span", { class: "tested" }, percent(accuracy)),
      element("span", { class: "trust" }, trust(answer)),
    ),
    element("p", { class: "worth" }, ...worth(answer)),
    ...probabilities(answer),
    element("p", {}, element("a", { href: `#card/${model}` }, `${titleOf(model)}’s card`)),
  );
}

/** One line with a mark: does accuracy hold what this confidence promises? */
function trust({ confidence, details }) {
  const accuracy = details?.accuracy_at_confidence ?? null;
  if (accuracy === null) return "– calibration not measured at this confidence";
  const off = accuracy - confidence;
  const is =
    Math.abs(off) <= CALIBRATED ? "≈ calibrated" : off < 0 ? "▼ overconfident" : "▲ underconfident";
  return `${is}: correct on ${of100(accuracy)} of 100 test images at this confidence`;
}

function bar(fraction) {
  return element("progress", { value: fraction, "aria-hidden": "true" }); // the number beside it says the same
}

/** The likeliest classes; the others are folded. */
function probabilities({ probabilities }) {
  const sorted = Object.entries(probabilities).sort(([, one], [, other]) => other - one);
  const rest = sorted.slice(BEST);
  return [
    bars(sorted.slice(0, BEST)),
    ...(rest.length
      ? [element("details", {}, element("summary", {}, `${rest.length} more classes`), bars(rest))]
      : []),
  ];
}

function bars(of) {
  const rows = of.flatMap(([name, probability]) => [
    element("dt", {}, name),
    element("dd", {}, bar(probability), element("span", {}, percent(probability))),
  ]);
  return element("dl", { class: "probabilities" }, ...rows);
}

/** What the model's test says about such an answer. */
function worth({ class: name, details }) {
  if (!details) return ["How often it is right was not measured."];
  const { accuracy_at_confidence: accuracy, precision, top_confusions: confusions } = details;
  const parts = [];
  if (accuracy !== null) {
    parts.push(word("accuracy at this confidence", "Accuracy at this confidence"), `: ${percent(accuracy)}. `);
  }
  if (precision !== null) {
    const others = confusions.map((c) => `${c.true_class} (${percent(c.share)})`).join(", ");
    parts.push(
      word("precision for this class", "Precision for this class"),
      `: ${percent(precision)} of the test images called ${name} are`,
      others ? `; most of the others are ${others}.` : ".",
    );
  }
  return parts;
}

function verdict(answers) {
  const votes = [...Map.groupBy(answers, answered)].map(([name, of]) => ({
    says: name === null ? "abstain" : `say ${name}`,
    says1: name === null ? "abstains" : `says ${name}`,
    of,
  }));
  const [{ says, says1 }] = votes;
  if (answers.length === 1) return `${titleOf(answers[0].model)} ${says1}.`;
  if (votes.length === 1) return `${answers.length === 2 ? "Both" : `All ${answers.length}`} ${says}.`;
  votes.sort((one, other) => other.of.length - one.of.length);
  const sides = votes.map(({ says, says1, of }) =>
    `${of.map((a) => a.model).join(" and ")} ${of.length > 1 ? says : says1}`,
  );
  return `${sides.join("; ")}.`;
}
