"""The constant traits of the six cameras."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Optics:
    """The constant traits of one camera.

    Attributes:
        scene: Background, a key of `scenes.SCENES`.
        path: Yaw in degrees in which people pass it; half of them walk the other way.
        spread: Standard deviation of the yaw in degrees.
        hue: Turn of all colours around the grey axis in degrees, which no white balance undoes.
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
    hue: float
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
    Optics(
        scene="plaza",
        path=10,
        spread=18,
        hue=0,
        gains=(1.06, 1.01, 0.91),
        exposure=1.05,
        contrast=1.03,
        saturation=1.0,
        blur=0.4,
        noise=4,
        light=0.9,
        horizon=10,
        occluder="post",
        occlusion=0.06,
        jitter=0.021,
        quality=92,
    ),
    Optics(
        scene="shop",
        path=85,
        spread=14,
        hue=-30,
        gains=(1.13, 0.99, 0.78),
        exposure=0.98,
        contrast=1.0,
        saturation=0.97,
        blur=0.6,
        noise=6,
        light=-0.3,
        horizon=24,
        occluder="crate",
        occlusion=0.08,
        jitter=0.024,
        quality=88,
    ),
    Optics(
        scene="lawn",
        path=170,
        spread=22,
        hue=30,
        gains=(0.94, 1.07, 0.9),
        exposure=1.0,
        contrast=0.95,
        saturation=0.91,
        blur=0.5,
        noise=5,
        light=-0.8,
        horizon=12,
        occluder="bush",
        occlusion=0.12,
        jitter=0.027,
        quality=88,
    ),
    Optics(
        scene="car park",
        path=40,
        spread=25,
        hue=-15,
        gains=(0.95, 1.0, 1.12),
        exposure=1.13,
        contrast=0.92,
        saturation=0.85,
        blur=0.5,
        noise=5,
        light=0.5,
        horizon=8,
        occluder="bonnet",
        occlusion=0.1,
        jitter=0.024,
        quality=88,
    ),
    Optics(
        scene="underpass",
        path=5,
        spread=15,
        hue=18,
        gains=(0.9, 1.04, 0.95),
        exposure=0.75,
        contrast=0.94,
        saturation=0.82,
        blur=0.9,
        noise=9,
        light=0.0,
        horizon=26,
        occluder="post",
        occlusion=0.06,
        jitter=0.03,
        quality=80,
    ),
    Optics(
        scene="bicycle stand",
        path=130,
        spread=25,
        hue=9,
        gains=(0.91, 0.98, 1.08),
        exposure=0.91,
        contrast=1.06,
        saturation=0.88,
        blur=1.1,
        noise=6,
        light=0.7,
        horizon=14,
        occluder="railing",
        occlusion=0.12,
        jitter=0.03,
        quality=78,
    ),
)
"""Camera `c1` first."""
