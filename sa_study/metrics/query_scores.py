"""What each query scored: rank-k and mAP are means of these, and their intervals follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sa_study.metrics import names
from sa_study.utils.errors import DataError


@dataclass(frozen=True, eq=False)
class QueryScores:
    """Scores of the queries of one ranking, in their order.

    Attributes:
        pids: int64, shape (Q,).
        average_precision: float64, shape (Q,); mean_k(k / pos_k), NaN for a query without a match.
        first_match: int64, shape (Q,); rank from 1 of the first match, 0 for a query without one.
    """

    pids: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    first_match: NDArray[np.int64]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether each query has a match in the gallery."""
        return self.first_match > 0

    def of(self, figure: str) -> NDArray[np.float64]:
        """Each valid query's value, whose mean the figure is.

        Args:
            figure: `mAP`, or `rank1`, `rank5`, `rank10`.
        """
        if figure == names.MAP:
            return self.average_precision[self.valid]
        return (self.first_match[self.valid] <= int(figure.removeprefix("rank"))).astype(np.float64)

    def to_dict(self) -> dict[str, list[Any]]:
        """The scores as plain values for JSON; None where a query has no match."""
        valid = self.valid.tolist()
        columns = {"average_precision": self.average_precision, "first_match": self.first_match}
        return {"pid": self.pids.tolist()} | {
            name: [value if has else None for value, has in zip(column.tolist(), valid, strict=True)]
            for name, column in columns.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> QueryScores:
        """Reads what `to_dict` wrote.

        Args:
            values: The plain values.
            where: Named in an error.

        Raises:
            DataError: They are not such values.
        """
        try:
            pids = _whole(values["pid"])
            precision = np.array(values["average_precision"], np.float64)
            first = _whole([0 if rank is None else rank for rank in values["first_match"]])
            if not pids.shape == precision.shape == first.shape:
                raise ValueError("there is not one of each for every query")
            scored = precision[first > 0]
            if (first < 0).any() or not ((scored > 0) & (scored <= 1)).all():
                raise ValueError("a rank or an average precision is out of range")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{where}: its scores of single queries are damaged ({error})") from None
        return cls(pids, precision, first)


def _whole(values: Any) -> NDArray[np.int64]:
    """Whole numbers; NumPy alone would cut fractions off and read texts."""
    if not all(type(value) is int for value in values):
        raise ValueError("a value is no whole number")
    return np.array(values, np.int64)
