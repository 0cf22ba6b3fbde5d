/*
 * A sentence at the edge that goes by itself, with at most one thing to do about it.
 */

import { element, html } from "../base/html.js";
import { words as w } from "../words/reading.js";

const SHOWN_MS = 6000;
const COUNT_MAX = 3;

/** @type {HTMLElement | null} */
let place = null;

/** @param {string} text @param {{action?: () => void, label?: string}} [how] @returns {() => void} what takes it away */
export function toast(text, { action, label } = {}) {
    if (!place?.isConnected) {
        place = element(html`<div class="rk-toasts" role="status" aria-live="polite" popover="manual"></div>`);
        document.body.append(place);
    }
    const at = place;
    const close = () => {
        clearTimeout(timer);
        made.remove();
        if (!at.childElementCount) at.hidePopover?.();
    };
    const act = () => {
        close();
        action?.();
    };
    const made = element(html`<div class="rk-toast"><span>${text || w.failed}</span>${action && html`<button type="button" @click=${act}>${label}</button>`}</div>`);
    let timer = setTimeout(close, action ? SHOWN_MS * 2 : SHOWN_MS);
    made.addEventListener("pointerenter", () => clearTimeout(timer));
    made.addEventListener("focusin", () => clearTimeout(timer));
    made.addEventListener("pointerleave", () => (timer = setTimeout(close, SHOWN_MS)));
    at.append(made);
    at.hidePopover?.(); // above dialogs, whichever was opened last
    at.showPopover?.();
    while (at.childElementCount > COUNT_MAX) at.firstElementChild?.remove();
    return close;
}
