// The page: a picture becomes the 32×32 pixels that the models see, and these are what is sent.

const SIZE = 32;
const $ = (id) => document.getElementById(id);
const percent = (fraction) => `${(100 * fraction).toFixed(1)} %`;
const points = (fraction) => (100 * fraction).toFixed(1);

let records = []; // of every model and version, as GET /models gives them
let images = []; // the last ones that were chosen: each one's name, and its canvas and PNG or problem
let key = sessionStorage.getItem("key"); // the service's API key, where it asks for one
let latest = 0; // number of the newest picture or request; an older one is not shown any more

async function start() {
  listen();
  try {
    records = (await (await ask("models")).json()).models;
  } catch (error) {
    return showError(error.message);
  }
  $("classes").textContent = records[0].classes.join(", ");
  addVersions();
  showModels();
}

function listen() {
  for (const input of [$("file"), $("camera")]) {
    input.addEventListener("change", () => {
      if (input.files.length) see([...input.files]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  $("example").addEventListener("click", async () => {
    try {
      see([await (await ask("static/ship.png")).blob()]);
    } catch (error) {
      showError(error.message);
    }
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) see(files);
    else showError("There is no picture in what was pasted.");
  });
  const drop = $("drop");
  // On the whole page, so that a picture dropped beside the box does not replace the page.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length) see(files);
    else showError("What was dropped is not a file. Save the picture first, then drop it.");
  });
}

/** Fetch, or throw an Error whose message is for a person. */
async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, headers: key ? { "X-API-Key": key } : {} });
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) {
    await askForKey(problem.detail);
    return ask(url, options);
  }
  throw new Error(problem.detail ?? `The service answered ${response.status}.`);
}

/** Wait until the visitor has entered a key. */
async function askForKey(reason) {
  $("reason").textContent = key ? reason : "This service asks for an API key.";
  $("key").hidden = false;
  await new Promise((entered) => {
    const enter = (event) => {
      event.preventDefault();
      entered();
    };
    $("key").addEventListener("submit", enter, { once: true });
  });
  key = $("key").elements.key.value;
  sessionStorage.setItem("key", key);
  $("key").hidden = true;
}

/** Crop the images' centers to 32×32 pixels and have them classified. */
async function see(files) {
  const number = ++latest;
  const cropped = await Promise.all(files.map(crop));
  if (number !== latest) return; // others were chosen meanwhile
  const [first, ...more] = cropped;
  if (first.problem && !more.length) return showError(first.problem);
  images = cropped;
  if (!more.length) $("picture").getContext("2d").drawImage(first.canvas, 0, 0);
  $("seen").hidden = more.length > 0;
  await classify();
}

async function crop(file) {
  const name = file.name ?? "This";
  let square;
  try {
    const image = await createImageBitmap(file);
    const side = Math.min(image.width, image.height);
    // Cropped first, so that what lies outside does not bleed in when it is scaled.
    const [left, top] = [(image.width - side) / 2, (image.height - side) / 2];
    square = await createImageBitmap(image, Math.floor(left), Math.floor(top), side, side);
  } catch {
    return { name, problem: `${name} is not a picture that this browser can read.` };
  }
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: SIZE, height: SIZE });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = square.width !== SIZE;
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // behind what is transparent, as the service does
  context.fillRect(0, 0, SIZE, SIZE);
  context.drawImage(square, 0, 0, SIZE, SIZE);
  return { name, canvas, png: await new Promise((resolve) => canvas.toBlob(resolve, "image/png")) };
}

async function classify() {
  const number = ++latest;
  showModels(); // without the last answers
  const form = new FormData();
  const sent = images.filter((image) => image.png);
  for (const image of sent) form.append("image", image.png, image.name);
  try {
    const query = new URLSearchParams(shownRecords().map((record) => ["model", record.name]));
    if (chosenVersion()) query.set("version", chosenVersion());
    query.set("details", "true");
    if (images.length > 1) query.set("partial", "true");
    const answer = sent.length && (await ask(`predict?${query}`, { method: "POST", body: form }));
    const predictions = answer ? (await answer.json()).predictions : [];
    if (number !== latest) return;
    if (images.length > 1) showList(predictions);
    else showAnswers(predictions[0].models);
  } catch (error) {
    if (number === latest) showError(error.message);
  }
}

