"""The labels of one image in two versions: which are new, gone, renamed, moved, drawn anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dataloop.domain.canonical import canonical_json

# Two boxes speak of one object from here on: COCO's and Pascal VOC's own threshold of a match.
SAME_OBJECT_IOU = 0.5
# Above it a box lies where it lay: one pixel of a 100-pixel side, or the rounding of another tool.
SAME_BOX_IOU = 0.98
# Labels that differ are matched pair by pair: 500 by 500 take a tenth of a second. Beyond that they count as gone and new.
MAX_PAIRS = 250_000
# What may differ between the two labels of one object; "nudge" is a box within SAME_BOX_IOU.
ASPECTS = ("box", "mask", "score", "crowd", "nudge")
Label = dict[str, Any]
Json = dict[str, Any]


def compare_labels(before: Iterable[Label], after: Iterable[Label]) -> Json:
    """{"added": […], "removed": […], "renamed": [pair], "changed": [pair]} of two lists of a row's labels.

    A pair: {"before", "after", "iou" (null without boxes)} and, where changed, "what" (ASPECTS). Equal labels cancel out,
    whichever annotation they come from. Objects are matched greedily by the overlap of their boxes, first among labels
    of one name (changed), then among the rest (renamed). The same in both directions.
    """
    old, new = _without_equals(list(before), list(after))
    changed = _matched(old, new, lambda one, other: one["label"] == other["label"])
    renamed = _matched(old, new, lambda one, other: one["label"] != other["label"])
    whole = [[label for label in side if label["box"] is None] for side in (old, new)]
    if len(whole[0]) == 1 == len(whole[1]):  # one class of the whole image for another
        one, other = whole[0][0], whole[1][0]
        (renamed if one["label"] != other["label"] else changed).append({"before": one, "after": other, "iou": None})
        old.remove(one)
        new.remove(other)
    for pair in changed:
        pair["what"] = _aspects(pair)
    return {"added": new, "removed": old, "renamed": renamed, "changed": changed}


def is_only_nudged(labels: Mapping[str, Any]) -> bool:
    """True when boxes moved by less than counts, and nothing else happened."""
    others = labels["added"] or labels["removed"] or labels["renamed"]
    return not others and all(pair["what"] == ["nudge"] for pair in labels["changed"])


def _without_equals(before: list[Label], after: list[Label]) -> tuple[list[Label], list[Label]]:
    """Both lists in canonical order without what they share, each label as often as it is there."""
    old, new = (Counter(canonical_json(label) for label in side) for side in (before, after))
    shared = old & new
    rest = []
    for side in (before, after):
        left = Counter(shared)
        kept = []
        for text, label in sorted(((canonical_json(label), label) for label in side), key=lambda each: each[0]):
            if left[text]:
                left[text] -= 1
            else:
                kept.append(label)
        rest.append(kept)
    return rest[0], rest[1]


def _matched(old: list[Label], new: list[Label], may_match: Callable[[Label, Label], bool]) -> list[Json]:
    """Pairs of labels with overlapping boxes, the best overlap first; they are taken out of both lists."""
    if len(old) * len(new) > MAX_PAIRS:
        return []
    found = []
    for at, one in enumerate(old):
        for place, other in enumerate(new):
            if one["box"] is not None and other["box"] is not None and may_match(one, other):
                iou = overlap(one["box"], other["box"])
                if iou >= SAME_OBJECT_IOU:
                    # Ties are broken by the pair itself, in either order, so that both directions match alike.
                    found.append((-iou, sorted((canonical_json(one), canonical_json(other))), at, place))
    pairs: list[Json] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for negative, _, at, place in sorted(found, key=lambda each: each[:2]):
        if at not in taken[0] and place not in taken[1]:
            taken[0].add(at)
            taken[1].add(place)
            pairs.append({"before": old[at], "after": new[place], "iou": round(-negative, 6)})
    for side, used in zip((old, new), taken, strict=True):
        side[:] = [label for index, label in enumerate(side) if index not in used]
    return pairs


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes [left, top, width, height]; the same in both orders."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = one[2] * one[3] + other[2] * other[3] - shared
    return float(shared / union) if union > 0 else 0.0


def _aspects(pair: Mapping[str, Any]) -> list[str]:
    old, new, found = pair["before"], pair["after"], []
    if old["box"] != new["box"]:
        found.append("box" if pair["iou"] is None or pair["iou"] < SAME_BOX_IOU else "nudge")
    if (old.get("polygons"), old.get("mask")) != (new.get("polygons"), new.get("mask")):
        found.append("mask")
    return found + [name for name in ("score", "crowd") if old.get(name) != new.get(name)]
