"""The six cameras: place, light, colour, sharpness, side of view and obstacles of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from sa_study.data.sample.body import HEIGHT, WIDTH, Pose, draw_figure
from sa_study.data.sample.people import Person
from sa_study.data.sample.scenes import PANORAMA, draw_occluder, paint_panorama


@dataclass(frozen=True, kw_only=True)
class Optics:
    """The constant traits of one camera."""

    scene: str  # background, a key of `scenes.SCENES`
    path: float  # yaw in degrees of people who pass; half of them walk the other way
    spread: float  # standard deviation of the yaw in degrees
    hue: float  # turn of all colours around the grey axis in degrees, which no white balance undoes
    gains: tuple[float, float, float]  # factors of red, green and blue: the colour cast
    exposure: float  # factor of all colours
    contrast: float  # stretch around mid grey
    saturation: float  # 0 is grey, 1 leaves colours as they are
    blur: float  # standard deviation of the blur in pixels
    noise: float  # standard deviation of the sensor noise in grey levels
    light: float  # where the light comes from, from -1 (left) to 1 (right)
    horizon: int  # how far the background is shifted up, in pixels
    occluder: str  # possible obstacle, a key of `scenes.OCCLUDERS`
    occlusion: float  # probability of the obstacle
    jitter: float  # standard deviation of the box's shift and scale as a share of its size
    quality: int  # JPEG quality


_TRAITS: dict[str, tuple[Any, ...]] = {
    "scene": ("plaza", "shop", "lawn", "car park", "underpass", "bicycle stand"),
    "path": (10, 85, 170, 40, 5, 130),
    "spread": (18, 14, 22, 25, 15, 25),
    "hue": (0, -30, 30, -15, 18, 9),
    "gains": (
        (1.06, 1.01, 0.91),
        (1.13, 0.99, 0.78),
        (0.94, 1.07, 0.9),
        (0.95, 1.0, 1.12),
        (0.9, 1.04, 0.95),
        (0.91, 0.98, 1.08),
    ),
    "exposure": (1.05, 0.98, 1.0, 1.13, 0.75, 0.91),
    "contrast": (1.03, 1.0, 0.95, 0.92, 0.94, 1.06),
    "saturation": (1.0, 0.97, 0.91, 0.85, 0.82, 0.88),
    "blur": (0.4, 0.6, 0.5, 0.5, 0.9, 1.1),
    "noise": (4, 6, 5, 5, 9, 6),
    "light": (0.9, -0.3, -0.8, 0.5, 0.0, 0.7),
    "horizon": (10, 24, 12, 8, 26, 14),
    "occluder": ("post", "crate", "bush", "bonnet", "post", "railing"),
    "occlusion": (0.06, 0.08, 0.12, 0.1, 0.06, 0.12),
    "jitter": (0.021, 0.024, 0.027, 0.024, 0.03, 0.03),
    "quality": (92, 88, 88, 88, 80, 78),
}
CAMERAS = tuple(
    Optics(**dict(zip(_TRAITS, values, strict=True))) for values in zip(*_TRAITS.values(), strict=True)
)
"""One per column of `_TRAITS`, camera `c1` first."""


class Camera:
    """One camera with its painted background."""

    def __init__(self, optics: Optics, rng: np.random.Generator) -> None:
        self.optics = optics
        self._turned = _hue_turn(optics.hue)
        self.panorama = paint_panorama(optics.scene, rng)

    def photograph(self, people: list[Person], rng: np.random.Generator, jitter: float = 1.0) -> Image.Image:
        """Takes one picture, RGB, 64×128 pixels, of the first person in the middle and others at the edges.

        The generator decides everything that varies between two pictures; `jitter` is a factor of the
        camera's box jitter.
        """
        picture = self._background(rng)
        for number, person in reversed(list(enumerate(people))):
            pose = self._pose(rng, jitter, passer_by=number > 0)
            self._cast_shadow(picture, pose)
            figure = draw_figure(person, pose)
            picture.paste(figure, mask=figure)
        if rng.random() < self.optics.occlusion:
            thing = draw_occluder(self.optics.occluder, rng)
            picture.paste(thing, mask=thing)
        return self._expose(picture, rng)

    def _background(self, rng: np.random.Generator) -> Image.Image:
        left = int(rng.integers(PANORAMA[0] - WIDTH))
        top = int(np.clip(self.optics.horizon + rng.normal(0, 4), 0, PANORAMA[1] - HEIGHT))
        return self.panorama.crop((left, top, left + WIDTH, top + HEIGHT))

    def _pose(self, rng: np.random.Generator, jitter: float, passer_by: bool) -> Pose:
        degrees = self.optics.path + 180 * rng.integers(2) + rng.normal(0, self.optics.spread)
        x, y, scale = rng.normal(0, self.optics.jitter * jitter, 3)
        shift = (1 if rng.random() < 0.5 else -1) * rng.uniform(0.40, 0.60) if passer_by else 0.0
        sole, tall = 122 + HEIGHT * (y + 0.5 * scale), 113 * (1 + scale)
        return Pose(
            yaw=math.radians(degrees),
            phase=rng.uniform(0, 2 * math.pi),
            centre=WIDTH * (0.5 + x + shift),
            crown=sole - tall,
            sole=sole,
            light=self.optics.light,
        )

    def _cast_shadow(self, picture: Image.Image, pose: Pose) -> None:
        mask = Image.new("L", picture.size)
        reach = 12 + 10 * abs(self.optics.light)
        x = pose.centre - 8 * self.optics.light
        ImageDraw.Draw(mask).ellipse((x - reach, pose.sole - 4, x + reach, pose.sole + 4), fill=110)
        picture.paste((24, 24, 30), mask=mask.filter(ImageFilter.GaussianBlur(2)))

    def _expose(self, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        optics = self.optics
        soft = picture.filter(ImageFilter.GaussianBlur(optics.blur * rng.uniform(0.7, 1.3)))
        pixels = np.asarray(soft, np.float32) @ self._turned.T
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = grey + optics.saturation * (pixels - grey)
        cast = np.array(optics.gains) * rng.normal(1, 0.03, 3) * optics.exposure * rng.normal(1, 0.08)
        pixels = 128 + optics.contrast * (pixels - 128)
        pixels = pixels * cast.astype(np.float32)
        pixels += optics.noise * rng.standard_normal(pixels.shape, np.float32)
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _hue_turn(degrees: float) -> npt.NDArray[np.float32]:
    """The 3×3 rotation of RGB around the grey axis (Rodrigues' formula)."""
    angle = math.radians(degrees)
    around = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turned = math.cos(angle) * np.eye(3) + (1 - math.cos(angle)) / 3 + math.sin(angle) * around
    return turned.astype(np.float32)
