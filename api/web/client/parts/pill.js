/*
 * "12 new", above a list: a way to the newest, and one back. It counts; it never moves anything by itself.
 */

import { icon } from "../base/dom.js";
import { element, html } from "../base/html.js";
import { words as w } from "../words/reading.js";
import { onKey } from "./shortcuts.js";

class Pill extends HTMLElement {
    /** @type {import("./feed.js").Feed} */ feed = /** @type {any} */ (null);
    /** @type {(() => void)[]} */ #stops = [];
    #count = element(html`<bdi></bdi>`);
    #new = element(html`<button type="button" class="primary" hidden @click=${() => void this.feed.newest()}>${icon("up")}${this.#count}</button>`);
    #back = element(html`<button type="button" class="back" hidden @click=${() => this.feed.goBack()}>${w.backWhere}</button>`);

    connectedCallback() {
        this.replaceChildren(this.#new, this.#back);
        this.feed.addEventListener("rk-fresh", this.#patch);
        const here = (/** @type {() => void} */ act) => () => (this.getClientRects().length || this.parentElement?.getClientRects().length ? act() : false);
        this.#stops = [onKey("newest", here(() => void this.feed.newest())), onKey("back", here(() => this.feed.goBack()))];
        this.#patch();
    }

    disconnectedCallback() {
        this.feed.removeEventListener("rk-fresh", this.#patch);
        for (const stop of this.#stops) stop();
    }

    #patch = () => {
        const { count, more } = this.feed.fresh;
        const had = this.contains(document.activeElement);
        this.#new.hidden = !count;
        this.#count.textContent = w.fresh(count, more);
        this.#back.hidden = !this.feed.back || this.feed.back.until < Date.now();
        if (had && document.activeElement === document.body) (this.#back.hidden ? this.#new : this.#back).focus({ preventScroll: true });
    };
}
customElements.define("rk-pill", Pill);

/** @param {import("./feed.js").Feed} feed @returns {HTMLElement} */
export function pill(feed) {
    const made = /** @type {Pill} */ (document.createElement("rk-pill"));
    made.feed = feed;
    return made;
}
