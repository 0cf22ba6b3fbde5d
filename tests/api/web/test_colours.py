"""Every pair of colours in use can be read, in each theme: text 4.5 to 1, graphics and rings of focus 3 to 1 (WCAG 2.2,
1.4.3 and 1.4.11). Lines between posts are decoration."""

from __future__ import annotations

import re

import pytest

from api.web.assets import CLIENT

TEXT, GRAPHICS = 4.5, 3.0
GROUNDS = ("page", "raised")
PAIRS = [
    *((ink, ground, TEXT) for ink in ("text", "faint", "accent", "danger") for ground in GROUNDS),
    ("accent", "accent-soft", TEXT), ("text", "accent-soft", TEXT),
    ("on-accent", "accent", TEXT), ("on-danger", "danger", TEXT),
    *((ink, ground, GRAPHICS) for ink in ("edge", "focus", "liked", "reposted") for ground in GROUNDS),
]  # fmt: skip
SHEET = (CLIENT / "styles" / "tokens.css").read_text(encoding="utf-8")


def tokens_of(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})\b", block))


def block_of(selector: str) -> str:
    """Return what stands in the first block of a selector that has a colour."""
    found = [block for block in re.findall(re.escape(selector) + r"\s*\{([^{}]*)\}", SHEET) if "--page" in block]
    assert found, selector
    return str(found[0])


LIGHT = tokens_of(block_of(":root"))
THEMES = {
    "light": LIGHT,
    "dark, by the system": LIGHT | tokens_of(block_of(":root:not([data-theme])")),
    "dark": LIGHT | tokens_of(block_of(':root[data-theme="dark"]')),
    "contrast": LIGHT | tokens_of(block_of(':root[data-theme="contrast"]')),
}


def brightness(colour: str) -> float:
    """Return the relative luminance (WCAG 2.2) of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((brightness(one), brightness(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_a_pair_can_be_told_apart(theme, ink, ground, least):
    tokens = THEMES[theme]
    assert contrast(tokens[ink], tokens[ground]) >= least, (tokens[ink], tokens[ground])


def test_dark_is_the_same_whoever_asks_for_it():
    assert THEMES["dark"] == THEMES["dark, by the system"]


def test_the_measure_is_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_no_sheet_has_a_colour_of_its_own_or_a_side_of_the_screen():
    for path in CLIENT.glob("styles/*.css"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        sides = re.findall(r"(?:^|[\s;{])((?:margin|padding|border)-(?:left|right)|(?:left|right))\s*:", text)
        assert sides == [], path.name
        if path.name != "tokens.css":
            assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", text) == [], path.name
