"""BlurHash against a plain reading of its description."""

from __future__ import annotations

import math
import random

from actors.media.blurhash import encode

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"


def plain(pixels: bytes, width: int, height: int, across: int, down: int) -> str:
    """The published algorithm, wave by wave and pixel by pixel."""

    def linear(value: int) -> float:
        v = value / 255
        return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4

    def srgb(value: float) -> int:
        v = max(0.0, min(1.0, value))
        return int(v * 12.92 * 255 + 0.5) if v <= 0.0031308 else int((1.055 * v ** (1 / 2.4) - 0.055) * 255 + 0.5)

    def digits(value: int, length: int) -> str:
        return "".join(DIGITS[value // 83 ** (length - place - 1) % 83] for place in range(length))

    factors = []
    for j in range(down):
        for i in range(across):
            total = [0.0, 0.0, 0.0]
            for y in range(height):
                for x in range(width):
                    wave = math.cos(math.pi * i * (x + 0.5) / width) * math.cos(math.pi * j * (y + 0.5) / height)
                    for channel in range(3):
                        total[channel] += wave * linear(pixels[(y * width + x) * 3 + channel])
            scale = (2 if i or j else 1) / (width * height)
            factors.append([scale * value for value in total])
    largest = max(abs(value) for factor in factors[1:] for value in factor)
    quantised = max(0, min(82, math.floor(largest * 166 - 0.5)))
    red, green, blue = map(srgb, factors[0])
    said = digits(across - 1 + (down - 1) * 9, 1) + digits(quantised, 1) + digits((red << 16) + (green << 8) + blue, 4)
    for factor in factors[1:]:
        value = 0
        for part in factor:
            scaled = part / ((quantised + 1) / 166)
            level = math.floor(math.copysign(math.sqrt(abs(scaled)), scaled) * 9 + 9.5)
            value = value * 19 + max(0, min(18, level))
        said += digits(value, 2)
    return said


def test_hashes_are_those_of_the_description():
    dice = random.Random(5)
    for width, height in ((1, 1), (8, 5), (5, 9)):
        pixels = bytes(dice.randrange(256) for _ in range(width * height * 3))
        across, down = (3, 4) if height > width else (4, 3)
        assert encode(pixels, width, height) == plain(pixels, width, height, across, down)
