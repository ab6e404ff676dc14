"""A report as the flat dict of figures that evaluators return."""

from .records import REFINED
from .report import EvaluationReport


def as_metrics(report: EvaluationReport) -> dict[str, float]:
    """What an evaluator returns: the refined means by their usual names, the others with a prefix; two digits."""
    assert report.gain is not None
    metrics: dict[str, float] = {}
    for stage in (REFINED, *(stage for stage in report.means if stage != REFINED)):
        prefix = '' if stage == REFINED else f'{stage}_'
        metrics.update({prefix + name: round(mean, 2) for name, mean in report.means[stage].items()})
    low, high = (round(bound, 2) for bound in report.gain.interval)
    seconds = {f'{stage}_seconds': value for stage, value in report.seconds.items()}
    return {**metrics, 'gain_low': low, 'gain_high': high, **report.changes, **seconds}
