// A closer look at one image: does the answer hold, and what does it rest on?

import { element } from "./dom.js";
import { explain } from "./explanation.js";
import { vary } from "./stability.js";

/** Buttons that show more about an image's answers; `asked` are their request's parameters. */
export function closerLook(file, card, asked) {
  const place = element("div");
  const stability = toggle("Does the answer hold?", place, () => vary(file, card));
  const explanation = toggle("What does it look at?", place, () => explain(file, card, asked));
  stability.button.classList.add("hold");
  return element(
    "div",
    {},
    element("div", { class: "buttons" }, stability.button, explanation.button),
    stability.status,
    explanation.status,
    place,
  );
}

/** A button that shows and hides in `place` what `load` makes at the first press, and its status. */
function toggle(text, place, load) {
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
        place.append(...parts);
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
