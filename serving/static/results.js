// The chosen images, each with a card of its own: what the service saw, and what each model says.

import { post } from "./api.js";
import { closerLook } from "./closer.js";
import { $, element, of100, percent, showError } from "./dom.js";
import { chosenVersion, shownRecords, titleOf } from "./records.js";
import { leastConfidence } from "./threshold.js";

let images = []; // of the last choice: each one's file, its card, and the models' answers
let latest = 0; // number of the newest round; answers to older ones are no longer shown

/** Show a card for each file, and fill them in one by one. */
export async function see(files) {
  images = files.map((file) => ({ file, card: element("section", { class: "result" }) }));
  $("results").replaceChildren(...images.map(({ card }) => card));
  showError("");
  scrollToAnswers();
  await classifyAgain();
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

const UNFAMILIAR =
  "This looks like nothing that the networks were trained on: they disagree on it more than on 95 " +
  "of 100 images that are like those.";

function showPrediction(image, { crop, models, width, height, familiarity }) {
  const { file, card } = image;
  const seen = element(
    "figure",
    { class: "seen" },
    element("img", { class: "crop", src: crop, alt: `The center of ${file.name}, 32 × 32 pixels` }),
    element(
      "figcaption",
      {},
      `What the networks see: its center, as 32 × 32 pixels. It has ${width} × ${height} pixels.`,
    ),
  );
  const alone = images.length === 1; // its verdict is the page's
  const answers = models.map((answer) => answerOf(answer, alone));
  card.setAttribute("aria-busy", "false");
  card.replaceChildren(
    element("h2", {}, file.name),
    element("p", { class: "verdict", hidden: alone }),
    ...(familiarity?.familiar === false ? [element("p", { class: "unfamiliar" }, UNFAMILIAR)] : []),
    element("div", { class: "beside" }, seen, element("div", { class: "answers" }, ...answers)),
    closerLook(file, card, asked()),
  );
  showAnswers(image);
}

function showAnswers({ card, answers }) {
  for (const answer of answers) {
    card.querySelector(`[data-model="${answer.model}"] .said`).replaceChildren(...said(answer));
  }
  card.querySelector(".verdict").textContent = verdict(answers);
}

/** The class that counts as the answer; null if the model is less sure than the threshold. */
function answered(answer) {
  return answer.confidence < leastConfidence() ? null : answer.class;
}

function answerOf(answer, open) {
  return element(
    "article",
    { class: "answer", "data-model": answer.model },
    element("h3", {}, titleOf(answer.model)),
    element("p", { class: "said" }),
    element("p", { class: "worth" }, worth(answer)),
    element(
      "details",
      { open },
      element("summary", {}, "All ten classes"),
      element("dl", { class: "probabilities" }, ...bars(answer)),
    ),
  );
}

function said(answer) {
  const sure = `${percent(answer.confidence)} sure`;
  const abstains = answered(answer) === null;
  return [
    element("strong", { class: "class" }, abstains ? "no answer" : answer.class),
    " ",
    element("span", { class: "confidence" }, abstains ? `best guess: ${answer.class}, ${sure}` : sure),
  ];
}

function bars({ class: best, probabilities }) {
  return Object.entries(probabilities).flatMap(([name, probability]) => [
    element("dt", { class: name === best ? "best" : "" }, name),
    element(
      "dd",
      {},
      // The number beside it says the same.
      element("progress", { value: probability, "aria-hidden": "true" }),
      element("span", {}, percent(probability)),
    ),
  ]);
}

/** What the model's test says about such an answer. */
function worth({ class: name, details }) {
  if (!details) return "How often it is right was not measured.";
  const sentences = [];
  if (details.accuracy_at_confidence !== null) {
    sentences.push(`When it is this sure it is right ${of100(details.accuracy_at_confidence)} times in 100.`);
  }
  if (details.precision !== null) {
    const really = details.top_confusions.map((c) => `${c.true_class} (${of100(c.share)})`);
    const others = really.length ? `; the others are most often: ${really.join(", ")}` : "";
    sentences.push(
      `Of 100 test images that it calls ${name}, ${of100(details.precision)} are${others}.`,
    );
  }
  return sentences.join(" ");
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
