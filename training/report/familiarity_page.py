"""The page that shows how well scores detect images of other things."""

from collections.abc import Mapping

from models.familiarity import FAMILIAR_SHARE, REQUIRED_AUROC, MeasuredFamiliarity

FAMILIARITY_PAGE = "FAMILIARITY.md"


def familiarity_page(familiarity: MeasuredFamiliarity) -> str:
    """Return FAMILIARITY.md."""
    kinds, least = list(familiarity.unfamiliar_images), REQUIRED_AUROC
    rows = []
    for quality in familiarity.qualities:
        figures = [*(quality.auroc[kind] for kind in kinds), quality.mean_auroc]
        cells = [quality.score, quality.model, *(f"{figure:.3f}" for figure in figures)]
        rows.append(f"| {' | '.join(cells)} |")
    if familiarity.threshold is None:
        outcome = (
            "The agreement does not separate them well enough, so the service does not use it."
        )
    else:
        outcome = (
            "With `details=true`, the service calls an image possibly out of distribution if the "
            f"agreement is below {familiarity.threshold:.4f}, the threshold that "
            f"{100 * FAMILIAR_SHARE:.0f} % of the validation images reach. Shares below it:\n\n"
            + _shares(familiarity.below_threshold)
        )
    counts = ", ".join(
        f"{count} of {kind}" for kind, count in familiarity.unfamiliar_images.items()
    )
    return f"""\
# Out-of-distribution detection

Each model assigns one of its ten classes to any image, even to noise. We measured how well several
scores tell CIFAR-10's {familiarity.test_images:,} test images from images of other things,
generated or cropped from photographs in scikit-image and scikit-learn:
{counts}.

The figures are areas under the ROC curve (AUROC): how often a test image scores higher than one of
the other images. 0.5 is chance. The service uses the agreement of the three models (the negative
Jensen-Shannon divergence of their probabilities), and only if its mean AUROC is at least {least}.
The other scores are for comparison.

`python -m training familiarity` measures them on the improved models' float32 files; the int8 files
have a threshold of their own.

| score | model | {" | ".join(kinds)} | mean |
|---|---|{"---:|" * (len(kinds) + 1)}
{chr(10).join(rows)}

{outcome}
"""


def _shares(below: Mapping[str, float]) -> str:
    heads = ["CIFAR-10's test images" if kind == "test" else kind for kind in below]
    return "\n".join(
        [
            f"| {' | '.join(heads)} |",
            "|" + "---:|" * len(heads),
            f"| {' | '.join(f'{100 * share:.0f} %' for share in below.values())} |",
        ]
    )