/** Show several images, each beside its classes or what is wrong with it. */
function showList(predictions) {
  $("error").hidden = true;
  const answers = predictions.values();
  let failed = 0;
  const rows = images.map(({ name, canvas, problem }) => {
    const prediction = problem ? null : answers.next().value;
    const message = problem ?? prediction.problem?.detail;
    const row = document.createElement("tr");
    row.insertCell().append(canvas ?? "");
    row.insertCell().textContent = name;
    if (message) {
      failed += 1;
      row.className = "failed";
      Object.assign(row.insertCell(), { textContent: message, colSpan: shownRecords().length });
    } else {
      for (const model of prediction.models) {
        row.insertCell().textContent = `${model.class}, ${percent(model.confidence)}`;
      }
    }
    return row;
  });
  const names = ["", "image", ...shownRecords().map((record) => record.title)];
  const heads = names.map((name) => {
    return Object.assign(document.createElement("th"), { scope: "col", textContent: name });
  });
  $("list").tHead.rows[0].replaceChildren(...heads);
  $("list").tBodies[0].replaceChildren(...rows);
  $("list").hidden = false;
  $("verdict").textContent = failed
    ? `${failed} of ${images.length} images could not be classified.`
    : `All ${images.length} images are classified.`;
}

function showError(message) {
  $("error").textContent = message;
  $("error").hidden = false;
}

/** The chosen version; empty for each model's newest. */
function chosenVersion() {
  return document.querySelector("#versions input:checked").value;
}

/** The records that are shown; the service names a model's newest first. */
function shownRecords() {
  const version = chosenVersion();
  if (version) return records.filter((record) => String(record.version) === version);
  return [...Map.groupBy(records, (record) => record.name).values()].map(([newest]) => newest);
}

/** Offer the versions there are; each model's newest where not all have the newest. */
function addVersions() {
  const names = new Set(records.map((record) => record.name));
  const versions = [...new Set(records.map((record) => record.version))].sort((a, b) => b - a);
  const newest = records.filter((record) => record.version === versions[0]);
  for (const version of newest.length === names.size ? versions : ["", ...versions]) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "version", value: version });
    input.checked = $("versions").querySelector("input") === null; // the first one
    input.addEventListener("change", () => {
      showModels();
      if (images.length) classify();
    });
    label.append(input, version ? ` ${recipeOf(version)}` : " the newest recipe of each");
    $("versions").append(label);
  }
  $("versions").hidden = versions.length < 2;
}

function recipeOf(version) {
  const { recipe } = records.find((record) => record.version === version);
  return recipe === "article" ? "the article’s recipe" : `the ${recipe} recipe`;
}

/** Fill in a card for each model, without an answer yet. */
function showModels() {
  const opened = new Set([...document.querySelectorAll("details[open]")].map(modelOf));
  $("verdict").textContent = "";
  $("list").hidden = true;
  const cards = shownRecords().map((record) => {
    const card = $("model").content.cloneNode(true).firstElementChild;
    card.dataset.model = record.name;
    card.querySelector("details").open = opened.has(record.name);
    card.querySelector("h2").textContent = record.title;
    card.querySelector(".accuracy").textContent =
      `Right on ${percent(record.test_accuracy)} of the test pictures; ` +
      `the article’s was on ${percent(record.article.test_accuracy)}.`;
    drawCurves(card.querySelector("svg"), record);
    const { article } = record;
    const rows = [
      ["training", record.train_accuracy, article.train_accuracy],
      ["validation", record.validation_accuracy, article.validation_accuracy],
      ["gap, in points", record.generalization_gap, article.train_accuracy - article.validation_accuracy],
      ["test", record.test_accuracy, article.test_accuracy],
    ];
    for (const [name, here, there] of rows) {
      const row = card.querySelector("tbody").insertRow();
      const head = document.createElement("th");
      Object.assign(head, { scope: "row", textContent: name });
      row.append(head);
      row.insertCell().textContent = points(here);
      row.insertCell().textContent = points(there);
    }
    card.querySelector(".trained").textContent =
      `${record.epochs_completed} of ${record.epochs} epochs; ` +
      `${record.parameters.toLocaleString("en")} parameters.`;
    return card;
  });
  $("models").replaceChildren(...cards);
}

