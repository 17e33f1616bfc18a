"""The model card, models/<name>/README.md, from the records of its versions."""

from models.record import CURVES_FILE, RELIABILITY_FILE, Record
from training.report.tables import per_cent

_WORTH_HEADER = (
    "| version | confidence | accuracy | calibration error | Brier score | temperature "
    "| mirrored | shifted |\n|---|" + "---:|" * 7
)


def model_card(records: list[Record]) -> str:
    """Return the card of one model, in Markdown; `records` are its versions, the newest first."""
    newest = records[0]
    versions = "\n".join(_version_row(record) for record in records)
    classes = "\n".join(
        f"| {name} | " + " | ".join(f"{100 * r.class_accuracy[name]:.1f}" for r in records) + " |"
        for name in newest.classes
    )
    noise = "\n".join(
        f"- Version {record.version} classifies {100 * record.noise.share:.0f} % of 1,000 images "
        f"of random noise as {record.noise.most_common_class}; its mean confidence on them is "
        f"{100 * record.noise.confidence:.0f} %."
        for record in records
        if record.noise
    )
    worth = "\n".join(_worth_row(record) for record in records)
    extensions = "".join(_extensions(record) for record in records if record.extensions)
    layers = "\n".join(f"- Version {record.version}: {record.layers}." for record in records)
    curves = "\n".join(_plot(record, "learning curves", CURVES_FILE) for record in records)
    diagrams = "\n".join(
        _plot(record, "accuracy by confidence", RELIABILITY_FILE)
        for record in records
        if record.calibration
    )
    headings = " | ".join(f"version {record.version}" for record in records)
    return f"""\
# {newest.title}

`{newest.name}` is a convolutional network of {newest.parameters:,} parameters that classifies
images into CIFAR-10's ten classes. Generated from the records by `python -m training report`.

## Intended use

To study overfitting and what reduces it, and to try a prediction service. Do not use it for
decisions about people, safety or money.

## Training

CIFAR-10 (Krizhevsky, 2009): 40,000 of its training images to train on, the other 10,000 for
validation, and its 10,000 test images. Its layers, in training:

{layers}

| version | recipe | epochs | precision | train | validation | gap | test | test loss | int8 test |
|---|---|---:|---|---:|---:|---:|---:|---:|---:|
{versions}

Accuracies are of the exported file, in per cent, without dropout or augmentation; the gap is in
points. The last column is for `model.int8.onnx`, which the service uses with `--precision int8`.
A version's `metadata.json` has every epoch, the confusion matrix, checksums and library versions.
{extensions}
{curves}

The curves show the loss that the recipe minimizes, which label smoothing raises.

## Test accuracy by class

In per cent, of 1,000 test images per class.

| class | {headings} |
|---|{"---:|" * len(records)}
{classes}

## What an answer is worth

{_WORTH_HEADER}
{worth}

Measured on the test set; confidence is the mean over the answers. The expected calibration error,
in points, is over 15 equal-width bins of the top-1 confidence; the file divides its logits by the
temperature, which was fitted on the validation set. The last two columns are the percentage of
2,000 test images whose top-1 class stays the same when the image is mirrored, and when it is
shifted by 2 pixels over a reflected border.

{diagrams}

## Limits

It knows ten classes and assigns one of them to every image, whatever it shows:

{noise}

Its confidence does not measure whether an image belongs to one of the ten. It sees 32×32 pixels;
CIFAR-10's images show one large, centered object, and it is less accurate on others. Its training
images were collected from the web and share its biases.
"""


def _plot(record: Record, shown: str, file: str) -> str:
    return f"![Version {record.version}: {shown}]({record.version}/{file})"


def _extensions(record: Record) -> str:
    lengths = [f"{extension.after} of {extension.planned}" for extension in record.extensions]
    first, *later = [*lengths, f"{record.epochs_completed} of {record.epochs}"]
    return f"""
Version {record.version} was trained for {first} planned epochs, then extended from its exported
weights, each time with a new optimizer (dotted in its `curves.png`): {", ".join(later)}.
"""


def _version_row(record: Record) -> str:
    return (
        f"| {record.version} | {record.recipe} | {record.epochs_completed} of {record.epochs} "
        f"| {record.precision} | {per_cent(record.train_accuracy)} "
        f"| {per_cent(record.validation_accuracy)} | {per_cent(record.generalization_gap)} "
        f"| {per_cent(record.test_accuracy)} | {record.test_loss:.3f} "
        f"| {per_cent(record.int8.test_accuracy if record.int8 else None)} |"
    )


def _worth_row(record: Record) -> str:
    calibration, stability = record.calibration, record.stability
    return (
        f"| {record.version} | {per_cent(calibration.mean_confidence if calibration else None, 1)} "
        f"| {per_cent(record.test_accuracy, 1)} "
        f"| {per_cent(calibration.expected_calibration_error if calibration else None, 1)} "
        f"| {f'{calibration.brier_score:.3f}' if calibration else '–'} "
        f"| {f'{record.temperature:.3f}' if record.temperature else '–'} "
        f"| {per_cent(stability.mirrored if stability else None, 1)} "
        f"| {per_cent(stability.shifted if stability else None, 1)} |"
    )
