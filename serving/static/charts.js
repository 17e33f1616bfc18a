// Charts: scales, axes, grid, legend, tooltip and keyboard; behind each, its table and CSV.

import { element, scrolling, shape, table } from "./dom.js";

const [LEFT, RIGHT, TOP, GAP, AXIS] = [52, 18, 30, 14, 46]; // pixels around the panels
const [ONE, SEVERAL] = [280, 125]; // height of a panel that is alone, or one of several
const ROW = 30;
const MOST_DOTS = 20; // on a line; more would hide it

/**
 * Lines over a common x axis, in one panel or several above each other.
 *
 * `x` is { label, format, log, domain }; a panel { label, format, domain, guide, series }; a series
 * { name, look, points }, `look` being its CSS class; a point { x, y, deviation, n }; a mark, a
 * vertical line, { x, label }. Return the figure, and a function that moves a rule to the i-th x.
 */
export function lineChart({ title, reading, x, panels, marks = [] }) {
  const all = panels.flatMap(({ series, label, format }) =>
    series.map((one) => ({
      ...one,
      format,
      heading: panels.length > 1 ? `${one.name} ${label}` : one.name,
    })),
  );
  const xs = [...new Set(all.flatMap(({ points }) => points.map((point) => point.x)))].sort((a, b) => a - b);
  const format = x.format ?? String;
  const [low, high] = x.domain ?? [xs[0], xs.at(-1)];
  const draw = (width) => {
    const each = panels.length > 1 ? SEVERAL : ONE;
    const right = width - RIGHT;
    const toX = scale([low, high], [LEFT, right], x.log);
    const bottom = panels.length * (TOP + each + GAP) - GAP;
    const parts = panels.flatMap((panel, i) => {
      const top = i * (TOP + each + GAP) + TOP;
      const values = panel.series.flatMap(({ points }) =>
        points.flatMap(({ y, deviation }) => [y - (deviation ?? 0), y + (deviation ?? 0)]),
      );
      const [least, most] = [Math.min(...values), Math.max(...values)];
      const marked = ticks(...(panel.domain ?? [least > most / 2 ? least : Math.min(0, least), most]), each / 30);
      const toY = scale([marked[0], marked.at(-1)], [top + each, top]);
      return [
        text(0, top - 12, panel.label, "start", "label"),
        ...marked.flatMap((at) => [
          line(LEFT, toY(at), right, toY(at), "grid"),
          text(LEFT - 8, toY(at) + 5, short(panel.format(at)), "end"),
        ]),
        ...(panel.guide ? [polyline(panel.guide.map(([a, b]) => [toX(a), toY(b)]), "guide")] : []),
        ...panel.series.flatMap(({ look, points }) => drawn(points, look, toX, toY)),
      ];
    });
    let free = -Infinity;
    for (const at of x.log ? xs : ticks(low, high, width / 90).filter((at) => low <= at && at <= high)) {
      const half = 5 * short(format(at)).length;
      const middle = Math.min(toX(at), width - half);
      if (middle - half < free) continue; // it would overlap the label before it
      free = middle + half;
      parts.push(line(toX(at), bottom, toX(at), bottom + 5, "grid"), text(middle, bottom + 20, short(format(at))));
    }
    parts.push(text((LEFT + right) / 2, bottom + 40, x.label, "middle", "label"));
    for (const { x: at, label } of marks) {
      const isRight = toX(at) > width / 2;
      parts.push(
        line(toX(at), TOP, toX(at), bottom, "mark"),
        text(toX(at) + (isRight ? -6 : 6), TOP - 12, label, isRight ? "end" : "start", "label"),
      );
    }
    return { height: bottom + AXIS, parts, bottom, stops: xs.map((at) => ({ x: toX(at) })) };
  };
  return frame({ title, reading, first: x.label, xs, format, series: all, draw });
}

