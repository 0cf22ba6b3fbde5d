"""How a screen looks to who can't see it, or sees it small: checks on a page that stays, without loading it anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page

# (theme, direction, width): the first and the last, and the two between, differ in all three
LOOKS = (("light", "ltr", 1_280), ("dark", "ltr", 320), ("light", "rtl", 1_280), ("dark", "rtl", 320))
HEIGHT = 800

_DRESS = """([theme, dir]) => {
    document.documentElement.dataset.theme = theme;
    document.documentElement.dir = dir;
}"""
_WIDER = """() => {
    const wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= wide) return [];
    const past = [...document.querySelectorAll("body *")].filter((each) => {
        const {left, right} = each.getBoundingClientRect();
        return right > wide + 1 || left < -1;
    });
    return ["scrolls sideways", ...past.slice(0, 8).map((each) => each.outerHTML.slice(0, 160))];
}"""
TARGETS = """(least) => [...document.querySelectorAll(
        "#app :is(button, input, select, textarea, summary, a, [role=option])")]
    .filter((each) => {
        if (least > 24 && each.closest("rk-status")) return false;  // a post's own are looked at with posts
        const style = getComputedStyle(each);
        if (!each.checkVisibility({visibilityProperty: true, opacityProperty: true})) return false;
        const inText = each.closest("p, dd, .bio, .text, .hidden, rk-status .content");
        if (inText && style.display.startsWith("inline")) return false;
        let {width, height} = each.getBoundingClientRect();
        const label = each.closest("label");
        if (label && /checkbox|radio/.test(each.type)) ({width, height} = label.getBoundingClientRect());
        return width > 0 && (Math.round(width) < least || Math.round(height) < least);
    })
    .map((each) => {
        const {width, height} = each.getBoundingClientRect();
        return `${Math.round(width)} x ${Math.round(height)}: ${each.outerHTML.slice(0, 140)}`;
    })"""


_COLOURS = """async () => {
    if (!("axe" in window)) return [];
    const found = await axe.run(document, {runOnly: ["color-contrast"], resultTypes: ["violations"]});
    return found.violations.flatMap((each) =>
        each.nodes.map((node) => `${each.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`));
}"""


def wears(page: Page, theme: str, direction: str, width: int) -> None:
    """Give a page a theme, a direction and a width."""
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.evaluate(_DRESS, [theme, direction])


def faults_of(page: Page, axe: Callable[..., list[str]], turn: int, least: int = 24) -> Iterator[str]:
    """Yield what is wrong with a page in two LOOKS that differ in all: all of axe in the turn-th, in the other its
    colours; the layout in both. least: the side of a target.
    """
    for place in (turn % len(LOOKS), len(LOOKS) - 1 - turn % len(LOOKS)):
        theme, direction, width = LOOKS[place]
        wears(page, theme, direction, width)
        found = axe(page) if place == turn % len(LOOKS) else page.evaluate(_COLOURS)
        for fault in [*found, *page.evaluate(_WIDER), *page.evaluate(TARGETS, least)]:
            yield f"{theme} {direction} {width}: {fault}"


@contextmanager
def answered(page: Page, path: str, status: int, body: str = "{}", **headers: str) -> Iterator[None]:
    """Have requests whose address holds a path answered by this while the block runs."""
    pattern = f"**{path}*"
    page.route(
        pattern, lambda route: route.fulfill(status=status, body=body, headers=headers, content_type="application/json")
    )
    yield
    page.unroute(pattern)


def go(page: Page, path: str) -> None:
    """Follow a link of the client to a path, without loading the page anew, and wait until the screen is there."""
    page.evaluate(
        """(path) => {
            const link = document.createElement("a");
            link.href = path;
            document.body.append(link);
            link.click();
            link.remove();
        }""",
        path,
    )
    page.wait_for_url(f"**{path}")


def has_keys(page: Page) -> Page:
    """Wait until a page hears keys."""
    page.locator("body[data-keys]").wait_for(state="attached")
    return page
