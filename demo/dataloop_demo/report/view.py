"""From a recording to what the page prints: texts, tables and charts. No figure is made here that the recording lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dataloop_demo.report import charts, spending
from dataloop_demo.report.charts import Series
from dataloop_demo.report.figures import NONE, dollars, duration, number

Json = dict[str, Any]
# More classes than this make curves and matrix unreadable; the best supported ones are shown, and the page says so.
_MAX_CLASSES = 16


def build(document: Json) -> Json:
    """The variables of page.html.j2."""
    loops = document["loops"]
    shown = loops[document["released"]]
    labels, hidden = _classes(loops)
    cost = spending.cost(document)
    return {
        "story": document["story"],
        "made_at": document["made_at"].replace("T", " ").replace("+00:00", " UTC"),
        "machine": document["machine"],
        "service": document["service"],
        "metric": shown["metrics"]["primary"]["name"],
        "tiles": _tiles(document, cost),
        "loops": [_loop(loop, index, document) for index, loop in enumerate(loops)],
        "released_name": f"loop {document['released'] + 1}",
        "order": loops[1]["order"],
        "samples": _samples(document["samples"]),
        "training": _training(loops),
        "hidden_classes": hidden,
        "precision_recall": [_precision_recall(label, loops) for label in labels],
        "confusion": _confusion(shown["confusion"], labels),
        "per_class": _per_class(loops, labels),
        "slices": _slices(loops),
        "lineage": _lineage(document["lineage"], document["current"]["release_id"]),
        "timeline": spending.timeline(document),
        "cost": cost,
        "card": _card(shown["card"]),
        "current": document["current"],
        "releases": document["releases"],
    }


# -- texts ------------------------------------------------------------------------------------------------------------


def _primary(metrics: Mapping[str, Any]) -> float | None:
    value = metrics["primary"]["value"]
    return None if value is None else float(value)


def _tiles(document: Json, cost: Json) -> list[Json]:
    first, second = document["loops"]
    name = second["metrics"]["primary"]["name"]
    rounds = document["story"]["rounds"]
    decision = "promoted" if second["promoted"] else "refused"
    return [
        {
            "name": f"{name} on held-out images",
            "value": f"{number(_primary(first['metrics']))} → {number(_primary(second['metrics']))}",
            "note": f"{second['metrics']['images']} images, never trained on, the same for both models",
        },
        {
            "name": "Second loop",
            "value": decision,
            "note": "started by itself; " + "; ".join(second["verdict"]["reasons"]),
        },
        {
            "name": "Images",
            "value": f"{rounds[0]['images']} + {rounds[1]['images']}",
            "note": f"{rounds[0]['boxes']:,} + {rounds[1]['boxes']:,} labelled boxes, loop 1 + loop 2",
        },
        {
            "name": "Start to report",
            "value": duration(document["seconds"]),
            "note": f"both loops, on {document['machine']['cores']} cores of {document['machine']['system']}, without a GPU",
        },
        {
            "name": "AWS list price",
            "value": dollars(cost["grand_total"]),
            "note": f"of which {dollars(cost['serverless_total'])} serverless calls, counted; the rest a projection",
        },
    ]


def _loop(loop: Json, index: int, document: Json) -> Json:
    verdict, metrics, card = loop["verdict"], loop["metrics"], loop["card"]
    counts = loop["dataset"]["counts"]
    facts = [
        ("Dataset", f"{loop['dataset']['dataset_name']} {loop['dataset']['dataset_version']}"),
        ("Digest", loop["dataset"]["digest"]),
        ("Images", ", ".join(f"{counts[name]} {name}" for name in ("train", "val", "test") if name in counts)),
        ("Start from", str(card["training"]["warm start"])),
        ("Model", loop["model_id"]),
        ("Test set", f"{metrics['dataset']['digest']} ({metrics['images']} images)"),
        ("Result", _result(metrics)),
        ("Release", loop["release_id"] or "none: the champion stays"),
    ]
    if "evaluation" in loop:
        again = loop["evaluation"]["primary"]
        verified = f"largest difference {loop['export']['max_abs_diff']:.1e} on {loop['export']['samples']} images"
        facts.insert(-1, ("Measured again", f"{again['name']} {number(again['value'])}, by a job of its own"))
        facts.insert(-1, ("ONNX export", f"verified: {verified}"))
    return {
        "title": ("Loop 1, step by step", "Loop 2, by itself")[index],
        "promoted": loop["promoted"],
        "reasons": verdict["reasons"],
        "facts": facts,
        "gate": _gate(document["story"]["gate"], metrics["primary"]["name"]),
        "decisions": [_decision(each) for each in reversed(loop["order"]["decisions"])] if "order" in loop else [],
    }


def _result(metrics: Json) -> str:
    summary = metrics["summary"]
    return ", ".join(f"{name} {number(value)}" for name, value in summary.items())


def _gate(gate: Json, name: str) -> str:
    least = f"{name} at least {gate['min_primary']:g}, and " if gate["min_primary"] else f"{name} "
    margin = f" + {gate['margin']:g}" if gate["margin"] else ""
    return f"{least}at least the champion's{margin}; no class may lose more than {gate['max_class_drop']:g}"


def _decision(entry: Json) -> Json:
    return {
        "at": f"{entry['at'][11:19]} UTC",
        "kind": entry["kind"],
        "yes": bool(entry.get("start", entry.get("promote", False))),
        "reasons": "; ".join(entry["reasons"]),
    }


# -- pictures and curves ----------------------------------------------------------------------------------------------


def _samples(samples: Sequence[Json]) -> list[Json]:
    return [
        {
            "kind": each["kind"],
            "svg": Markup(charts.scene(each["picture"], each["boxes"])),
            "now": _tally(each),
            "before": _tally(each["before"]) if each["before"] else "",
        }
        for each in samples
    ]


def _tally(entry: Json) -> str:
    text = f"{entry['found']} of {entry['found'] + entry['missed']} found"
    return f"{text}, {entry['wrong']} wrong" if entry["wrong"] else text


def _training(loops: Sequence[Json]) -> list[Markup]:
    name = loops[0]["metrics"]["primary"]["name"]
    wanted = (
        ("train_loss", "Training loss", None),
        ("val_loss", "Validation loss", None),
        ("val_metric", f"{name} on the val split", (0.0, 1.0)),
    )
    found = []
    for key, title, y_range in wanted:
        series = [
            Series(
                f"loop {index + 1}",
                ("one", "two")[index],
                tuple((float(row["epoch"]), float(row[key])) for row in loop["history"] if row[key] is not None),
            )
            for index, loop in enumerate(loops)
        ]
        chart = charts.line_chart(series, title=title, x_label="epoch", y_range=y_range, whole_x=True, dots=True)
        found.append(Markup(chart))
    return found


def _classes(loops: Sequence[Json]) -> tuple[list[str], int]:
    """The labels to show, and how many are left out."""
    per_class = loops[-1]["metrics"]["per_class"]
    labels = sorted(per_class, key=lambda label: (-(per_class[label].get("support") or 0), label))
    return sorted(labels[:_MAX_CLASSES]), max(0, len(labels) - _MAX_CLASSES)


def _precision_recall(label: str, loops: Sequence[Json]) -> Markup:
    series = []
    for index, loop in enumerate(loops):
        curve = loop["curves"]["pr"].get(label)
        pairs = zip(curve["recall"], curve["precision"], strict=True) if curve else ()
        points = tuple((float(x), float(y)) for x, y in pairs if y is not None)
        series.append(Series(f"loop {index + 1}", ("one", "two")[index], points))
    scores = " → ".join(_class_score(loop, label) for loop in loops)
    chart = charts.line_chart(
        series, title=f"{label}   {scores}", y_range=(0.0, 1.0), x_range=(0.0, 1.0), size=(220, 150)
    )
    return Markup(chart)


def _class_score(loop: Json, label: str) -> str:
    entry = loop["metrics"]["per_class"].get(label) or {}
    return number(entry.get("AP50", entry.get("f1")), 2)


def _confusion(confusion: Json, labels: Sequence[str]) -> Json:
    """The matrix of the shown classes and the background; share colours a cell by its part of the row."""
    names = [name for name in confusion["labels"] if name in labels or name == "background"]
    places = [confusion["labels"].index(name) for name in names]
    rows = []
    for name, place in zip(names, places, strict=True):
        cells = [confusion["matrix"][place][column] for column in places]
        whole = sum(cells) or 1
        rows.append(
            {
                "name": name,
                "cells": [
                    {"count": count, "share": round(count / whole, 3), "diagonal": column == index}
                    for column, (count, index) in enumerate((count, names.index(name)) for count in cells)
                ],
            }
        )
    return {
        "names": names,
        "rows": rows,
        "threshold": number(confusion.get("threshold"), 2),
        "iou": confusion.get("iou"),
    }


# -- tables -----------------------------------------------------------------------------------------------------------


def _per_class(loops: Sequence[Json], labels: Iterable[str]) -> list[Json]:
    first, second = (loop["metrics"]["per_class"] for loop in loops)
    rows = []
    for label in labels:
        old, new = first.get(label) or {}, second.get(label) or {}
        before, after = old.get("AP50"), new.get("AP50")
        rows.append(
            {
                "label": label,
                "support": new.get("support", old.get("support")) or 0,
                "before": number(before),
                "after": number(after),
                "change": NONE if before is None or after is None else f"{after - before:+.3f}",
                "strict": number(new.get("AP")),
                "recall": number(new.get("recall")),
                "share": 0.0 if after is None else round(after, 3),
            }
        )
    return rows


def _slices(loops: Sequence[Json]) -> list[Json]:
    """Attributes with more than one value: one value is the whole set again."""
    first, second = (loop["metrics"].get("slices") or {} for loop in loops)
    tables = []
    for attribute, values in sorted(second.items()):
        if len(values) > 1:
            rows = [
                {
                    "value": value,
                    "images": entry["images"],
                    "before": number(((first.get(attribute) or {}).get(value) or {}).get("primary")),
                    "after": number(entry["primary"]),
                    "share": round(entry["primary"] or 0.0, 3),
                }
                for value, entry in sorted(values.items())
            ]
            tables.append({"attribute": attribute, "rows": rows})
    return tables


def _lineage(lineage: Json, current: str) -> Json:
    dataset, usage = lineage["dataset"], lineage["usage"]
    images = [
        {
            "src": Markup(each["picture"]["src"]),
            "uid": each["uid"],
            "split": each["split"] + (", new in loop 2" if each["is_new"] else ""),
            "labels": ", ".join(each["labels"]) or "none",
            "object": f"{each['bucket']}/{each['object_name']}",
            "version": each["version_id"],
            "sha256": each["sha256"],
            "annotations": ", ".join(each["annotation_ids"]),
        }
        for each in lineage["images"]
    ]
    return {
        "dataset": dataset,
        "counts": ", ".join(f"{dataset['counts'][name]} {name}" for name in ("train", "val", "test")),
        "images": images,
        "usage": {
            "uid": usage["uid"],
            "versions": [f"{each['dataset_name']} {each['dataset_version']}" for each in usage["versions"]],
            "models": [each["model_id"] for each in usage["models"]],
            "releases": [
                {
                    "id": each["release_id"],
                    "status": "current" if each["release_id"] == current else each["status"].lower(),
                }
                for each in usage["releases"]
            ],
        },
    }


def _card(card: Json) -> list[tuple[str, str]]:
    training, onnx = card["training"], card["onnx"]
    parameters = training["parameters"]
    names = ("epochs", "batch_size", "learning_rate", "backbone_rate", "frozen_stages", "augment", "seed")
    rows = [
        ("Model", card["model_id"]),
        ("Task and architecture", f"{card['task_type']}, {card['architecture']}, {card['image_size']} pixels"),
        ("Labels", ", ".join(card["labels"])),
        ("Chosen by", f"{training['chosen by']}: epoch {training['best epoch']} of {training['epochs done']}"),
        ("Training time", f"{training['CPU seconds']:.0f} CPU seconds"),
        ("Parameters", ", ".join(f"{name} {parameters[name]}" for name in names if name in parameters)),
        (
            "ONNX against torch",
            f"largest difference {onnx['max_abs_diff']:.1e} on {onnx['samples']} images "
            f"(allowed {onnx['tolerance']:g}), opset {onnx['opset']}",
        ),
    ]
    return [(name, str(value)) for name, value in rows]
