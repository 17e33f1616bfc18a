// The words of the field, each with a sentence that shows on hover, focus or tap.

import { element } from "./dom.js";

const WORDS = {
  confidence: "The probability that a network gives to its answer.",
  "test accuracy": "The share of test images classified correctly; they had no part in the training.",
  "accuracy at this confidence":
    "The share of correct answers among the test images on which the network was about as confident.",
  "precision for this class": "Of the test images that get this answer, the share that show this class.",
  "confusion matrix": "A table that counts, for the test images of each class, the answers they get.",
  calibration:
    "How well confidence matches accuracy: of the answers at 80 % confidence, 80 % should be correct.",
  "out of distribution": "Unlike the images a network was trained on, so that its answer means little.",
  validation: "Images the network is not trained on, to see during training whether it generalizes.",
  gap: "Training accuracy minus validation accuracy, in percentage points.",
  loss: "Cross-entropy: the more probable the correct class seems to the network, the lower.",
  epoch: "One pass over all training images.",
  coverage: "The share of the test images that get an answer.",
};

/** A word of the field, perhaps as another text. */
export function word(name, text = name) {
  return element(
    "span",
    { class: "word", tabIndex: 0 },
    text,
    element("span", { class: "meaning", role: "tooltip" }, WORDS[name]),
  );
}
