// A closer look at one image: does the answer hold, and what does it rest on?

import { element } from "./dom.js";
import { explain } from "./explanation.js";
import { vary } from "./stability.js";

/** Buttons that show more about an image's answers; `asked` are their request's parameters. */
export function closerLook(file, card, asked) {
  const place = element("div");
  const stability = toggle("Does the answer hold?", async () => {
    const models = await vary(file, card);
    place.append(...models);
    return models;
  });
  const explanation = toggle("What does it look at?", () => explain(file, card, asked));
  return element(
    "div",
    {},
    element("div", { class: "buttons" }, stability.button, explanation.button),
    stability.status,
    explanation.status,
    place,
  );
}

/** A button that shows and hides the elements that `load` makes at the first press, and its status. */
function toggle(text, load) {
  const button = element("button", { type: "button", "aria-pressed": "false" }, text);
  const status = element("p", { role: "status", class: "quiet" });
  let parts = null;
  let loading = false;
  button.addEventListener("click", async () => {
    if (loading) return;
    if (parts === null) {
      loading = true;
      status.className = "quiet";
      status.textContent = "The networks are being asked …";
      try {
        parts = await load();
        status.textContent = "";
      } catch (error) {
        status.className = "problem";
        status.textContent = error.message;
        return;
      } finally {
        loading = false;
      }
    }
    const shown = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(shown));
    for (const part of parts) part.hidden = !shown;
  });
  return { button, status };
}
