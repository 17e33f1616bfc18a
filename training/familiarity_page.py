"""The page that shows how well scores tell familiar images from others."""

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
        outcome = "No score tells enough, so the service says nothing about it."
    else:
        outcome = (
            "With `details=true`, the service calls an image familiar where the three models' "
            f"agreement is at least {familiarity.threshold:.4f}, as it is for "
            f"{100 * FAMILIAR_SHARE:.0f} % of the "
            "validation images."
        )
    counts = ", ".join(
        f"{count} of {kind}" for kind, count in familiarity.unfamiliar_images.items()
    )
    return f"""\
# Does an image look like those that the models were trained on?

Each model calls any image one of ten classes, noise too. These scores are to tell CIFAR-10's
{familiarity.test_images:,} test images from images of none of its classes, made by script or cut
from photographs that scikit-image and scikit-learn ship: {counts}.

Areas under the ROC curve: the share of pairs, a test image and another, in which the test image
has the higher score; 0.5 is chance. A score is good enough to be shown from a mean of {least}.
Agreement is the negative Jensen-Shannon divergence of the models' probabilities. Measured by
`python -m training familiarity` on the improved models' float32 files.

| score | model | {" | ".join(kinds)} | mean |
|---|---|{"---:|" * (len(kinds) + 1)}
{chr(10).join(rows)}

{outcome}
"""
