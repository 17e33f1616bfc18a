"""Records of a model's versions to its model card, models/<name>/README.md."""

from models.record import Record


def model_card(records: list[Record]) -> str:
    """Return the card of one model, in Markdown; `records` are its versions, the newest first."""
    newest = records[0]
    versions = "\n".join(_version_row(record) for record in records)
    classes = "\n".join(
        f"| {name} | " + " | ".join(f"{100 * r.class_accuracy[name]:.1f}" for r in records) + " |"
        for name in newest.classes
    )
    noise = "\n".join(
        f"- Version {record.version} calls {100 * record.noise.share:.0f} % of 1,000 pictures of "
        f"random noise {record.noise.most_common_class}; its mean confidence on them is "
        f"{100 * record.noise.confidence:.0f} %."
        for record in records
    )
    headings = " | ".join(f"version {record.version}" for record in records)
    return f"""\
# {newest.title}

`{newest.name}` is a convolutional network of {newest.parameters:,} parameters that tells
CIFAR-10's ten classes apart. Made from the records by `python -m training`.

## Intended use

To see overfitting and what reduces it, and to try a prediction service. It is no tool for
decisions about people, safety or money.

## Training

CIFAR-10 (Krizhevsky, 2009): 40,000 of its training pictures, 10,000 more for validation, 10,000
for the test. {newest.layers}.

| version | recipe | epochs | arithmetic | train | validation | gap | test | test loss | int8 test |
|---|---|---:|---|---:|---:|---:|---:|---:|---:|
{versions}

Accuracies in per cent, of the exported file, without dropout or augmentation; the gap in points.
The last column is `model.int8.onnx`'s, which the service takes with `--precision int8`.
Each version's `metadata.json` has every epoch, the confusion matrix, checksums and versions.

![Learning curves]({newest.version}/curves.png)

## Test accuracy by class

Per cent of 1,000 pictures each.

| class | {headings} |
|---|{"---:|" * len(records)}
{classes}

## Limits

It knows ten classes and gives every picture one of them, whatever it shows:

{noise}

Its confidence is no measure of whether a picture belongs to the ten. It sees 32×32 pixels;
CIFAR-10's pictures show one object, centred and large, and others are answered less well. Its
training pictures were collected from the web and share its biases.
"""


def _version_row(record: Record) -> str:
    return (
        f"| {record.version} | {record.recipe} | {record.epochs_completed} of {record.epochs} "
        f"| {record.precision} "
        f"| {100 * record.evaluated_train.accuracy:.2f} "
        f"| {100 * record.evaluated_validation.accuracy:.2f} | {100 * record.evaluated_gap:.2f} "
        f"| {100 * record.test_accuracy:.2f} | {record.test_loss:.3f} "
        f"| {f'{100 * record.int8.test_accuracy:.2f}' if record.int8 else '–'} |"
    )