function modelOf(element) {
  return element.closest("article").dataset.model;
}

function showAnswers(answers) {
  $("error").hidden = true;
  for (const answer of answers) {
    const card = document.querySelector(`[data-model="${answer.model}"]`);
    card.querySelector(".class").textContent = answer.class;
    card.querySelector(".confidence").textContent = `${percent(answer.confidence)} sure`;
    card.querySelector(".worth").textContent = worth(answer);
    const bars = Object.entries(answer.probabilities).flatMap(([name, probability]) => {
      const term = document.createElement("dt");
      term.textContent = name;
      term.classList.toggle("best", name === answer.class);
      const bar = document.createElement("progress");
      bar.value = probability;
      bar.setAttribute("aria-hidden", "true"); // the number beside it says the same
      const number = document.createElement("span");
      number.textContent = percent(probability);
      const value = document.createElement("dd");
      value.append(bar, number);
      return [term, value];
    });
    card.querySelector(".probabilities").replaceChildren(...bars);
    for (const part of card.querySelectorAll(".answer, .worth, .probabilities")) part.hidden = false;
  }
  $("verdict").textContent = verdict(answers);
}

/** What the model's test says of such an answer. */
function worth({ class: name, details }) {
  const of100 = (share) => Math.round(100 * share);
  const sentences = [];
  if (details.right_when_this_sure !== null) {
    sentences.push(`When it is this sure it is right ${of100(details.right_when_this_sure)} times in 100.`);
  }
  if (details.right_when_this_class !== null) {
    const really = details.most_often_really.map((c) => `${c.true_class} ${of100(c.share)} times`);
    sentences.push(
      `Of 100 test images that it calls ${name}, ${of100(details.right_when_this_class)} are; ` +
        `most of the others: ${really.join(", ")}.`,
    );
  }
  return sentences.join(" ");
}

function verdict(answers) {
  const votes = Map.groupBy(answers, (answer) => answer.class);
  if (votes.size === 1) return `All ${answers.length} say ${answers[0].class}.`;
  if (votes.size === answers.length) return "Each says something else.";
  const sides = [...votes].sort(([, one], [, other]) => other.length - one.length);
  return sides.map(([name, of]) => `${of.map((a) => a.model).join(" and ")}: ${name}`).join("; ") + ".";
}

/** Draw training and validation accuracy by epoch; where they part, the model overfits. */
function drawCurves(svg, { title, history }) {
  const [left, right, top, bottom] = [34, 314, 8, 160];
  const x = (i) => left + (history.length > 1 ? (i / (history.length - 1)) * (right - left) : 0);
  const y = (accuracy) => bottom - accuracy * (bottom - top);
  const add = (name, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    svg.append(element);
  };
  svg.setAttribute("aria-label", `${title}: training and validation accuracy by epoch`);
  for (const accuracy of [0, 0.25, 0.5, 0.75, 1]) {
    add("line", { class: "grid", x1: left, x2: right, y1: y(accuracy), y2: y(accuracy) });
    add("text", { x: left - 4, y: y(accuracy) + 4, "text-anchor": "end" }, String(100 * accuracy));
  }
  add("text", { x: left, y: bottom + 15 }, "epoch 1");
  add("text", { x: right, y: bottom + 15, "text-anchor": "end" }, String(history.length));
  for (const [name, key] of [["train", "accuracy"], ["validation", "val_accuracy"]]) {
    const line = history.map((epoch, i) => `${x(i)},${y(epoch[key])}`).join(" ");
    add("polyline", { class: name, points: line });
  }
}

start();