/** A row for each name, with a dot at its mean and a line over its standard deviation. */
export function dotChart({ title, reading, label, format, rows, chosen }) {
  const values = rows.flatMap(({ y, deviation }) => [y - (deviation ?? 0), y + (deviation ?? 0)]);
  const draw = (width) => {
    const left = Math.min(9 * Math.max(...rows.map((row) => row.x.length)), width / 2);
    const marked = ticks(Math.min(...values), Math.max(...values), (width - left) / 90);
    const toX = scale([marked[0], marked.at(-1)], [left + 8, width - RIGHT]);
    const bottom = ROW * rows.length;
    const middle = (i) => ROW * (i + 0.5);
    const parts = [
      ...marked.flatMap((at) => [
        line(toX(at), 0, toX(at), bottom, "grid"),
        text(toX(at), bottom + 20, short(format(at))),
      ]),
      text((left + width) / 2, bottom + 40, label, "middle", "label"),
      ...rows.map(({ x: name, y, deviation }, i) =>
        shape(
          "g",
          { class: chosen.includes(name) ? "technique chosen" : "technique" },
          text(left - 6, middle(i) + 5, name, "end"),
          line(toX(y - (deviation ?? 0)), middle(i), toX(y + (deviation ?? 0)), middle(i), "deviation"),
          shape("circle", { cx: toX(y), cy: middle(i), r: 6 }),
        ),
      ),
    ];
    return { height: bottom + AXIS, parts, bottom, stops: rows.map((_, i) => ({ y: middle(i) })) };
  };
  const series = [{ name: label, heading: label, format, points: rows }];
  return frame({ title, reading, first: "", xs: rows.map((row) => row.x), format: String, series, draw });
}

