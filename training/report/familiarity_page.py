"""The page that shows how well scores separate familiar images from others."""

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
            "The models' agreement does not separate them well enough, so the service is silent."
        )
    else:
        outcome = (
            "With `details=true`, the service calls an image familiar if the three models' "
            f"agreement is at least {familiarity.threshold:.4f}, as for "
            f"{100 * FAMILIAR_SHARE:.0f} % of the "
            "validation images. It calls the others unfamiliar:\n\n"
            + _shares(familiarity.below_threshold)
        )
    counts = ", ".join(
        f"{count} of {kind}" for kind, count in familiarity.unfamiliar_images.items()
    )
    return f"""\
# Does an image look like those that the models were trained on?

Each model assigns one of ten classes to any image, even to noise. These scores are meant to
separate CIFAR-10's {familiarity.test_images:,} test images from images of none of its classes,
generated or cropped from photographs in scikit-image and scikit-learn: {counts}.

The figures are areas under the ROC curve: the share of pairs of a test image and another image in
which the test image scores higher; 0.5 is chance. The service uses the agreement, and only if its
mean is at least {least}; the other scores are for comparison. Agreement is the negative
Jensen-Shannon divergence of the models' probabilities. Measured by `python -m training familiarity`
on the improved models' float32 files.

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
