"""Which gallery images count for a query: by other cameras, or all others where cameras are not known.

A negative camera stands for an image file whose camera is not known: no two files share one. The rule that
leaves out images of the query's own identity and camera then leaves out that file alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROTOCOL = "protocol"
"""The key under which files record the protocol of their figures."""

OTHER_CAMERAS = "other cameras"
"""Market-1501's protocol: images of the query's identity and camera do not count."""

OTHER_IMAGES = "other images"
"""All images of the query's identity count, but for the query itself."""

_NOTES = {OTHER_CAMERAS: "", OTHER_IMAGES: "without cameras, every other image of an identity is a match"}


def protocol_of(camids: NDArray[np.int64]) -> str:
    """The protocol that images with these cameras are ranked by."""
    return OTHER_IMAGES if (camids < 0).any() else OTHER_CAMERAS


def recorded_protocol(document: Mapping[str, Any]) -> object:
    """The protocol of a file's figures; earlier versions knew one only."""
    return document.get(PROTOCOL, OTHER_CAMERAS)


def protocol_note(protocol: object) -> str:
    """What goes with every table of figures, as a clause; empty for Market-1501's protocol."""
    return _NOTES.get(str(protocol), "by an unknown protocol")


def protocol_notes(document: Mapping[str, Any]) -> list[str]:
    """The note on a file's figures as a sentence; none for Market-1501's protocol."""
    note = protocol_note(recorded_protocol(document))
    return [f"{note[0].upper()}{note[1:]}."] if note else []


def places_in_gallery(
    query_camids: NDArray[np.int64], gallery_camids: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Each query's place in the gallery, -1 where it has none or its file is not known to be the same.

    Args:
        query_camids: Cameras, shape (Q,).
        gallery_camids: Cameras, shape (G,).

    Returns:
        int64, shape (Q,).
    """
    places = {camera: place for place, camera in enumerate(gallery_camids.tolist()) if camera < 0}
    return np.array([places.get(camera, -1) for camera in query_camids.tolist()], np.int64)
