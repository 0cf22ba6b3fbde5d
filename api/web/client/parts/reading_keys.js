/*
 * The keys that one reads with: they go from article to article, and do to the one that has the focus what its buttons do.
 */

import { toggle, write } from "./acting.js";
import { onKey } from "./shortcuts.js";

/** @returns {HTMLElement[]} */
const all = () => /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".rk-screen:not([hidden]) article[tabindex]")]).filter((each) => each.getClientRects().length && !each.parentElement?.closest("article"));

/** @returns {HTMLElement | null} */
const at = () => /** @type {HTMLElement | null} */ (document.activeElement?.closest("article[tabindex]") ?? null);

/** @returns {import("./status.js").StatusElement | null} */
const status = () => /** @type {any} */ (document.activeElement?.closest("rk-status") ?? null);

/** @param {number} by */
function step(by) {
    const articles = all();
    const here = at();
    let to = here ? articles.indexOf(here) + by : -1;
    if (!here) to = articles.findIndex((each) => each.getBoundingClientRect().top >= 52);
    const next = articles[to];
    if (!next) return false;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: by < 0 || next.getBoundingClientRect().bottom > innerHeight ? "start" : "nearest" });
    return true;
}

/** @param {(it: import("./status.js").StatusElement) => unknown} act */
const on = (act) => () => {
    const it = status();
    return it?.shown?.id ? act(it) : false;
};

onKey("next", () => step(1));
onKey("previous", () => step(-1));
onKey("open", () => {
    const it = status() ?? /** @type {any} */ (at()?.querySelector("rk-status"));
    if (it?.shown?.id) return it.context === "opened" ? false : it.open();
    const link = /** @type {HTMLElement | null | undefined} */ (at()?.querySelector("a.post") ?? at()?.querySelector("a"));
    return link ? link.click() : false;
});
onKey("author", () => {
    const link = /** @type {HTMLElement | null | undefined} */ ((status() ?? at())?.querySelector("a.who, .said a"));
    return link ? link.click() : false;
});
onKey("reply", on((it) => void write("replyTo", it.shown)));
onKey("like", on((it) => void toggle(it.shown, "like")));
onKey("repost", on((it) => void toggle(it.shown, "repost")));
onKey("bookmark", on((it) => void toggle(it.shown, "bookmark")));
onKey("reveal", on((it) => it.reveal()));
onKey("media", on((it) => /** @type {HTMLElement | null} */ (it.querySelector(".rk-media a.shown, .rk-media video, .rk-media audio"))?.click()));
