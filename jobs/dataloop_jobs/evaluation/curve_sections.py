"""The parts of report.html that show curves, thresholds, calibration and confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataloop_jobs.evaluation.figures import SERIES, Points, calibration_chart, line_chart, text

# A larger matrix is a list of its largest cells instead.
_MOST_LABELS = 20
_MOST_CELLS = 30


def curve_section(curves: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Precision and recall, ROC, thresholds and calibration, those that the task has."""
    support = {label: entry.get("support") or 0 for label, entry in metrics["per_class"].items()}
    charts = []
    pr = _most_frequent(curves.get("pr") or {}, support)
    if pr:
        lines = {label: _points(curve["recall"], curve["precision"]) for label, curve in pr.items()}
        charts.append(line_chart("Precision at each recall", "recall", lines))
    roc = _most_frequent(curves.get("roc") or {}, support)
    if roc:
        lines = {
            f"{label} (AUC {curve['auc']:.3f})": [(0.0, 0.0), *_points(curve["fpr"], curve["tpr"])]
            for label, curve in roc.items()
        }
        charts.append(
            line_chart(
                "True positive rate at each false positive rate (ROC)", "false positive rate", lines, diagonal=True
            )
        )
    rows = metrics.get("thresholds") or []
    if rows:
        lines = {
            name: [(row["threshold"], row[name]) for row in rows if row[name] is not None]
            for name in ("precision", "recall", "f1")
        }
        charts.append(line_chart("At each score threshold", "threshold", lines))
    calibration = metrics.get("calibration")
    if calibration:
        charts.append(
            calibration_chart(
                f"Share that is right at each score (error {calibration['ece']:.3f})", calibration["bins"]
            )
        )
    if not charts:
        return ""
    note = (
        f" Of {len(curves['pr'])} classes, the {SERIES} most frequent." if len(curves.get("pr") or {}) > SERIES else ""
    )
    return (
        f"<section><h2>Curves</h2><p class='quiet'>A calibrated score reaches the dashed line: of all answers with score "
        f"0.8, 80% are right.{note}</p><div class='charts'>{''.join(charts)}</div></section>"
    )


def confusion_section(confusion: Mapping[str, Any]) -> str:
    """The matrix, its largest cells when it is too large to read, or a table of 2 × 2 counts a label."""
    labels: Sequence[str] = confusion["labels"]
    if confusion.get("tables"):
        return _tables(labels, confusion["tables"])
    matrix: Sequence[Sequence[int]] = confusion.get("matrix") or []
    if not any(map(any, matrix)):
        return ""
    body = _matrix(labels, matrix) if len(labels) <= _MOST_LABELS else _largest(labels, matrix)
    return f"<section><h2>Confusion</h2>{body}</section>"


def _matrix(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    head = "".join(f"<th>{text(label)}</th>" for label in labels)
    rows = []
    for number, (label, row) in enumerate(zip(labels, matrix, strict=True)):
        total = sum(row) or 1
        cells = "".join(
            f"<td class='{'right' if column == number else 'wrong'}' style='--share:{count / total:.3f}'>{count}</td>"
            for column, count in enumerate(row)
        )
        rows.append(f"<tr><th>{text(label)}</th>{cells}</tr>")
    return (
        "<p class='quiet'>Rows are true, columns predicted; the colour is the share of the row.</p><div class='scroll'>"
        f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _largest(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    cells = [
        (count, row, column)
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    cells.sort(reverse=True)
    rows = "".join(
        f"<tr><th>{text(labels[row])}</th><th>{text(labels[column])}</th><td>{count}</td></tr>"
        for count, row, column in cells[:_MOST_CELLS]
    )
    return (
        f"<p class='quiet'>{len(labels)} labels: what is taken for what most often; all of it in confusion.json.</p>"
        "<div class='scroll'><table><thead><tr><th>true</th><th>predicted</th><th>count</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _tables(labels: Sequence[str], tables: Sequence[Sequence[Sequence[int]]]) -> str:
    entries = sorted(zip(labels, tables, strict=True), key=lambda entry: -(entry[1][0][1] + entry[1][1][0]))
    rows = "".join(
        f"<tr><th>{text(label)}</th><td>{hits}</td><td>{missed}</td><td>{false}</td><td>{none}</td></tr>"
        for label, ((none, false), (missed, hits)) in entries[:_MOST_CELLS]
    )
    return (
        "<section><h2>Confusion</h2><p class='quiet'>Images by label, most mistakes first.</p><div class='scroll'><table>"
        "<thead><tr><th></th><th>found</th><th>missed</th><th>false</th><th>rightly absent</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _most_frequent(curves: Mapping[str, Any], support: Mapping[str, int]) -> dict[str, Any]:
    chosen = sorted(curves, key=lambda label: -support.get(label, 0))[:SERIES]
    return {label: curves[label] for label in sorted(chosen)}


def _points(xs: Sequence[float], ys: Sequence[float | None]) -> Points:
    return [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None]
