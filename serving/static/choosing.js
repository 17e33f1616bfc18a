// The ways for a visitor to provide images: chosen, taken, dropped, pasted, or an example.

import { ask } from "./api.js";
import { $, showError } from "./dom.js";

// From the start and on the whole page, so that no image that is dropped replaces the page.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => event.preventDefault());
}

/** Call `see` with the files whenever some are chosen. */
export function listen(see) {
  let choices = 0; // so that an example that comes late does not replace a later choice
  const choose = (files) => {
    choices += 1;
    see(files);
  };
  for (const input of [$("file"), $("camera")]) {
    input.addEventListener("change", () => {
      if (input.files.length) choose([...input.files]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  for (const example of document.querySelectorAll("[data-example]")) {
    example.addEventListener("click", async () => {
      const number = ++choices;
      const name = example.dataset.example;
      try {
        const content = await (await ask(`static/${name}`)).blob();
        if (number === choices) choose([new File([content], name, { type: content.type })]);
      } catch (error) {
        if (number === choices) showError(error.message);
      }
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) choose(files);
    else if (!event.target.closest?.("input")) showError("There is no image in what was pasted.");
  });
  const drop = $("drop");
  document.addEventListener("dragover", () => drop.classList.add("over"));
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length) choose(files);
    else showError("What was dropped is not a file. Save the image first, then drop it.");
  });
}
