/*
 * A conversation: what was said before above, the opened post, the answers below.
 *
 *     the post, at once if the page knows it --> its context --> above (kept in place) and below
 *
 * Rules of this file
 * - The opened post stays where it is, to the pixel, while what it answers arrives above: measured, inserted, scrolled
 *   back in one task, with the browser's own anchoring off meanwhile. There is room below for it to stay.
 * - What isn't shown is said: what can't be seen, what goes beyond the server's bounds; what a filter hides status.js says.
 * - `?part=likes|reposts|quotes` is who has liked or reposted it, and what quotes it.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { placeOf } from "../parts/account.js";
import { said, tabs } from "../parts/form.js";
import { people, posts } from "../parts/listed.js";
import { statusElement } from "../parts/status.js";
import { store } from "../state/store.js";
import { words as w } from "../words/places.js";

const BOUNDS = { above: [40, 100], below: [60, 400] }; // of the server: for nobody, and with an account

/** @param {{params: Record<string, string>, query: Record<string, string>}} where */
export default function screen({ params, query }) {
    const { id } = params;
    if (query.part) return { element: listOf(params, query.part), title: w.conversation };
    const thread = /** @type {Thread} */ (document.createElement("rk-thread"));
    thread.statusId = id;
    return { element: thread, title: w.conversation };
}

/** @param {Record<string, string>} params @param {string} part */
function listOf({ id, name }, part) {
    const base = `/@${name}/${id}`;
    const parts = /** @type {const} */ ({ likes: "favourited_by", reposts: "reblogged_by", quotes: "quotes" });
    const box = element(html`<div><p><a href=${base}>${w.backToPost}</a></p></div>`);
    const list = document.createElement("div");
    /** @param {string} which */
    const show = (which) => {
        const path = `/api/v1/statuses/${id}/${parts[/** @type {keyof typeof parts} */ (which)] ?? parts.likes}`;
        list.replaceChildren((which === "quotes" ? posts : people)(path, w.nobodyYet));
    };
    const each = Object.keys(parts).map((name) => ({ name, label: w.parts[name], href: `${base}?part=${name}` }));
    box.append(tabs(w.conversation, each, part, show), list);
    show(part);
    return box;
}

class Thread extends HTMLElement {
    statusId = "";
    #abort = new AbortController();
    /** @type {HTMLElement | undefined} */ #opened;
    /** @type {any} */ #status;
    #above = element(html`<div class="above" role="feed" aria-label=${w.before}></div>`);
    #here = element(html`<div class="opened"></div>`);
    #below = element(html`<div class="below" role="feed" aria-label=${w.answers}></div>`);

    connectedCallback() {
        this.replaceChildren(this.#above, element(html`<div class="rest">${this.#here}${this.#below}</div>`));
        const known = store.status(this.statusId);
        if (known) this.#open(known);
        addEventListener("rk-posted", this.#posted);
        this.#load();
    }

    disconnectedCallback() {
        removeEventListener("rk-posted", this.#posted);
        this.#abort.abort();
    }

    /** @param {Event} event an answer of one's own: it is shown at once */
    #posted = (event) => {
        const { status, edited, scheduled } = /** @type {CustomEvent} */ (event).detail;
        if (edited || scheduled || !status?.in_reply_to_id || this.querySelector(`[data-id="${status.id}"]`)) return;
        const to = status.in_reply_to_id === this.statusId ? null : this.#below.querySelector(`[data-id="${status.in_reply_to_id}"]`);
        if (to) to.after(this.#wrapped(status, 1));
        else if (status.in_reply_to_id === this.statusId) this.#below.append(this.#wrapped(status, 0));
    };

    /** @param {any} status */
    #open(status) {
        this.#status = status;
        if (this.#opened) return;
        this.#opened = statusElement(status, { context: "opened" });
        this.#here.replaceChildren(this.#opened);
        if (document.activeElement === document.body) this.#opened.querySelector("article")?.focus({ preventScroll: true });
    }

    async #load() {
        this.ariaBusy = "true";
        try {
            const asked = { signal: this.#abort.signal };
            const path = `/api/v1/statuses/${this.statusId}`;
            const asking = api.get(`${path}/context`, {}, asked);
            asking.catch(() => {}); // where the first fails, nobody waits for the second
            const status = await api.get(path, {}, asked);
            if (!status.ok) return this.#failed(status);
            store.takeStatuses([status.body]);
            this.#open(status.body);
            const context = await asking;
            if (!context.ok) return this.#failed(context);
            store.takeStatuses([...context.body.ancestors, ...context.body.descendants]);
            this.#putAbove(context.body.ancestors);
            this.#putBelow(context.body.descendants);
        } catch (error) {
            if (!this.#abort.signal.aborted) throw error;
        } finally {
            this.ariaBusy = null;
        }
    }

    /** @param {any} answer */
    #failed(answer) {
        const gone = answer.kind === "missing";
        const retry = html`<button type="button" @click=${() => this.#load()}>${w.retry}</button>`;
        const shown = element(html`<div role="alert">${said(gone ? w.postGone : answer.message, gone ? null : retry)}${answer.requestId && html`<small>${answer.requestId}</small>`}</div>`);
        (this.#opened ? this.#below : this.#here).replaceChildren(shown);
    }

    /** @param {any[]} ancestors */
    #putAbove(ancestors) {
        const first = ancestors[0] ?? this.#status;
        const full = ancestors.length >= BOUNDS.above[session.account ? 1 : 0];
        const left = first.in_reply_to_id ? [leftOut(full ? w.moreAbove : w.hiddenAbove, full ? `${placeOf(first.account)}/${first.id}` : "")] : [];
        const items = [...left, ...ancestors.map((each) => this.#wrapped(each, 0, "ancestor"))];
        const root = document.documentElement;
        root.style.setProperty("overflow-anchor", "none");
        const before = this.#here.getBoundingClientRect().top;
        this.#above.replaceChildren(...items);
        scrollBy({ top: this.#here.getBoundingClientRect().top - before, behavior: "instant" });
        requestAnimationFrame(() => root.style.removeProperty("overflow-anchor"));
    }

    /** @param {any[]} descendants */
    #putBelow(descendants) {
        const depths = new Map([[this.statusId, -1]]);
        const items = descendants.map((each) => {
            const depth = (depths.get(each.in_reply_to_id) ?? -1) + 1;
            depths.set(each.id, depth);
            return this.#wrapped(each, depth);
        });
        const direct = descendants.filter((each) => each.in_reply_to_id === this.statusId).length;
        const missing = this.#status.replies_count - direct;
        if (descendants.length >= BOUNDS.below[session.account ? 1 : 0]) items.push(leftOut(session.account ? w.moreBelow : w.moreBelowSigned));
        else if (missing > 0) items.push(leftOut(w.hiddenBelow(missing)));
        this.#below.replaceChildren(...items);
    }

    /** @param {any} status @param {number} depth @param {"feed" | "ancestor"} [context] @returns {HTMLElement} */
    #wrapped(status, depth, context = "feed") {
        return element(html`<div class=${`item depth-${Math.min(depth, 4)}`} data-id=${status.id}>${statusElement(status, { context })}</div>`);
    }
}
customElements.define("rk-thread", Thread);

/** @param {string} text @param {string} [href] */
function leftOut(text, href) {
    return element(html`<p class="rk-left-out">${text} ${href && html`<a href=${href}>${w.openThere}</a>`}</p>`);
}
