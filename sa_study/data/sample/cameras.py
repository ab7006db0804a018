"""What each of the six cameras does to a person: place, light, colour, sharpness, side of view, obstacles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sa_study.data.sample.body import HEIGHT, WIDTH, Pose
from sa_study.data.sample.figure import draw_figure
from sa_study.data.sample.occluders import draw_occluder
from sa_study.data.sample.people import Person
from sa_study.data.sample.scenes import PANORAMA, paint_panorama


@dataclass(frozen=True)
class Optics:
    """The constant traits of one camera.

    Attributes:
        scene: Background, a key of `scenes.SCENES`.
        path: Yaw in degrees in which people pass it; half of them walk the other way.
        spread: Standard deviation of the yaw in degrees.
        gains: Factors of red, green and blue: the colour cast.
        exposure: Factor of all colours.
        contrast: Stretch around mid grey.
        saturation: 0 is grey, 1 leaves colours as they are.
        blur: Standard deviation of the blur in pixels.
        noise: Standard deviation of the sensor noise in grey levels.
        light: Where the light comes from, from -1 (left) to 1 (right).
        horizon: How far the background is shifted up, in pixels.
        occluder: What may stand in the way, a key of `occluders.OCCLUDERS`.
        occlusion: Probability that it does.
        jitter: Standard deviation of the box's shift and scale as a share of its size.
        quality: JPEG quality.
    """

    scene: str
    path: float
    spread: float
    gains: tuple[float, float, float]
    exposure: float
    contrast: float
    saturation: float
    blur: float
    noise: float
    light: float
    horizon: int
    occluder: str
    occlusion: float
    jitter: float
    quality: int


CAMERAS: tuple[Optics, ...] = (
    Optics("plaza", 10, 18, (1.06, 1.01, 0.91), 1.05, 1.03, 1.00, 0.4, 4, 0.9, 10, "post", 0.06, 0.021, 92),
    Optics("shop", 85, 14, (1.13, 0.99, 0.78), 0.98, 1.00, 0.97, 0.6, 6, -0.3, 24, "crate", 0.08, 0.024, 88),
    Optics("lawn", 170, 22, (0.94, 1.07, 0.90), 1.00, 0.95, 0.91, 0.5, 5, -0.8, 12, "bush", 0.12, 0.027, 88),
    Optics(
        "car park", 40, 25, (0.95, 1.00, 1.12), 1.13, 0.92, 0.85, 0.5, 5, 0.5, 8, "bonnet", 0.10, 0.024, 88
    ),
    Optics(
        "underpass", 5, 15, (0.90, 1.04, 0.95), 0.75, 0.94, 0.82, 0.9, 9, 0.0, 26, "post", 0.06, 0.030, 80
    ),
    Optics(
        "bicycle stand",
        130,
        25,
        (0.91, 0.98, 1.08),
        0.91,
        1.06,
        0.88,
        1.1,
        6,
        0.7,
        14,
        "railing",
        0.12,
        0.030,
        78,
    ),
)
"""Camera `c1` first."""


class Camera:
    """One camera with its painted background."""

    def __init__(self, optics: Optics, rng: np.random.Generator) -> None:
        self.optics = optics
        self.panorama = paint_panorama(optics.scene, rng)

    def photograph(self, people: list[Person], rng: np.random.Generator, jitter: float = 1.0) -> Image.Image:
        """Takes one picture.

        Args:
            people: The person in the middle first, then passers-by at the edges; may be empty.
            rng: Decides everything that varies between two pictures.
            jitter: Factor of the camera's box jitter.

        Returns:
            An RGB image of 64×128 pixels.
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
        pixels = np.asarray(soft, np.float32)
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = grey + optics.saturation * (pixels - grey)
        cast = np.array(optics.gains) * rng.normal(1, 0.03, 3) * optics.exposure * rng.normal(1, 0.08)
        pixels = 128 + optics.contrast * (pixels - 128)
        pixels = pixels * cast.astype(np.float32)
        pixels += optics.noise * rng.standard_normal(pixels.shape, np.float32)
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
