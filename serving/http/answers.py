"""The response types, which views return and the OpenAPI document describes.

Pydantic only derives the schemas: validating each response would take time.
"""

from typing import Annotated, Any, NotRequired

import orjson
from flask.json.provider import JSONProvider
from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from models.bundle import Arithmetic
from models.measurements import Calibration, Epoch
from models.record import Article, Record
from models.study import Compared, Result
from serving.images.decode import DecodedImage

ClassName = Annotated[str, Field(description="One of the model's classes.")]
Fraction = Annotated[float, Field(ge=0, le=1)]
DataUrl = Annotated[str, Field(description="A PNG, as a data URL.")]


class Confusion(TypedDict):
    """A class that the model often mistakes for its answer."""

    true_class: ClassName
    share: Annotated[Fraction, Field(description="Of the test images with this answer.")]


class Worth(TypedDict):
    """The test accuracy of similar answers; null if there were too few.

    Absent if the model was not evaluated.
    """

    accuracy_at_confidence: Annotated[
        Fraction | None,
        Field(description="Share of correct answers among test images with similar confidence."),
    ]
    precision: Annotated[
        Fraction | None,
        Field(description="Share of correct answers among test images with this answer."),
    ]
    top_confusions: Annotated[
        list[Confusion],
        Field(
            description="The two classes most often mistaken for this one; none if too few test "
            "images got this answer."
        ),
    ]


Answer = TypedDict(
    "Answer",
    {
        "model": str,
        "version": int,
        "precision": Annotated[Arithmetic, Field(description="Of the file that answered.")],
        "class": Annotated[ClassName | None, Field(description="null if below min_confidence")],
        "confidence": Fraction,
        "probabilities": dict[ClassName, Fraction],
        "test_accuracy": NotRequired[Fraction],
        "best_guess": NotRequired[
            Annotated[ClassName, Field(description="Present if class is null.")]
        ],
        "details": NotRequired[Worth],
    },
)
Answer.__doc__ = "A model's answer to an image."


class Familiarity(TypedDict):
    """Whether an image looks like the models' training images.

    Present with `details`, if all three improved models answer.
    """

    agreement: Annotated[
        float, Field(le=0, description="How much the models agree, in nats; 0 is full agreement.")
    ]
    familiar: Annotated[
        bool,
        Field(
            description="Whether such agreement is usual for training images. If false, the image "
            "is possibly out of distribution; many such images get true, too."
        ),
    ]


class Image(TypedDict):
    """An uploaded image, before cropping."""

    filename: Annotated[
        str | None, Field(description="null for an image sent as the body or in JSON")
    ]
    width: int
    height: int
    resampled: Annotated[
        bool, Field(description="Whether the models saw its center square, resampled to 32×32.")
    ]


def describe_image(image: DecodedImage, filename: str | None) -> Image:
    """Return the fields about the image itself."""
    return {
        "filename": filename,
        "width": image.width,
        "height": image.height,
        "resampled": image.resampled,
    }


class Prediction(Image):
    """An image and each model's answer."""

    models: list[Answer]
    familiarity: NotRequired[Familiarity]
    crop: NotRequired[Annotated[DataUrl, Field(description="What the models saw, as a PNG.")]]


class Problem(TypedDict):
    """A problem document, RFC 9457; `detail` says what to do."""

    type: str
    title: str
    status: int
    detail: str | None
    error: Annotated[
        str | None, Field(description="`detail` again, for clients of the Open Inference Protocol.")
    ]


class Refusal(TypedDict):
    """A refused image among others that are classified (`partial`)."""

    filename: str | None
    problem: Problem


class Predictions(TypedDict):
    """The response of /predict."""

    predictions: list[Prediction | Refusal]


TopClass = TypedDict(
    "TopClass",
    {"model": str, "version": int, "class": ClassName, "confidence": Fraction},
)
TopClass.__doc__ = "A model's most likely class."

ChangedVariant = TypedDict(
    "ChangedVariant", {"variant": str, "class": ClassName, "confidence": Fraction}
)
ChangedVariant.__doc__ = "A variant of the image that changes the predicted class."


class ModelStability(TopClass):
    """A model's most likely class, and its stability under small changes to the image."""

    kept: Annotated[Fraction, Field(description="Share of the variants with the same class.")]
    changed: list[ChangedVariant]


class Variant(TypedDict):
    """A changed image."""

    name: str
    image: NotRequired[DataUrl]


class ImageStability(Image):
    """The response of /stability."""

    models: list[ModelStability]
    variants: list[Variant]


class ModelExplanation(TopClass):
    """A model's most likely class, and the parts of the image that it depends on."""

    map: Annotated[
        list[list[Annotated[float, Field(ge=-1, le=1)]]],
        Field(
            description="[row][column]: how much the class's probability drops when a gray square "
            "hides that part of the image (Zeiler and Fergus, 2014)."
        ),
    ]


class ImageExplanation(Image):
    """The response of /explanations."""

    models: list[ModelExplanation]
    patch: Annotated[int, Field(description="Side of the square, in pixels of the 32×32 image.")]
    step: Annotated[int, Field(description="Pixels from one position to the next.")]


class ServedRecord(Record):
    """A model's record, whose checksum and measurements are those of the file that runs."""

    served_precision: Arithmetic


class Models(TypedDict):
    """The response of /models."""

    models: list[ServedRecord]


class ComparedVersion(TypedDict):
    """The fields for comparing trained versions, where their records have them."""

    name: str
    title: str
    version: int
    recipe: str
    history: list[Epoch]
    train_accuracy: NotRequired[Fraction]
    running_train_accuracy: Fraction
    validation_accuracy: NotRequired[Fraction]
    generalization_gap: NotRequired[float]
    test_accuracy: NotRequired[Fraction]
    article: NotRequired[Article]
    calibration: NotRequired[Calibration]
    classes: list[ClassName]
    confusion_matrix: NotRequired[list[list[int]]]


class Study(TypedDict):
    """The response of /study: measured techniques and experiments, and each model's recipes."""

    results: list[Result]
    compared: list[Compared]
    experiments: Annotated[
        dict[str, list[Result]],
        Field(description="random-labels, less-data and width: a list is empty if not measured."),
    ]
    training_images: Annotated[
        int, Field(description="Images of a training run, unless its recipe uses fewer.")
    ]
    versions: list[ComparedVersion]


class Status(TypedDict):
    """The response of a probe."""

    status: str


class OrjsonProvider(JSONProvider):
    """Flask's JSON with orjson, which is several times as fast."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """Return the JSON text."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Return the value of a JSON text."""
        return orjson.loads(s)
