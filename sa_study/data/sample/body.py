"""Draws a sample person from any side: a small skeleton, turned, projected and painted as flat shapes.

Person coordinates: x to the person's left, y down from the crown (0) to the soles (1), z forwards, all in
units of body height. The projection is orthographic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sa_study.data.sample.people import HEMS, Colour, Person, shaded, top_fabric

WIDTH, HEIGHT = 64, 128
SUPERSAMPLING = 3
CANVAS = (WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING)

Point = tuple[float, float]
Fabric = Colour | Image.Image


@dataclass(frozen=True)
class Pose:
    """Posture and direction of a person in one picture."""

    yaw: float  # turn about the vertical in radians: 0 faces the camera, π/2 walks right, π shows the back
    phase: float  # phase of the step in radians
    centre: float = WIDTH / 2  # horizontal position of the body in pixels of the 64-pixel wide picture
    crown: float = 8.0  # vertical position of the top of an average head in pixels
    sole: float = 120.0  # vertical position of the soles in pixels
    light: float = 0.0  # where the light comes from, from -1 (left) to 1 (right)


@dataclass(frozen=True)
class Shape:
    """An outline in canvas pixels; `depth` (greater is nearer) shades and orders, `lift` only orders it."""

    depth: float
    lift: float
    outline: Sequence[Point]
    fabric: Fabric


class Body:
    """The shapes of one person in one pose, projected to the supersampled picture."""

    def __init__(self, person: Person, pose: Pose) -> None:
        self.person = person
        self.sin, self.cos = math.sin(pose.yaw), math.cos(pose.yaw)
        self.phase = pose.phase
        self.unit = (pose.sole - pose.crown) * person.stature * SUPERSAMPLING
        self.crown = pose.sole * SUPERSAMPLING - self.unit
        self.centre = pose.centre * SUPERSAMPLING
        self.cloth: Fabric = top_fabric(person, CANVAS, self.centre, self.crown, self.unit, pose.yaw)

    def shapes(self) -> list[Shape]:
        """All shapes in no particular order."""
        return [*self._legs(), *self._trunk(), *self._arms(), *self._head(), *self._luggage()]

    def _at(self, x: float, y: float, z: float) -> Point:
        return self.centre + (x * self.cos + z * self.sin) * self.unit, self.crown + y * self.unit

    def _depth(self, x: float, z: float) -> float:
        return z * self.cos - x * self.sin

    def _limb(
        self, joints: Sequence[tuple[float, float, float]], radii: Point, fabric: Fabric, lift: float = 0.0
    ) -> Shape:
        """A tapered capsule between two joints."""
        (ax, ay), (bx, by) = (self._at(*joint) for joint in joints)
        along = math.atan2(by - ay, bx - ax)
        angles = np.linspace(math.pi / 2, 1.5 * math.pi, 7) + along
        outline = [
            (x + math.cos(a) * radius * self.unit, y + math.sin(a) * radius * self.unit)
            for x, y, radius, turned in ((ax, ay, radii[0], angles), (bx, by, radii[1], angles + math.pi))
            for a in turned
        ]
        return Shape(sum(self._depth(x, z) for x, _, z in joints) / 2, lift, outline, fabric)

    def _oval(
        self, centre: tuple[float, float, float], radii: Point, fabric: Fabric, lift: float = 0.0
    ) -> Shape:
        cx, cy = self._at(*centre)
        angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        outline = [
            (cx + radii[0] * self.unit * math.cos(a), cy + radii[1] * self.unit * math.sin(a)) for a in angles
        ]
        return Shape(self._depth(centre[0], centre[2]), lift, outline, fabric)

    def _tube(self, rings: Sequence[tuple[float, float, float]], fabric: Fabric, lift: float) -> Shape:
        """An upright tube from rings (y, half breadth, half depth): its silhouette at this yaw."""
        halves = [(y, math.hypot(x * self.cos, z * self.sin)) for y, x, z in rings]
        left = [(self.centre - half * self.unit, self.crown + y * self.unit) for y, half in halves]
        right = [(self.centre + half * self.unit, self.crown + y * self.unit) for y, half in reversed(halves)]
        return Shape(0.0, lift, left + right, fabric)

    def _legs(self) -> list[Shape]:
        person, shapes = self.person, []
        girth = 0.75 + 0.25 * person.build
        for side in (-1, 1):
            swing = 0.42 * math.sin(self.phase) * side
            bend = 0.12 + 0.5 * max(0.0, -math.cos(self.phase) * side) * (swing < 0.2)
            x = 0.047 * person.build * side
            hip = (x, 0.50, 0.0)
            knee = (x, 0.50 + 0.235 * math.cos(swing), 0.235 * math.sin(swing))
            ankle = (x, knee[1] + 0.225 * math.cos(swing - bend), knee[2] + 0.225 * math.sin(swing - bend))
            toe = (x, ankle[1] + 0.018, ankle[2] + 0.062)
            shin: Fabric = person.bottom if person.legwear == "trousers" else person.skin
            thigh: Fabric = person.skin if person.legwear == "skirt" else person.bottom
            slim = 0.030 if person.legwear == "trousers" else 0.022
            shapes.append(self._limb((ankle, toe), (0.024, 0.017), person.shoes, -0.312))
            shapes.append(self._limb((knee, ankle), (0.036 * girth, slim), shin, -0.31))
            shapes.append(self._limb((hip, knee), (0.054 * girth, 0.041 * girth), thigh, -0.3))
        return shapes

    def _trunk(self) -> list[Shape]:
        build = self.person.build
        hips = (0.49, 0.086 * build, 0.068 * build)
        seat = [(0.44, *hips[1:]), hips, (0.56, 0.080 * build, 0.06 * build)]
        shapes = [self._tube(seat, self.person.bottom, 0.011)]
        if self.person.legwear == "skirt":
            skirt = [(0.44, 0.08 * build, 0.06 * build), hips, (0.70, 0.125 * build, 0.12 * build)]
            shapes.append(self._tube(skirt, self.person.bottom, 0.012))
        hem = HEMS[self.person.cut]
        wide = 0.092 + 0.14 * (hem - 0.5)
        rings = [
            (0.152, 0.035, 0.035),
            (0.178, 0.095 * build, 0.058 * build),
            (0.235, 0.108 * build, 0.070 * build),
            (0.375, 0.087 * build, 0.066 * build),
            (hem, wide * build, (wide - 0.01) * build),
        ]
        shapes.append(self._limb(((0, 0.11, 0), (0, 0.17, 0)), (0.026, 0.03), self.person.skin, 0.015))
        shapes.append(self._tube(rings, self.cloth, 0.02))
        return shapes

    def _arms(self) -> list[Shape]:
        shapes = []
        for side in (-1, 1):
            swing = -0.38 * math.sin(self.phase) * side
            shoulder = (0.105 * self.person.build * side, 0.198, 0.0)
            x, bend = shoulder[0] + 0.022 * side, swing + 0.35
            elbow = (x, 0.198 + 0.155 * math.cos(swing), 0.155 * math.sin(swing) - 0.005)
            wrist = (x, elbow[1] + 0.135 * math.cos(bend), elbow[2] + 0.135 * math.sin(bend))
            forearm: Fabric = self.person.skin if self.person.sleeves == "short" else self.cloth
            lift, hand = 0.021, (x, wrist[1] + 0.012, wrist[2])
            shapes.append(self._oval(hand, (0.019, 0.024), self.person.skin, lift))
            shapes.append(self._limb((elbow, wrist), (0.025, 0.02), forearm, lift + 0.001))
            shapes.append(self._limb((shoulder, elbow), (0.036, 0.029), self.cloth, lift + 0.002))
            if side == 1 and self.person.carried == "handbag":
                shapes += self._handbag(wrist)
        return shapes

    def _head(self) -> list[Shape]:
        person = self.person
        shapes = [self._oval((0, 0.076, 0.006), (0.054, 0.069), person.skin, 0.03)]
        for side in (-1, 1):
            if self._depth(0.02 * side, 0.045) > 0.012:
                shapes.append(self._oval((0.019 * side, 0.074, 0.045), (0.0055, 0.0065), (40, 32, 30), 0.032))
        if person.haircut != "bald":
            shapes.append(self._cap_of(person.hair, 1.1, 0.076, 0.036))
        behind = 0.032 - 0.06 * (self.cos > 0.15)
        if person.haircut == "long":
            down = ((0, 0.06, -0.016), (0, 0.185, -0.03))
            shapes.append(self._limb(down, (0.058, 0.068), person.hair, behind))
        elif person.haircut == "bun":
            shapes.append(self._oval((0, 0.022, -0.048), (0.03, 0.028), person.hair, behind))
        elif person.haircut == "ponytail":
            tail = ((0, 0.05, -0.056), (0, 0.19, -0.088))
            shapes.append(self._limb(tail, (0.022, 0.012), person.hair, behind + 0.02))
        return shapes + self._headwear()

    def _cap_of(self, colour: Colour, scale: float, low: float, lift: float) -> Shape:
        """The part of the skull that hair or a hat covers: further down on the side that faces away."""
        cx, cy = self._at(0, 0.072, -0.002)
        angles = np.linspace(math.pi, 2 * math.pi, 13)
        rx, ry = 0.054 * scale * self.unit, 0.069 * scale * self.unit
        outline = [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]
        right, left = 0.5 * self.sin + 0.8 * self.cos, -0.5 * self.sin + 0.8 * self.cos
        brim = ((1.0, self.sin), (0.55, right), (0.0, self.cos), (-0.55, left), (-1.0, -self.sin))
        for across, facing in brim:
            outline.append((cx + rx * across * 0.98, self.crown + (low - 0.032 * facing) * self.unit))
        return Shape(0.0, lift, outline, colour)

    def _headwear(self) -> list[Shape]:
        person = self.person
        if person.headwear == "none":
            return []
        low = 0.052 if person.headwear == "beanie" else 0.046
        shapes = [self._cap_of(person.hat, 1.22, low, 0.04)]
        if person.headwear == "cap":
            peak = (0.042 + 0.012 * abs(self.sin), 0.011)
            shapes.append(self._oval((0, 0.046, 0.055), peak, person.hat, 0.042))
        elif person.headwear == "sunhat":
            shapes.append(self._oval((0, 0.044, 0), (0.105, 0.017), person.hat, 0.042))
        else:
            shapes.append(self._oval((0, -0.008, 0), (0.02, 0.018), person.hat, 0.039))
        return shapes

    def _luggage(self) -> list[Shape]:
        bag = self.person.bag
        if self.person.carried == "backpack":
            shapes = [self._slab((-0.075, 0.185), (0.075, 0.40), -0.065, -0.145, bag)]
            shapes += [
                self._limb(((x, 0.165, 0.05), (x * 1.15, 0.36, 0.07)), (0.012, 0.012), bag, 0.01)
                for x in (-0.066, 0.066)
            ]
            return shapes if self.cos > -0.2 else shapes[:1]
        if self.person.carried == "satchel":
            side = 0.118 * self.person.build
            near = 0.07 if self.cos > 0 else -0.07
            strap = self._limb(((-0.07, 0.17, near), (side * 0.8, 0.45, near)), (0.011, 0.011), bag, 0.012)
            return [strap, self._slab((side - 0.03, 0.44), (side + 0.035, 0.56), 0.085, -0.085, bag, 0.03)]
        return []

    def _handbag(self, wrist: tuple[float, float, float]) -> list[Shape]:
        (x, y, z), bag = wrist, self.person.bag
        handle = self._limb(((x, y + 0.01, z), (x, y + 0.07, z)), (0.01, 0.026), bag, 0.0)
        return [handle, self._slab((x - 0.025, y + 0.055), (x + 0.025, y + 0.165), z + 0.075, z - 0.075, bag)]

    def _slab(
        self, first: Point, last: Point, front: float, back: float, fabric: Fabric, lift: float = 0.022
    ) -> Shape:
        """A soft box given by its (x, y) corners and its front and back z: its silhouette at this yaw."""
        corners = [self._at(x, 0.0, z)[0] for x in (first[0], last[0]) for z in (front, back)]
        left, right = min(corners), max(corners)
        top, low = self.crown + first[1] * self.unit, self.crown + last[1] * self.unit
        soft = min(0.25 * (right - left), 0.02 * self.unit)
        outline = [(left + soft, top), (right - soft, top), (right, top + 2 * soft), (right, low - soft)]
        outline += [(right - soft, low), (left + soft, low), (left, low - soft), (left, top + 2 * soft)]
        depth = self._depth((first[0] + last[0]) / 2, (front + back) / 2)
        return Shape(depth, lift, outline, fabric)


def draw_figure(person: Person, pose: Pose) -> Image.Image:
    """Draws a person: an RGBA image of 64×128 pixels, transparent around the figure."""
    body = Body(person, pose)
    canvas = Image.new("RGBA", CANVAS)
    pen = ImageDraw.Draw(canvas)
    for shape in sorted(body.shapes(), key=lambda shape: shape.depth + shape.lift):
        if isinstance(shape.fabric, Image.Image):
            mask = Image.new("L", canvas.size)
            ImageDraw.Draw(mask).polygon(shape.outline, fill=255)
            canvas.paste(shape.fabric, mask=mask)
            pen.polygon(shape.outline, outline=shaded(person.top, 0.55))
        else:
            lit = min(1.06, max(0.80, 1.0 + 1.2 * shape.depth))
            pen.polygon(
                shape.outline, fill=shaded(shape.fabric, lit), outline=shaded(shape.fabric, 0.72 * lit)
            )
    # Premultiplied, so that the transparent surroundings lend the silhouette no dark rim.
    small = canvas.convert("RGBa").reduce(SUPERSAMPLING).convert("RGBA")
    return _rounded(small, pose.light)


def _rounded(figure: Image.Image, light: float) -> Image.Image:
    """Shades a flat figure as if it were round and lit from one side."""
    soft = np.asarray(figure.getchannel("A").filter(ImageFilter.GaussianBlur(2.2)), np.float32) / 255
    slope = np.zeros_like(soft)
    slope[:, 2:-2] = soft[:, 4:] - soft[:, :-4]
    shade = 0.70 + 0.34 * soft - 0.42 * light * slope
    pixels = np.asarray(figure).astype(np.float32)
    pixels[..., :3] *= shade[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA")
