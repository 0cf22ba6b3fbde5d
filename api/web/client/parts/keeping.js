/*
 * A change of the document that leaves what the reader looks at where it is.
 *
 * Rules of this file
 * - Where the browser anchors by itself (`overflow-anchor`), it does it alone: correcting too would double the step. It
 *   doesn't at the very top, and not for a place that we name; then, and elsewhere, by hand: measured, changed, scrolled
 *   in one task.
 */

const NATIVE = CSS.supports("overflow-anchor", "auto");

/** The first thing that is at least partly on the screen. @param {HTMLElement} list */
function firstShown(list) {
    for (const section of list.querySelectorAll("section, .rk-gap")) {
        if (section.getBoundingClientRect().bottom <= 0) continue;
        for (const article of section.matches("article") ? [section] : section.querySelectorAll("article[tabindex]")) if (article.getBoundingClientRect().bottom > 60) return article;
    }
    return null;
}

/** @param {HTMLElement} list @param {string | null} id what is to stay; null: the first that is seen @param {() => void} change */
export function keepPlace(list, id, change) {
    const byHand = !NATIVE || scrollY < 1 || id || document.documentElement.dataset.anchor === "hand";
    const shown = byHand && list.getClientRects().length ? (id ? list.querySelector(`article[data-id="${id}"]`) : firstShown(list)) : null;
    if (!shown) return change();
    const root = document.documentElement;
    root.style.setProperty("overflow-anchor", "none");
    const before = shown.getBoundingClientRect().top;
    change();
    if (shown.isConnected) {
        const by = shown.getBoundingClientRect().top - before;
        if (by) scrollBy({ top: by, behavior: "instant" });
    }
    requestAnimationFrame(() => root.style.removeProperty("overflow-anchor"));
}

/** A change at the top that one is to see: nothing is held. @param {() => void} change */
export function letMove(change) {
    const root = document.documentElement;
    root.style.setProperty("overflow-anchor", "none");
    change();
    requestAnimationFrame(() => root.style.removeProperty("overflow-anchor"));
}
