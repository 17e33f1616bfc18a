// What an answer rests on: the map of what hiding each part costs, laid over the image.

import { post } from "./api.js";
import { element, points } from "./dom.js";
import { titleOf } from "./records.js";

const SIZE = 32; // pixels that the models see
const SCALE = 5;
const COLOR = [236, 0, 140];
const STRONGEST = 0.8; // opacity where hiding costs most

/** Explain an image: return a box of figures, one for each model's answer. */
export async function explain(file, card, asked) {
  const crop = card.querySelector(".crop");
  const { models, patch, step } = await post("explanations", asked, file);
  const figures = models.map(({ model, class: name, map }) => {
    const words = inWords(name, map, patch, step);
    const canvas = element("canvas", { width: SIZE * SCALE, height: SIZE * SCALE });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", words);
    draw(canvas, crop, perPixel(map, patch, step));
    return element(
      "figure",
      { class: "map", "data-model": model },
      element("h3", {}, titleOf(model)),
      canvas,
      element("figcaption", {}, `Pink is what makes it ${name}: hidden by a gray square, it costs confidence. ${words}`),
    );
  });
  return [element("div", { class: "maps" }, ...figures)];
}

/** Spread the map over the pixels: the mean of all positions of the square that hide one. */
function perPixel(map, patch, step) {
  const [sums, counts] = [new Float32Array(SIZE * SIZE), new Float32Array(SIZE * SIZE)];
  for (const [row, losses] of map.entries()) {
    for (const [column, lost] of losses.entries()) {
      for (let y = row * step; y < row * step + patch; y++) {
        for (let x = column * step; x < column * step + patch; x++) {
          sums[y * SIZE + x] += lost;
          counts[y * SIZE + x] += 1;
        }
      }
    }
  }
  return sums.map((sum, i) => sum / counts[i]);
}

function draw(canvas, crop, lost) {
  const heat = new ImageData(SIZE, SIZE);
  const most = Math.max(...lost, 0.01); // less than a point is nothing
  for (const [i, value] of lost.entries()) {
    heat.data.set([...COLOR, (255 * STRONGEST * Math.max(value, 0)) / most], 4 * i);
  }
  const small = element("canvas", { width: SIZE, height: SIZE });
  small.getContext("2d").putImageData(heat, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(crop, 0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

function inWords(name, map, patch, step) {
  const [most, row, column] = map
    .flatMap((losses, y) => losses.map((lost, x) => [lost, y, x]))
    .reduce((best, one) => (one[0] > best[0] ? one : best));
  if (most < 0.01) return "No part that is hidden alone costs it a point.";
  const third = (at) => Math.floor((3 * (at * step + patch / 2)) / SIZE);
  const place = `${["upper", "middle", "lower"][third(row)]} ${["left", "center", "right"][third(column)]}`;
  return `Most rests on the ${place}: without it, ${name} is ${points(most)} points less likely.`;
}
