"""The tables that benchmarks/coverage.py prints of its figures."""

from __future__ import annotations

from typing import Any

from harness import Table, table

Row = dict[str, Any]


def coverage_tables(found: Row, fold: int) -> list[Table]:
    """Makes the tables of rankings, differences, confirmations and power.

    Args:
        found: Rows of figures by the name of their experiment.
        fold: Identities of a fold.
    """
    return [
        _rankings(found["rankings"]),
        _differences(found["differences"], fold),
        _confirmations(found["confirmations"]),
        _power(found["power"]),
    ]


def _rankings(rows: list[Row]) -> Table:
    per_cent = ("coverage", "bootstrap_of_identities", "bootstrap_of_queries", "width")
    return table(
        "One ranking: how often the 95 % interval holds the truth, %",
        (
            "level",
            "identities",
            "figure",
            "truth",
            "coverage",
            "bootstrap of ids",
            "of queries",
            "width, points",
        ),
        [
            (row["level"], row["identities"], row["figure"], _truth(row), *_per_cent(row, *per_cent))
            for row in rows
        ],
    )


def _differences(rows: list[Row], fold: int) -> Table:
    return table(
        f"Differences of two configurations, {fold} identities a fold: the same",
        ("seed noise", "seeds", "folds", "figure", "truth, points", "coverage", "width, points"),
        [
            (
                "yes" if row["seed_noise"] else "no",
                *(row[name] for name in ("seeds", "folds", "figure")),
                _truth(row),
                *_per_cent(row, "coverage", "width"),
            )
            for row in rows
        ],
    )


def _confirmations(rows: list[Row]) -> Table:
    return table(
        "Confirmation with no real difference, 3 seeds: how often a leader is called better, %",
        ("leaders", "by 'confirm'", "by the study's best score"),
        [(row["leaders"], *_per_cent(row, "called_better", "study_says_better")) for row in rows],
    )


def _power(rows: list[Row]) -> Table:
    return table(
        "Power: 3 leaders of which one is better",
        ("better by, points", "seeds", "called better, %", "the right one, %"),
        [
            (*_per_cent(row, "gain"), row["seeds"], *_per_cent(row, "called_better", "right_one"))
            for row in rows
        ],
    )


def _truth(row: Row) -> str:
    return f"{100 * row['truth']:.2f} ± {100 * row['truth_error']:.2f}"


def _per_cent(row: Row, *names: str) -> list[str]:
    return [f"{100 * row[name]:.1f}" for name in names]
