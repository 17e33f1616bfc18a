"""The model card, models/<name>/README.md, from the records of its versions."""

from models.record import RELIABILITY_FILE, Record
from training.tables import per_cent

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
        f"- Version {record.version} calls {100 * record.noise.share:.0f} % of 1,000 images of "
        f"random noise {record.noise.most_common_class}; its mean confidence on them is "
        f"{100 * record.noise.confidence:.0f} %."
        for record in records
        if record.noise
    )
    worth = "\n".join(_worth_row(record) for record in records)
    extensions = "".join(_extension(record) for record in records if record.extended_after)
    diagram = (
        f"\n![Accuracy by confidence]({newest.version}/{RELIABILITY_FILE})\n"
        if newest.calibration
        else ""
    )
    headings = " | ".join(f"version {record.version}" for record in records)
    return f"""\
# {newest.title}

`{newest.name}` is a convolutional network of {newest.parameters:,} parameters that tells
CIFAR-10's ten classes apart. Made from the records by `python -m training report`.

## Intended use

To see overfitting and what reduces it, and to try a prediction service. It is no tool for
decisions about people, safety or money.

## Training

CIFAR-10 (Krizhevsky, 2009): 40,000 of its training images, 10,000 more for validation, 10,000
for the test. {newest.layers}.

| version | recipe | epochs | arithmetic | train | validation | gap | test | test loss | int8 test |
|---|---|---:|---|---:|---:|---:|---:|---:|---:|
{versions}

Accuracies in per cent, of the exported file, without dropout or augmentation; the gap in points.
The last column is `model.int8.onnx`'s, which the service takes with `--precision int8`.
Each version's `metadata.json` has every epoch, the confusion matrix, checksums and versions.
{extensions}
![Learning curves]({newest.version}/curves.png)

## Test accuracy by class

Per cent of 1,000 images each.

| class | {headings} |
|---|{"---:|" * len(records)}
{classes}

## What an answer is worth

{_WORTH_HEADER}
{worth}

On the test set; confidence is the mean of the answers'. The expected calibration error, in
points, is over 15 equal bins of the top-1 confidence; the temperature is what the file divides its
logits by, fitted on the validation set. The last two are the per cent of 2,000 test images whose
answer stays the same when the image is mirrored, and when it is moved by 2 pixels over a reflected
border.
{diagram}
## Limits

It knows ten classes and gives every image one of them, whatever it shows:

{noise}

Its confidence is no measure of whether an image belongs to the ten. It sees 32×32 pixels;
CIFAR-10's images show one object, centered and large, and others are answered less well. Its
training images were collected from the web and share its biases.
"""


def _extension(record: Record) -> str:
    lengths = " and ".join(map(str, record.extended_after))
    return f"""
Version {record.version} was trained to {lengths} epochs first, and extended to {record.epochs} from
its exported weights (dotted in the plot): with a new optimizer, along the longer run's schedule.
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
