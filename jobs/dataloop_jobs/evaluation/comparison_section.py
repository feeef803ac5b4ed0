"""The part of report.html that compares the model with a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataloop_jobs.evaluation.figures import range_bar, text

_MOST_ROWS = 30


def comparison_section(comparison: Mapping[str, Any]) -> str:
    """The difference overall, per class and per slice, with intervals; how many images were fixed and broken."""
    primary, changed = comparison["primary"], comparison["changed"]
    slices = [
        (f"{name}: {value}", entry) for name, values in comparison["slices"].items() for value, entry in values.items()
    ]
    left_out = "; ".join(f"{text(label)}: {text(why)}" for label, why in comparison["labels_left_out"].items())
    return (
        f"<section><h2>Against the baseline</h2><p>{_sentence(comparison)} {changed['fixed']} of the images got rid of "
        f"their faults, {changed['broken']} got new ones.</p>"
        f"{_table('Overall', [(str(comparison['metric']), primary)])}"
        f"{_table('Classes', list(comparison['per_class'].items()))}{_table('Slices', slices)}"
        + (f"<p class='quiet'>Labels left out: {left_out}.</p>" if left_out else "")
        + "</section>"
    )


def _sentence(comparison: Mapping[str, Any]) -> str:
    primary = comparison["primary"]
    if primary["difference"] is None:
        return "There is no difference to measure: one of the two has no number."
    probability = primary["probability_better"]
    sure = "" if probability is None else f" It is better with probability {probability:.2f}."
    return (
        f"{text(comparison['metric'])} {primary['model']:.3f} against {primary['baseline']:.3f} of model "
        f"{text(comparison['baseline_model_id'])} on the same {comparison['images']} images: "
        f"{primary['difference']:+.3f}.{sure}"
    )


def _table(title: str, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    known = [(name, entry) for name, entry in entries if entry["difference"] is not None]
    if not known:
        return ""
    known.sort(key=lambda pair: pair[1]["difference"])
    # The ends tell more than the middle: what got worse most and what got better most.
    shown = known if len(known) <= _MOST_ROWS else known[: _MOST_ROWS // 2] + known[-_MOST_ROWS // 2 :]
    widest = max(max(map(abs, (entry["difference"], *(entry["confidence"] or ())))) for _, entry in shown) or 1.0
    rows = "".join(_row(name, entry, widest) for name, entry in shown)
    return f"<h3>{title}</h3><div class='rows'>{rows}</div>"


def _row(name: str, entry: Mapping[str, Any], widest: float) -> str:
    difference = entry["difference"]
    bar = range_bar(difference, entry["confidence"], -widest, widest)
    probability = entry["probability_better"]
    sure = "" if probability is None else f" <small>p {probability:.2f}</small>"
    side = "up" if difference >= 0 else "down"
    return (
        f'<span class="name">{text(name)}</span><span class="{side}">{bar}</span>'
        f'<span class="number">{difference:+.3f}{sure}</span>'
    )
