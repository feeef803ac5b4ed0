"""Pictures that a small network learns in minutes: one bright figure on a dark, noisy ground."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 96


@dataclass(frozen=True)
class Drawing:
    """One picture: PNG bytes, what it shows, and where (left, top, width, height as shares)."""

    content: bytes
    figure: str
    box: tuple[float, float, float, float]


def drawing(figure: str, seed: int, width: int = SIDE, height: int = SIDE) -> Drawing:
    """A red `disc` or a blue `cross`; another seed puts it elsewhere, in another size."""
    chance = random.Random(f"{figure} {seed}")
    noise = np.random.default_rng(seed * 2 + (figure == "disc")).integers(20, 70, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    side = chance.randint(SIDE * 3 // 8, SIDE * 5 // 8)
    left, top = chance.randint(2, width - side - 2), chance.randint(2, height - side - 2)
    right, bottom = left + side, top + side
    draw = ImageDraw.Draw(image)
    if figure == "disc":
        draw.ellipse((left, top, right, bottom), fill=(chance.randint(200, 255), 40, 30))
    else:
        color, third = (30, 60, chance.randint(200, 255)), side // 3
        draw.rectangle((left, top + third, right, bottom - third), fill=color)
        draw.rectangle((left + third, top, right - third, bottom), fill=color)
    target = io.BytesIO()
    image.save(target, "PNG")
    return Drawing(target.getvalue(), figure, (left / width, top / height, side / width, side / height))


def drawings(figure: str, count: int, seed: int = 0) -> list[Drawing]:
    return [drawing(figure, seed + number) for number in range(count)]


def write_folder(folder: Path, figure: str, count: int, seed: int = 0) -> dict[str, Drawing]:
    """Files <figure>_1.png … in a folder; by name."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {f"{figure}_{number}": each for number, each in enumerate(drawings(figure, count, seed), 1)}
    for name, each in found.items():
        (folder / f"{name}.png").write_bytes(each.content)
    return found


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)