/** What all charts share; `draw` gives, for a width in pixels, the height, the shapes and the stops. */
function frame({ title, reading, first, xs, format, series, draw }) {
  const svg = shape("svg", { "aria-hidden": "true" });
  const tip = element("p", { class: "tip", role: "status", hidden: true });
  const help = `${title}: a chart. The arrow keys read its values; the table below has them all.`;
  const plot = element("div", { class: "plot", role: "group", tabIndex: 0, "aria-label": help }, svg, tip);
  let [stops, ruled, shown] = [[], null, -1];
  const rule = shape("line", { class: "rule" });
  const moveRule = (i = ruled) => {
    ruled = i;
    if (ruled === null || !stops.length) return;
    rule.setAttribute("x1", stops[ruled].x);
    rule.setAttribute("x2", stops[ruled].x);
  };
  const show = (i) => {
    shown = i;
    tip.hidden = i < 0;
    if (i < 0) return;
    const values = series.flatMap(({ heading, points, format }) =>
      points.filter((point) => point.x === xs[i]).map((point) => `${heading} ${written(point, format)}`),
    );
    const n = series[0].points.find((point) => point.x === xs[i])?.n;
    tip.textContent = [`${first} ${format(xs[i])}`.trim(), ...values, ...(n ? [`n = ${n}`] : [])].join("\n");
    const { x, y } = stops[i];
    const isRight = (x ?? plot.clientWidth) > plot.clientWidth / 2;
    tip.style.left = isRight ? "" : `${x + GAP}px`;
    tip.style.right = isRight ? `${x === undefined ? 0 : plot.clientWidth - x + GAP}px` : "";
    tip.style.top = `${y === undefined ? TOP : y + ROW / 2}px`;
  };
  plot.addEventListener("pointermove", (event) => point(event));
  plot.addEventListener("pointerdown", (event) => point(event));
  plot.addEventListener("pointerleave", () => show(-1));
  plot.addEventListener("blur", () => show(-1));
  const point = ({ clientX, clientY }) => {
    const { left, top } = svg.getBoundingClientRect();
    const far = stops.map(({ x, y }) => (x === undefined ? Math.abs(clientY - top - y) : Math.abs(clientX - left - x)));
    show(far.indexOf(Math.min(...far)));
  };
  plot.addEventListener("keydown", (event) => {
    const last = stops.length - 1;
    const to = {
      ArrowRight: Math.min(shown + 1, last),
      ArrowDown: Math.min(shown + 1, last),
      ArrowLeft: Math.max(shown - 1, 0),
      ArrowUp: Math.max(shown - 1, 0),
      Home: 0,
      End: last,
      Escape: -1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(to);
  });
  new ResizeObserver(([{ contentRect }]) => {
    if (!contentRect.width) return; // hidden
    const drawing = draw(contentRect.width);
    stops = drawing.stops;
    svg.setAttribute("viewBox", `0 0 ${contentRect.width} ${drawing.height}`);
    rule.setAttribute("y1", TOP);
    rule.setAttribute("y2", drawing.bottom);
    svg.replaceChildren(...drawing.parts, ...(ruled === null ? [] : [rule]));
    moveRule();
  }).observe(plot);
  const figure = element(
    "figure",
    { class: "chart" },
    ...(series.length > 1 ? [legend(series)] : []),
    plot,
    element("figcaption", {}, reading),
    behind(title, first, xs, format, series),
  );
  return [figure, moveRule];
}

function legend(series) {
  const looks = new Map(series.map(({ look, name }) => [look, name]));
  return element(
    "ul",
    { class: "legend" },
    ...[...looks].map(([look, name]) =>
      element("li", {}, shape("svg", { viewBox: "0 0 30 10" }, polyline([[0, 5], [30, 5]], look)), name),
    ),
  );
}

/** The chart's figures: a table, made when it is opened, and a link to them as CSV. */
function behind(title, first, xs, format, series) {
  const at = series.map(({ points }) => new Map(points.map((point) => [point.x, point])));
  const hasN = at.some((points) => [...points.values()].some(({ n }) => n !== undefined));
  const counts = (x) => (hasN ? [at.map((points) => points.get(x)?.n).find((n) => n !== undefined) ?? ""] : []);
  const details = element("details", { class: "behind" }, element("summary", {}, "As a table"));
  const fill = () => {
    const n = hasN ? ["seeds"] : [];
    const rows = xs.map((x) => [
      format(x),
      ...counts(x).map(String),
      ...series.map(({ format }, i) => (at[i].has(x) ? written(at[i].get(x), format) : "–")),
    ]);
    const csv = [
      [first, ...n, ...series.flatMap(({ heading }) => [heading, `${heading}, standard deviation`])],
      ...xs.map((x) => [x, ...counts(x), ...at.flatMap((of) => [of.get(x)?.y ?? "", of.get(x)?.deviation ?? ""])]),
    ];
    const text = csv.map((cells) => cells.map((cell) => `"${cell}"`).join(",")).join("\r\n");
    details.append(
      scrolling(table(title, [first, ...n, ...series.map(({ heading }) => heading)], rows)),
      element(
        "a",
        { href: `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`, download: `${title}.csv` },
        "Download as CSV",
      ),
    );
  };
  details.addEventListener("toggle", fill, { once: true });
  return details;
}

function written({ y, deviation }, format) {
  return typeof deviation === "number" ? `${format(y)} ± ${format(deviation)}` : format(y);
}

function short(text) {
  return text.replace(/\.?0+$/, (zeros) => (text.includes(".") ? "" : zeros));
}

function scale([low, high], [from, to], log = false) {
  const at = log ? Math.log : (value) => value;
  return (value) => from + ((at(value) - at(low)) / (at(high) - at(low) || 1)) * (to - from);
}

/** About `count` round values, from the last one below `low` to the first one above `high`. */
function ticks(low, high, count) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function drawn(points, look, toX, toY) {
  return [
    polyline(points.map(({ x, y }) => [toX(x), toY(y)]), look),
    ...points
      .filter(({ deviation }) => deviation)
      .map(({ x, y, deviation }) => line(toX(x), toY(y - deviation), toX(x), toY(y + deviation), `bar ${look}`)),
    ...(points.length > MOST_DOTS ? [] : points).map(({ x, y }) =>
      shape("circle", { class: look, cx: toX(x), cy: toY(y), r: 4 }),
    ),
  ];
}

function polyline(points, look) {
  return shape("polyline", { class: look, points: points.map((point) => point.join(",")).join(" ") });
}

function line(x1, y1, x2, y2, look) {
  return shape("line", { class: look, x1, y1, x2, y2 });
}

function text(x, y, content, anchor = "middle", look = "") {
  return shape("text", { x, y, "text-anchor": anchor, class: look }, content);
}
