// The page: its views, chosen by the URL's fragment, over the service's records.

import { showCard } from "./card.js";
import { listen } from "./choosing.js";
import { element, showError } from "./dom.js";
import { showOverfitting } from "./overfitting.js";
import { addVersions, loadRecords, modelNames, showClasses } from "./records.js";
import { classifyAgain, judgeAgain, see, showStability } from "./results.js";
import { addThreshold, showThreshold } from "./threshold.js";

const TITLE = document.title;
const VIEWS = { try: () => {}, overfitting: showOverfitting, card: showCard };

let latest = 0; // number of the newest call of `showView`
let begin;
const begun = new Promise((resolve) => {
  begin = resolve;
});

// From the start: images that come before the records do are classified when those have come.
listen(async (files) => {
  await begun;
  location.hash = "#try";
  showView(); // at once, so that its answers can be scrolled to
  see(files);
});

async function start() {
  showError("");
  try {
    await loadRecords();
  } catch (error) {
    return showError(error.message, start);
  }
  addVersions(() => {
    showClasses();
    showThreshold();
    classifyAgain();
  });
  addThreshold(judgeAgain);
  showClasses();
  document
    .querySelector("nav")
    .append(element("a", { href: `#card/${modelNames()[0]}` }, "Model cards"));
  window.addEventListener("hashchange", openView);
  begin();
  await openView();
}

/** Show the view that the URL names, and move the focus to it, or to the chapter that the URL names. */
async function openView() {
  if (location.hash === "#stability") return tryStability();
  if (!(await showView())) return;
  const chapter = document.getElementById(location.hash.slice(1));
  chapter?.scrollIntoView();
  (chapter ?? document.querySelector(".view:not([hidden]) > h2[tabindex]"))?.focus();
}

/** Look closer at the last image, or at the example that shows overfitting. */
async function tryStability() {
  location.replace("#try");
  await showView();
  if (!showStability()) document.querySelector("[data-example='frog.png']").click();
}

/** Show the view that the URL names: #card/first, say. Return whether it is still the newest. */
async function showView() {
  const number = ++latest;
  const [asked, argument] = location.hash.slice(1).split("/");
  const name = Object.hasOwn(VIEWS, asked) ? asked : "try";
  for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== `view-${name}`;
  for (const link of document.querySelectorAll("nav a")) {
    const isCurrent = link.hash.slice(1).split("/")[0] === name;
    link.setAttribute("aria-current", isCurrent ? "page" : "false");
    if (isCurrent) document.title = `${link.textContent} – ${TITLE}`;
  }
  showError("");
  try {
    await VIEWS[name](argument);
  } catch (error) {
    if (number === latest) showError(error.message, openView);
  }
  return number === latest;
}

start();
