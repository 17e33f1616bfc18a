// Makes elements in one line each.

export const $ = (id) => document.getElementById(id);

/** Make an element with properties, or attributes where it has no such property, and children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Make an SVG element. */
export function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Make a table of rows whose first cell is the row's heading. */
export function table(caption, headings, rows) {
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...headings.map((text) => head("col", text)))),
    element(
      "tbody",
      {},
      ...rows.map(([first, ...cells]) =>
        element("tr", {}, head("row", first), ...cells.map((cell) => element("td", {}, cell))),
      ),
    ),
  );
}

function head(scope, text) {
  return element("th", { scope }, text);
}

/** A table in a box that scrolls if it is too wide, by keyboard, too. */
export function scrolling(wide) {
  const label = wide.caption.textContent;
  return element("div", { class: "scrolling", role: "region", tabIndex: 0, "aria-label": label }, wide);
}

/** A select with its label; `options` are [value, text], and `choose` is called with the value. */
export function choice(label, options, choose) {
  const select = element(
    "select",
    {},
    ...options.map(([value, text]) => element("option", { value }, text)),
  );
  select.addEventListener("change", () => choose(select.value));
  return element("label", {}, `${label} `, select);
}

let radioGroups = 0;

/** A choice of one of a few `options`, [value, text], the first at the start. */
export function radios(legend, options, choose) {
  const name = `choice-${++radioGroups}`;
  return element(
    "fieldset",
    { class: "radios" },
    element("legend", {}, legend),
    ...options.map(([value, text], i) => {
      const input = element("input", { type: "radio", name, value, checked: i === 0 });
      input.addEventListener("change", () => choose(value));
      return element("label", {}, input, ` ${text}`);
    }),
  );
}

/** A finding: the sentence above a chart. */
export function say(...parts) {
  return element("p", { class: "finding" }, ...parts);
}

export const thousands = (count) => count.toLocaleString("en");
// A dash stands for what was not measured.
export const percent = (fraction) => (fraction === undefined ? "–" : `${points(fraction)} %`);
export const points = (fraction) => (fraction === undefined ? "–" : (100 * fraction).toFixed(1));
export const of100 = (share) => Math.round(100 * share);

/** Show a message, or none if it is empty; `retry` is called by its button. */
export function showError(message, retry) {
  const button = element("button", { type: "button" }, "try again");
  button.addEventListener("click", () => retry());
  $("error").replaceChildren(message, ...(retry ? [" ", button] : []));
  $("error").hidden = !message;
  if (message) $("error").scrollIntoView({ block: "nearest" });
}
