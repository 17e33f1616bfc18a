// The chosen images, each with a card of its own: what the service saw, and what each model says.

import { post } from "./api.js";
import { $, element, of100, percent, showError } from "./dom.js";
import { chosenVersion, shownRecords, titleOf } from "./records.js";

let images = []; // of the last choice: each one's file, and its card
let latest = 0; // number of the newest choice; the answers to an older one are not shown any more

/** Show a card for each file, and fill them in one by one. */
export async function see(files) {
  images = files.map((file) => ({ file, card: element("section", { class: "result" }) }));
  $("results").replaceChildren(...images.map(({ card }) => card));
  showError("");
  await classifyAgain();
}

/** Have the chosen images classified by the models that are shown now. */
export async function classifyAgain() {
  const number = ++latest;
  for (const image of images) showWaiting(image);
  $("verdict").textContent = "";
  const query = [["details", "true"], ["crop", "true"], ...asked()];
  let failed = 0;
  // One at a time: each may be as large as a request may be, and one that is refused is no matter
  // to the others.
  for (const image of images) {
    try {
      const { predictions } = await post("predict", query, image.file);
      if (number !== latest) return;
      showPrediction(image, predictions[0]);
    } catch (error) {
      if (number !== latest) return;
      failed += 1;
      showProblem(image, error.message);
    }
  }
  $("verdict").textContent = summary(failed);
}

/** The models that are shown, as parameters of a request. */
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

function showPrediction({ file, card }, prediction) {
  const { crop, models, width, height } = prediction;
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
    element("p", { class: "verdict", hidden: alone }, verdict(models)),
    element("div", { class: "beside" }, seen, element("div", { class: "answers" }, ...answers)),
  );
}

function answerOf(answer, open) {
  return element(
    "article",
    { class: "answer", "data-model": answer.model },
    element("h3", {}, titleOf(answer.model)),
    element("p", {}, ...said(answer)),
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
  return [
    element("strong", { class: "class" }, answer.class),
    " ",
    element("span", { class: "confidence" }, `${percent(answer.confidence)} sure`),
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

/** What the model's test says of such an answer. */
function worth({ class: name, details }) {
  const sentences = [];
  if (details.right_when_this_sure !== null) {
    sentences.push(`When it is this sure it is right ${of100(details.right_when_this_sure)} times in 100.`);
  }
  if (details.right_when_this_class !== null) {
    const really = details.most_often_really.map((c) => `${c.true_class} (${of100(c.share)})`);
    sentences.push(
      `Of 100 test images that it calls ${name}, ${of100(details.right_when_this_class)} are; ` +
        `most of the others: ${really.join(", ")}.`,
    );
  }
  return sentences.join(" ");
}

function verdict(answers) {
  const votes = Map.groupBy(answers, (answer) => answer.class);
  if (votes.size === 1) {
    const [name] = votes.keys();
    if (answers.length === 1) return `${titleOf(answers[0].model)} says ${name}.`;
    return `${answers.length === 2 ? "Both" : `All ${answers.length}`} say ${name}.`;
  }
  if (votes.size === answers.length) return "Each says something else.";
  const sides = [...votes].sort(([, one], [, other]) => other.length - one.length);
  return sides.map(([name, of]) => `${of.map((a) => a.model).join(" and ")}: ${name}`).join("; ") + ".";
}
