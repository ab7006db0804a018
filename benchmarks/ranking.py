"""How long the ranking figures take, from given distances and from features, and whether they are right.

Usage: python benchmarks/ranking.py [--quick] [--json FILE]

Synthetic clustered features of the size of Market-1501's test set: 3,368 queries of 750 identities and 6
cameras, 15,913 gallery images of which 2,798 are distractors. Beside them one torch.mm of the same features,
which no ranking by distance can do without; scikit-learn's average precision; and an evaluator as usually
published, query by query, written here: mAP and three CMC variants. Beside numpy.argsort also uniformly
random distances, ones that are often equal, and rankings with every match ahead of or behind all others.
Last the size of MSMT17's test set, with peak memory (not with --quick). On a machine with a GPU, both
devices. All times of a section are of one process, taken in turns. Needs torch and numpy; scikit-learn where
it is installed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from conventional.ranking import plain_evaluator, scikit_learn_map
from harness import (
    Table,
    alternating_seconds,
    argument_parser,
    finish,
    in_fresh_process,
    peak_memory,
    ratio,
    seconds,
    table,
)
from market import MARKET, MSMT17, TestSet, market_like
from numpy.typing import NDArray

from sa_study.metrics.distances import rank_features, squared_euclidean_blocks
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics

PAIRS = MSMT17["queries"] * MSMT17["gallery"] / (MARKET["queries"] * MARKET["gallery"])
GOAL = 0.2
"""Of the time of an argsort, on two cores, whatever the distances."""

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


Matrix = NDArray[np.float32]
Sort = Literal["quicksort", "stable"]


def figures(distances: Matrix, data: TestSet) -> RankingMetrics:
    count = len(distances)
    return ranking_metrics(
        distances, data.query_pids[:count], data.gallery_pids, data.query_camids[:count], data.gallery_camids
    )


def by_difficulty(distances: Matrix, data: TestSet) -> Iterator[tuple[str, Matrix, Sort]]:
    """The distances, then in their place easy and hard rankings, random ones, and ones that are often equal.

    Each has the kind of argsort that it is compared with; only a stable one keeps the order of what is equal.
    """
    yield "clustered features", distances, "quicksort"
    matches = data.query_pids[:, None] == data.gallery_pids
    farthest = distances.max()
    yield "easy: matches ahead of all others", np.where(matches, distances - farthest, distances), "quicksort"
    yield "hard: matches behind all others", np.where(matches, distances + farthest, distances), "quicksort"
    uniform = np.random.default_rng(0).random(distances.shape, dtype=np.float32)
    yield "uniformly random", uniform, "quicksort"
    rounded = np.floor(256 * uniform)
    yield "uniformly random, rounded to 256 values", rounded, "quicksort"
    yield "the same, beside a stable argsort", rounded, "stable"


def beside_argsort(distances: Matrix, data: TestSet, kind: Sort, rounds: int) -> dict[str, float]:
    """Times of all figures and of an argsort."""
    taken = alternating_seconds(
        {
            "figures": lambda: figures(distances, data),
            "argsort": lambda: np.argsort(distances, axis=1, kind=kind),
        },
        rounds,
    )
    return {
        "mAP": figures(distances, data).mAP,
        "figures_seconds": median(taken["figures"]),
        "argsort_seconds": median(taken["argsort"]),
        "figures_to_argsort": ratio(taken["figures"], taken["argsort"]),
    }


def from_distances(data: TestSet, checked: int, rounds: int) -> dict[str, Any]:
    """Times from given distances; on a subset of queries, the figures beside those of others."""
    distances = np.concatenate([block.numpy() for _, block in squared_euclidean_blocks(*data.on("cpu"))])
    difficulties: list[dict[str, Any]] = [
        {"distances": name} | beside_argsort(some, data, kind, rounds)
        for name, some, kind in by_difficulty(distances, data)
    ]
    seconds_per_query = difficulties[0]["figures_seconds"] / len(distances)
    subset = distances[:checked]
    ours = figures(subset, data)
    start = time.perf_counter()
    plain_map, plain_rank1 = plain_evaluator(subset, data)
    plain_seconds = time.perf_counter() - start
    start = time.perf_counter()
    scikit_learn = scikit_learn_map(subset, data)
    return {
        "difficulties": difficulties,
        "checked_queries": checked,
        "plain_seconds_per_query": plain_seconds / checked,
        "plain_to_figures_per_query": plain_seconds / checked / seconds_per_query,
        "plain_difference": max(abs(plain_map - ours.mAP), abs(plain_rank1 - ours.rank1)),
        "sklearn_seconds_per_query": (time.perf_counter() - start) / checked if scikit_learn else None,
        "sklearn_difference": abs(scikit_learn - ours.mAP) if scikit_learn else None,
    }


def from_features(data: TestSet, device: str, columns: int, rounds: int) -> dict[str, Any]:
    """Times from features on a device beside one matrix product of them."""
    if columns == data.query.shape[1]:
        query, gallery = data.on(device)
    else:
        # Times do not depend on the values, and these are drawn sooner.
        generator = torch.Generator(device).manual_seed(0)
        query, gallery = (
            torch.randn(len(rows), columns, device=device, generator=generator)
            for rows in (data.query, data.gallery)
        )
    product = torch.empty(len(query), len(gallery), device=device)
    taken = alternating_seconds(
        {
            "ranking": lambda: rank_features(query, gallery, *data.labels),
            "product": lambda: torch.mm(query, gallery.T, out=product),
        },
        rounds,
    )
    return {
        "device": device,
        "columns": columns,
        "ranking_seconds": median(taken["ranking"]),
        "product_seconds": median(taken["product"]),
        "ranking_to_product": ratio(taken["ranking"], taken["product"]),
    }


def large(device: str, columns: int) -> dict[str, Any]:
    """Time and memory at MSMT17's size beside the time at Market-1501's, in this process."""
    data = market_like(columns)
    query, gallery = data.on(device)
    small = alternating_seconds({"": lambda: rank_features(query, gallery, *data.labels)}, rounds=3)[""]
    data = market_like(columns, **MSMT17)
    query, gallery = data.on(device)
    with peak_memory() as memory:
        taken = seconds(lambda: rank_features(query, gallery, *data.labels))
    return {
        "device": device,
        "columns": columns,
        "seconds": taken,
        "market_seconds": median(small),
        "to_proportional": taken / (median(small) * PAIRS),
        "features_mib": (data.query.nbytes + data.gallery.nbytes) / 2**20,
        **memory,
    }


def distance_rows(given: dict[str, Any]) -> list[tuple[str, ...]]:
    """Table rows for the clustered features: what, seconds, times ours, difference of figures."""
    ours = given["difficulties"][0]["figures_seconds"]
    each = f", {given['checked_queries']} queries measured"
    plain = given["plain_seconds_per_query"] * MARKET["queries"]
    rows = [
        ("all ranking figures", f"{ours:.3f} s", "1×", ""),
        (
            f"evaluator query by query{each}",
            f"{plain:.0f} s",
            f"{given['plain_to_figures_per_query']:,.0f}× per query",
            f"{given['plain_difference']:.0e}",
        ),
    ]
    name = f"argsort and scikit-learn's AP{each}"
    if given["sklearn_difference"] is None:
        return [*rows, (name, "not installed", "", "")]
    sklearn = given["sklearn_seconds_per_query"] * MARKET["queries"]
    times = f"{sklearn / ours:,.0f}× per query"
    return [*rows, (name, f"{sklearn:.1f} s", times, f"{given['sklearn_difference']:.0e}")]


def tables(result: dict[str, Any]) -> list[Table]:
    size, large_size = ("{queries:,} × {gallery:,}".format(**of) for of in (MARKET, MSMT17))
    difficulty_rows = [
        (
            row["distances"],
            f"{row['mAP']:.1%}",
            f"{row['figures_seconds']:.3f} s",
            f"{row['argsort_seconds']:.3f} s",
            f"{row['figures_to_argsort']:.2f}",
        )
        for row in result["distances"]["difficulties"]
    ]
    given = "from given float32 distances"
    beside = (given, "mAP", "all figures", "numpy.argsort alone", f"ratio (goal: at most {GOAL})")
    columns = (given, "time", "of ours", "difference")
    found = [
        table(f"Ranking figures, {size}", beside, difficulty_rows),
        table(f"Ranking figures, {size}", columns, distance_rows(result["distances"])),
    ]
    feature_rows = [
        (
            f"{row['columns']:,} columns, {row['device']}",
            f"{row['ranking_seconds']:.3f} s",
            f"{row['product_seconds']:.3f} s",
            f"{row['ranking_to_product']:.2f}",
        )
        for row in result["features"]
    ]
    titles = ("from features", "all figures", "torch.mm alone", "ratio")
    found.append(table(f"Ranking figures, {size}", titles, feature_rows))
    large_rows = [
        (
            f"{row['columns']:,} columns, {row['device']}",
            f"{row['seconds']:.2f} s",
            f"{row['to_proportional']:.2f}",
            f"{row['growth_mib']:,.0f} MiB",
            f"{row['gpu_mib']:,.0f} MiB" if "gpu_mib" in row else "",
        )
        for row in result["large"]
    ]
    if large_rows:
        names = ("from features", "time", "to Market's by pairs", "memory beyond features", "on the GPU")
        found.append(table(f"Ranking figures, {large_size}", names, large_rows))
    return found


def main() -> None:
    parser = argument_parser(__doc__, "ranking")
    parser.add_argument("--quick", action="store_true", help="without MSMT17's size and 12,288 columns")
    parser.add_argument("--rounds", type=int, default=3, help="of each timing; the median counts")
    parser.add_argument("--checked", type=int, default=100, help="queries compared with other evaluators")
    chosen = parser.parse_args()
    data = market_like(512)
    features = [from_features(data, device, 512, chosen.rounds) for device in DEVICES]
    if not chosen.quick:
        features += [from_features(data, device, 12288, rounds=1) for device in DEVICES]
    result = {
        "distances": from_distances(data, chosen.checked, chosen.rounds),
        "features": features,
        "large": [] if chosen.quick else [in_fresh_process(large, device, 512) for device in DEVICES],
    }
    finish(result, chosen.json, *tables(result))


if __name__ == "__main__":
    main()
