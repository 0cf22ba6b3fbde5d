"""Takes the pictures of the documents (`make pictures`): the client in Chromium over the sample network.

    python -m tests.browser.pictures        docs/images/web-*.png, each below BYTES_MAX

Rules of this file
- What they show is the sample of `make run`, written by way of the API, over the last six hours of a clock of its own.
- Pictures are looked at by people: tests see that each is there, small, and named in a document.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, expect

from commands.sample import make_sample
from tests.browser.opening import Opener, launched
from tests.browser.site import Person, Site, serving

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
BYTES_MAX: Final = 150_000
PEOPLE, TWEETS = 14, 90
HOUR_MS: Final = 3_600_000
COLOURS: Final = 128
TALK: Final = (
    ("cleo", "Two herons on the canal this morning, quite still, as if somebody had put them there. #birds"),
    ("hana", "@cleo they are there every day at seven. One of them knows me by now."),
    ("ada", "@hana @cleo I have a picture of the tall one. It looks like a letter that nobody has opened."),
    ("elif", "@ada pictures, please."),
    ("bruno", "@ada save some for me."),
)


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with serving(seeded=False) as site, launched() as browser:
        people, opened = _fill(site)
        opener = Opener(browser, site)
        for theme in ("light", "dark"):
            wide = opener("/", people["ada"], width=1_100, height=760, dark=theme == "dark")
            expect(wide.get_by_role("article").first).to_be_visible()
            wide.mouse.wheel(0, 600)
            for number in range(3):
                people["goran"].post(f"A fox in the yard, {('at noon', 'again', 'and it has friends')[number]}. #birds")
            expect(wide.get_by_role("button", name="new").first).to_be_visible()
            _take(wide, f"web-home-{theme}")
            phone = opener(f"/@ada/{opened}", people["ada"], width=390, height=780, dark=theme == "dark", touch=True)
            expect(phone.get_by_text("save some for me").first).to_be_visible()
            _take(phone, f"web-conversation-{theme}")
        opener.close()


def _fill(site: Site) -> tuple[dict[str, Person], str]:
    """Write the sample; return the people by name, and the status whose conversation is shown."""
    sample = make_sample()
    everybody = [site.person(name) for name in sample.usernames[:PEOPLE]]
    for person, shown, bio in zip(everybody, sample.display_names, sample.bios, strict=False):
        person.ask("PATCH", "v1/accounts/update_credentials", display_name=shown, note=bio)
    for one, other in sample.follows:
        if one < PEOPLE and other < PEOPLE:
            everybody[one].follow(everybody[other])
    tweets = [each for each in sample.tweets if each.author < PEOPLE and each.answers < 0][:TWEETS]
    now_ms, ids = int(time.time() * 1000), []
    for index, tweet in enumerate(tweets):
        _set_clock(site, now_ms - 6 * HOUR_MS + index * 6 * HOUR_MS // (TWEETS + 10))
        ids.append(everybody[tweet.author].post(tweet.text)["id"])
    for person, index in [*sample.likes, *sample.reposts[:8]]:
        verb = "favourite" if (person, index) in sample.likes else "reblog"
        everybody[person % PEOPLE].ask("POST", f"v1/statuses/{ids[index % len(ids)]}/{verb}")
    people = {person.name: person for person in everybody}
    said: list[str] = []
    for index, (name, text) in enumerate(TALK):
        _set_clock(site, now_ms - (len(TALK) - index) * 240_000)
        said.append(people[name].post(text, **({"in_reply_to_id": said[min(index - 1, 2)]} if said else {}))["id"])
    _set_clock(site, now_ms)
    return people, said[2]


def _set_clock(site: Site, now_ms: int) -> None:
    sim = site.cluster.sim
    sim._events = [(at_ms + now_ms - sim.now, count, action) for at_ms, count, action in sim._events]
    sim.now = now_ms


def _take(page: Page, name: str) -> None:
    """Write a picture with few colours, which is what such pages have."""
    path = FOLDER / f"{name}.png"
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path)
    with Image.open(path) as whole:
        whole.convert("RGB").quantize(COLOURS).save(path, optimize=True)
    size = path.stat().st_size
    assert size <= BYTES_MAX, f"{path.name} has {size} bytes"
    print(f"{path.name}: {size} bytes")


if __name__ == "__main__":
    main()
