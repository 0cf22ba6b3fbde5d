/*
 * A list of anything, as long as one likes: pages that are in the document only near the screen, and every state that a
 * list can be in.
 *
 *     load(query) --> Timeline (which ids, gaps) --> one <section> a page --near--> filled, --far--> empty, as high as it was
 *     stream      --> pending: counted by the pill, never put into view
 *
 * Rules of this file
 * - Only the reader moves the list: what comes above keeps the first visible thing where it is, by the browser's own
 *   anchoring, or by hand where there is none (`keepPlace`).
 * - At most one section a frame is filled; one that has the focus is never emptied.
 * - A question that fails is said where its answer would stand, with what there is to do; what was there stays.
 */

import { announce } from "../base/dom.js";
import { element, html, reconcile, setAttribute } from "../base/html.js";
import { settings } from "../base/settings.js";
import { store } from "../state/store.js";
import { compare, PAGE, Timeline } from "../state/timeline.js";
import { words as w } from "../words/reading.js";
import { whenever } from "../words/times.js";
import { keepPlace, letMove } from "./keeping.js";
import { failure, skeletons } from "./states.js";

const FAR_PX = 3000;
const NEAR_PX = 1500;
const SHOWN_AFTER_MS = 300;
const CATCH_UP = { pages: 5, limit: 40 };
const LIVE_SAID_MS = 30_000;
const BACK_MS = 600_000;
const AGAIN_MS = 5000;

/** @typedef {import("../net/api.js").Answer} Answer */
/** @typedef {import("../net/api.js").Query} Query */
/**
 * @typedef {{
 *   key: string, load: (query: Query) => Promise<Answer>, make: (item: any) => HTMLElement, idOf: (item: any) => string,
 *   empty: () => import("../base/html.js").Template | Node, stream?: import("../net/stream.js").Channel,
 *   accepts?: (status: any) => boolean, keepsPosition?: boolean, from?: () => Promise<string | null>,
 *   seen?: (id: string) => void, kept?: () => Promise<{items: any[], at: number} | null>, loaded?: (items: any[]) => void,
 *   end?: () => string, label?: string,
 * }} Options
 */

/** Where lists that keep their position were left. @type {Map<string, string>} */
const left = new Map();

export class Feed extends HTMLElement {
    /** @type {Options} */ options = /** @type {any} */ (null);
    timeline = new Timeline();
    /** What isn't a status. @type {Map<string, any>} */ #items = new Map();
    /** @type {Map<Element, {row: import("../state/timeline.js").Row, near: boolean, filled: boolean, height: number}>} */ #pages = new Map();
    /** @type {import("../net/api.js").Query | null} */ #next = null;
    #busy = new Set();
    #frame = 0;
    #begun = false;
    #footNear = false;
    #topNear = false;
    #seen = "";
    #width = 0;
    #said = 0;
    #scrolledTo = 0;
    #asOf = Date.now();
    #doubts = false; // whether something may have been missed that couldn't be read yet
    /** @type {{id: string, top: number, until: number} | null} */ back = null;
    /** @type {(() => void) | undefined} */ #stop;
    #bar = element(html`<div class="rk-bar"></div>`);
    #top = element(html`<div class="rk-top"></div>`);
    #list = element(html`<div class="rk-pages"></div>`);
    #foot = element(html`<div class="rk-foot"></div>`);
    #observer = new IntersectionObserver((entries) => this.#near(entries), { rootMargin: `${FAR_PX}px 0px` });
    #edges = new IntersectionObserver((entries) => this.#atEdge(entries), { rootMargin: `${NEAR_PX}px 0px` });

    get #ordered() {
        return !!this.options.stream || !!this.options.from;
    }

    connectedCallback() {
        if (!this.#begun) {
            this.timeline = new Timeline({ ordered: this.#ordered });
            this.append(this.#bar, this.#top, this.#list, this.#foot);
        }
        this.#edges.observe(this.#foot);
        this.#edges.observe(this.#top);
        for (const section of this.#pages.keys()) this.#observer.observe(section);
        addEventListener("scroll", this.#scrolled, { passive: true });
        addEventListener("resize", this.#resized);
        addEventListener("online", this.#network);
        addEventListener("offline", this.#network);
        addEventListener("rk-again", this.#again);
        addEventListener("rk-removed", this.#removed);
        const { stream: channel } = this.options;
        if (channel) {
            void import("../net/stream.js").then(({ stream }) => {
                if (!this.isConnected || this.#stop) return;
                this.#stop = stream.subscribe(channel, {
                    event: (event) => this.#happened(event), recovered: () => this.#lost(),
                    state: (state) => state === "live" && (this.timeline.topKnown || this.#doubts) && void this.#catchUp(),
                });
            });
            void import("./pill.js").then(({ pill }) => this.isConnected && !this.querySelector("rk-pill") && this.prepend(pill(this)));
        }
        if (!this.#begun) void this.#begin();
        this.#begun = true;
    }

    disconnectedCallback() {
        this.#observer.disconnect();
        this.#edges.disconnect();
        removeEventListener("scroll", this.#scrolled);
        removeEventListener("resize", this.#resized);
        removeEventListener("online", this.#network);
        removeEventListener("offline", this.#network);
        removeEventListener("rk-again", this.#again);
        removeEventListener("rk-removed", this.#removed);
        cancelAnimationFrame(this.#frame);
        this.#frame = 0;
        this.#stop?.();
        this.#stop = undefined;
        if (this.options.keepsPosition && this.#last) left.set(this.options.key, this.#last);
    }

    // -- asking -----------------------------------------------------------------------------------------------------

    /** Ask once at a time for each purpose. @param {string} purpose @param {HTMLElement} place @param {Query} query
     * @param {(answer: any) => void} take @param {{quiet?: boolean}} [how] @returns {Promise<boolean>} */
    async #ask(purpose, place, query, take, { quiet = false } = {}) {
        if (this.#busy.has(purpose)) return false;
        this.#busy.add(purpose);
        const { epoch } = this.timeline;
        const bones = quiet ? 0 : setTimeout(() => place.replaceChildren(...(this.timeline.rows.length ? [skeletons(1)] : [skeletons(6)])), SHOWN_AFTER_MS);
        this.#list.ariaBusy = quiet ? null : "true";
        /** @type {Answer} */
        let answer;
        try {
            answer = await this.options.load(query);
        } finally {
            clearTimeout(bones);
            this.#busy.delete(purpose);
            this.#list.ariaBusy = null;
        }
        if (!this.isConnected) return false;
        const again = () => void this.#ask(purpose, place, query, take, { quiet });
        if (answer.ok) this.#asOf = Date.now();
        if (!answer.ok) {
            if (!quiet || place.dataset.fails) failure(place, answer, again);
            return false;
        }
        if (epoch !== this.timeline.epoch && purpose !== "refill") {
            again(); // something was missed meanwhile: what was read before it doesn't hold
            return false;
        }
        place.replaceChildren();
        this.#partial(answer, () => this.refresh());
        this.#take(answer.body);
        take(answer);
        return true;
    }

    /** @param {import("../net/api.js").Good} answer @param {() => void} again */
    #partial({ partial }, again) {
        if (!partial || partial.answered >= partial.of) return;
        this.#bar.replaceChildren(element(html`<div class="rk-note" role="status"><span>${w.partial(partial.answered, partial.of)}</span><button type="button" class="small" @click=${again}>${w.retry}</button></div>`));
    }

    /** @param {any[]} items */
    #take(items) {
        const statuses = items.filter((item) => item.account && "visibility" in item && "content" in item);
        store.takeStatuses(statuses);
        if (this.#ordered) return; // these can be read again by their ids
        for (const item of items) this.#items.set(this.options.idOf(item), item);
    }

    /** @param {string} id */
    #item(id) {
        const item = this.#items.get(id);
        return item && !("content" in item) ? item : store.status(id) ?? item;
    }

    /** @param {any} answer @returns {string[]} */
    #idsOf(answer) {
        return answer.body.map(this.options.idOf);
    }

    /** @param {string} id what comes next after it, for a cursor that excludes */
    #after(id) {
        return String(BigInt(id) + 1n);
    }

    async #begin() {
        const { from, kept, keepsPosition, key } = this.options;
        const marker = keepsPosition && left.has(key) ? Promise.resolve(left.get(key) ?? null) : Promise.resolve(from?.() ?? null).catch(() => null);
        const done = await this.#ask("first", this.#foot, { limit: PAGE }, (page) => void this.#start(page, marker));
        if (done || !kept || this.#foot.dataset.fails !== "offline") return;
        const had = await kept();
        if (had && !this.timeline.rows.length) this.#showKept(had);
    }

    /** Where one has stopped, if that isn't on the newest page, is asked for with what is above it. @param {any} page
     * @param {Promise<string | null>} marker */
    async #start(page, marker) {
        const at = await marker;
        if (this.timeline.rows.length) { // what was kept is there already
            this.#next = page.next;
            this.#bar.replaceChildren();
            keepPlace(this, this.#first_visible()?.id ?? null, () => {
                this.timeline.newest(this.#idsOf(page), !page.next);
                this.#draw();
            });
            this.options.loaded?.(page.body);
            return this.#tell();
        }
        const oldest = this.#idsOf(page).at(-1);
        if (at && oldest && compare(at, oldest) < 0) {
            /** @type {any[]} */
            const found = [];
            await Promise.all([
                this.#ask("first", this.#foot, { max_id: this.#after(at), limit: PAGE }, (answer) => (found[0] = answer)),
                this.#ask("newer", this.#top, { min_id: at, limit: PAGE }, (answer) => (found[1] = answer), { quiet: true }),
            ]);
            if (found[0]) return this.#first(found[0], false, at, found[1]);
        }
        this.#first(page, true, at);
    }

    /** @param {any} page @param {boolean} top @param {string | null} at where to stand @param {any} [above] the page above */
    #first(page, top, at, above) {
        this.#next = page.next;
        this.timeline.first(this.#idsOf(page), { top, end: !page.next || !page.body.length });
        if (above) this.timeline.newer(this.#idsOf(above), !above.body.length);
        this.#seen = at ?? this.timeline.top ?? "";
        this.#sync();
        this.options.loaded?.(page.body);
        const first = at && this.timeline.ids.find((id) => compare(id, at) <= 0);
        if (first && first !== this.timeline.top) this.#standAt(first, this.#head);
        this.#scrolledTo = scrollY;
        this.#tell();
        if (this.#footNear) void this.#older();
    }

    /** What was kept of before, while nobody answers. @param {{items: any[], at: number}} kept */
    #showKept({ items, at }) {
        this.#take(items);
        this.timeline.first(items.map(this.options.idOf), { top: false });
        this.#sync();
        this.#offlineAsOf(at, () => this.refresh());
    }

    /** @param {number} at @param {() => void} again */
    #offlineAsOf(at, again) {
        this.#bar.replaceChildren(element(html`<div class="rk-note offline" role="status"><span>${w.offlineAsOf(whenever(at))}</span><button type="button" class="small" @click=${again}>${w.retry}</button></div>`));
    }

    /** The network goes or comes: what is there stays, and it is said of when it is. */
    #network = () => {
        if (!navigator.onLine && this.timeline.rows.length) this.#offlineAsOf(this.#asOf, () => void this.#catchUp());
        else if (navigator.onLine) this.#bar.querySelector(".offline")?.remove();
    };

    /** Begin anew, at the newest. */
    refresh() {
        this.#bar.replaceChildren();
        this.#foot.replaceChildren();
        void this.#ask("first", this.#foot, { limit: PAGE }, (page) => {
            this.timeline = new Timeline({ ordered: this.#ordered });
            this.#first(page, true, null);
        });
    }

    async #older() {
        const { timeline } = this;
        if (!timeline.rows.length || timeline.bottomKnown || this.#foot.dataset.fails) return;
        const query = this.#ordered ? { max_id: timeline.bottom, limit: PAGE } : { ...this.#next };
        await this.#ask("older", this.#foot, query, (answer) => {
            this.#next = answer.next;
            timeline.older(this.#idsOf(answer), !answer.next || !answer.body.length);
            this.#sync();
            if (timeline.bottomKnown) announce(w.end);
        });
        if (this.#footNear && !timeline.bottomKnown) requestAnimationFrame(() => this.#footNear && void this.#older());
    }

    async #newer() {
        const { timeline } = this;
        if (timeline.pending.length || timeline.topKnown || !timeline.top) return;
        await this.#ask("newer", this.#top, { min_id: timeline.top, limit: PAGE }, (answer) => {
            timeline.newer(this.#idsOf(answer), !answer.body.length);
            this.#sync();
            this.#tell();
        }, { quiet: true });
    }

    /** @param {number} gap @param {boolean} older */
    #fillGap(gap, older) {
        const round = this.timeline.round(gap);
        const place = /** @type {HTMLElement | null} */ (this.querySelector(`[data-gap="${gap}"] .state`));
        if (!round || !place) return;
        const query = older ? { max_id: round.above, limit: PAGE } : { min_id: round.below, limit: PAGE };
        void this.#ask(`gap ${gap}`, place, query, (answer) => {
            const ids = this.#idsOf(answer);
            // Older ones: what is below stays where it is; newer ones: what is above does.
            keepPlace(this, older ? round.below : round.above, () => {
                if (older) this.timeline.older(ids, !ids.length || !answer.next, gap);
                else this.timeline.newer(ids, !ids.length, gap);
                this.#draw();
            });
        });
    }

    // -- what happens meanwhile -------------------------------------------------------------------------------------

    /** @param {{event: string, payload: any}} event */
    #happened({ event, payload }) {
        if (event === "update") {
            if (this.options.accepts?.(payload) === false) return;
            store.takeStatuses([payload]);
            if (!this.timeline.hear(payload.id)) return;
            this.#sync(); // one that came late has its place among those that are shown
            if (settings.get("live") && this.#isAtTop) return this.meet(false);
            this.#tell();
            this.#say();
        } else if (event === "status.update") {
            if (store.status(payload.id)) store.takeStatuses([payload]);
        } else if (event === "delete") {
            store.remove(payload);
            this.#drop(payload);
        }
    }

    /** One of one's own, at once. @param {any} status */
    put(status) {
        store.takeStatuses([status]);
        this.timeline.hear(status.id);
        const { timeline } = this;
        if (timeline.pending.at(-1) === status.id || (this.#isAtTop && timeline.pending.includes(status.id))) {
            timeline.meet(timeline.pending.at(-1) === status.id ? 1 : timeline.pending.length);
            if (this.#isAtTop) this.#seen = timeline.top ?? this.#seen;
        }
        if (this.#isAtTop) letMove(() => this.#draw());
        else this.#sync();
        this.#tell();
    }

    /** @param {Event} event */
    #removed = (event) => this.#drop(/** @type {CustomEvent} */ (event).detail.id);

    /** Below the screen it goes; on it or above it a stub stays until its page is left. @param {string} id */
    #drop(id) {
        const shown = this.querySelector(`article[data-id="${id}"]`);
        if (shown && shown.getBoundingClientRect().top < innerHeight) return;
        if (shown?.contains(document.activeElement)) /** @type {HTMLElement | null} */ ((shown.parentElement?.nextElementSibling ?? shown.parentElement?.previousElementSibling)?.querySelector("article") ?? null)?.focus({ preventScroll: true });
        this.timeline.remove(id);
        if (this.#begun && !this.timeline.rows.length && !this.timeline.bottomKnown && !this.#busy.has("first")) return this.refresh();
        this.#sync();
        this.#tell();
    }

    #lost() {
        const { topKnown } = this.timeline;
        this.timeline.lost();
        if (topKnown) void this.#catchUp(); // or else it is read as one scrolls
    }

    /** Read what may have been missed, a few pages; beyond, one reads upwards as one scrolls. */
    async #catchUp() {
        const { timeline } = this;
        const from = timeline.overlap;
        if (!from || this.#busy.has("catch up")) return;
        this.#busy.add("catch up");
        const { epoch } = timeline;
        /** @type {string[]} */
        const ids = [];
        let isWhole = false;
        for (let page = 0; page < CATCH_UP.pages && !isWhole; page += 1) {
            const answer = await this.options.load({ min_id: ids.at(-1) ?? from, limit: CATCH_UP.limit });
            if (timeline !== this.timeline) break;
            if (!answer.ok) {
                this.#busy.delete("catch up");
                this.#doubts = true;
                setTimeout(() => this.isConnected && this.#doubts && void this.#catchUp(), AGAIN_MS * (1 + Math.random()));
                return;
            }
            this.#take(answer.body);
            ids.push(...this.#idsOf(answer).sort(compare));
            isWhole = !answer.body.length;
        }
        this.#busy.delete("catch up");
        if (epoch !== timeline.epoch) return void this.#catchUp();
        if (timeline !== this.timeline || !this.isConnected) return;
        this.#doubts = false;
        timeline.caughtUp(ids, isWhole);
        this.#sync();
        this.#tell();
    }

    #say() {
        if (Date.now() - this.#said < LIVE_SAID_MS || document.hidden) return;
        this.#said = Date.now();
        announce(w.newPosts(this.fresh.count));
    }

    // -- the pill ---------------------------------------------------------------------------------------------------

    /** How many are new to the reader, and whether there are more than that. */
    get fresh() {
        const { timeline } = this;
        const shown = this.#seen && this.#ordered ? timeline.above(this.#seen) : 0;
        return { count: shown + timeline.ahead, more: !timeline.topKnown && timeline.rows.length > 0 };
    }

    #tell() {
        this.dispatchEvent(new CustomEvent("rk-fresh"));
    }

    get #head() {
        return document.querySelector(".rk-head")?.getBoundingClientRect().bottom ?? 0;
    }

    get #isAtTop() {
        return this.#list.getBoundingClientRect().top >= 0;
    }

    /** Take what waits into the list. @param {boolean} keep whether the reader's place is kept */
    meet(keep) {
        if (!this.timeline.meet(keep ? PAGE : this.timeline.pending.length)) return;
        if (keep) this.#sync();
        else letMove(() => this.#draw());
        if (!keep) this.#seen = this.timeline.top ?? this.#seen;
        this.#tell();
    }

    /** Go to the newest, and remember from where. */
    async newest() {
        const first = this.#first_visible();
        if (first && scrollY > innerHeight / 2) this.back = { ...first, until: Date.now() + BACK_MS };
        if (!this.timeline.topKnown && this.timeline.rows.length) {
            await this.#ask("newest", this.#bar, { limit: PAGE }, (answer) => {
                this.timeline.newest(this.#idsOf(answer), !answer.next);
                this.options.loaded?.(answer.body);
            }, { quiet: true });
        }
        this.timeline.meet(this.timeline.pending.length);
        letMove(() => this.#draw());
        scrollTo({ top: 0, behavior: "instant" });
        this.#seen = this.timeline.top ?? this.#seen;
        this.options.seen?.(this.#seen);
        this.#tell();
        this.querySelector("article")?.focus({ preventScroll: true });
    }

    /** The link to where one is: to the newest. @param {Event} event */
    #again = (event) => {
        if (!this.options.stream || !this.getClientRects().length) return;
        event.preventDefault();
        void this.newest();
    };

    /** Back to where one was before. */
    goBack() {
        const { back } = this;
        this.back = null;
        if (back && back.until > Date.now()) {
            this.#standAt(back.id, back.top);
            /** @type {HTMLElement | null} */ (this.querySelector(`article[data-id="${back.id}"]`))?.focus({ preventScroll: true });
        }
        this.#tell();
    }

    /** @param {string} id @param {number} top */
    #standAt(id, top) {
        for (const [section, page] of this.#pages) if (page.row.ids.includes(id)) this.#fill(/** @type {HTMLElement} */ (section), page);
        const shown = this.querySelector(`article[data-id="${id}"]`);
        if (shown) scrollBy({ top: shown.getBoundingClientRect().top - top, behavior: "instant" });
    }

    // -- where the reader is ----------------------------------------------------------------------------------------

    #last = "";
    #timer = 0;

    #scrolled = () => {
        const up = scrollY < this.#scrolledTo;
        this.#scrolledTo = scrollY;
        if (!this.getClientRects().length) return;
        if (up && this.#topNear && this.#list.getBoundingClientRect().top < this.#head) {
            if (this.timeline.pending.length) this.meet(true);
            else void this.#newer();
        }
        if (this.#timer) return;
        this.#timer = setTimeout(() => {
            this.#timer = 0;
            const first = this.#first_visible();
            if (!first) return;
            this.#last = first.id;
            if (!this.#ordered || (this.#seen && compare(first.id, this.#seen) <= 0)) return;
            this.#seen = first.id;
            this.options.seen?.(first.id);
            this.#tell();
        }, 150);
    };

    /** @returns {{id: string, top: number} | null} */
    #first_visible() {
        if (!this.getClientRects().length) return null;
        const head = this.#head;
        for (const [section, page] of this.#inOrder()) {
            if (!page.filled || section.getBoundingClientRect().bottom <= head) continue;
            for (const article of section.querySelectorAll("article[data-id]")) {
                const { top, bottom } = article.getBoundingClientRect();
                if (bottom > head + 8) return { id: /** @type {HTMLElement} */ (article).dataset.id ?? "", top };
            }
        }
        return null;
    }

    /** @returns {[HTMLElement, any][]} */
    #inOrder() {
        return /** @type {HTMLElement[]} */ ([...this.#list.children]).filter((each) => this.#pages.has(each)).map((each) => [each, this.#pages.get(each)]);
    }

    #resized = () => {
        const width = this.#list.clientWidth;
        if (!width || width === this.#width) return;
        for (const [section, page] of this.#pages) {
            if (page.filled || !this.#width) continue;
            page.height *= this.#width / width; // a guess, until it is filled again
            /** @type {HTMLElement} */ (section).style.setProperty("block-size", `${page.height}px`);
        }
        this.#width = width;
    };

    // -- drawing ----------------------------------------------------------------------------------------------------

    /** Draw what has changed, the reader's place kept. */
    #sync() {
        keepPlace(this, null, () => this.#draw());
    }

    #draw() {
        const { timeline } = this;
        this.#width ||= this.#list.clientWidth;
        reconcile(this.#list, timeline.rows, (row) => `${row.gap ? "gap" : "page"} ${row.key}`, (row) => (row.gap ? this.#gap(row) : this.#page(row)), (node, row) => {
            const page = this.#pages.get(node);
            if (!page) return;
            page.row = row;
            if (page.filled) this.#fillNow(node, page);
        });
        for (const section of this.#pages.keys()) {
            if (section.parentNode === this.#list) continue;
            this.#observer.unobserve(section);
            this.#pages.delete(section);
        }
        const isFeed = timeline.rows.length > 0;
        setAttribute(this.#list, "role", isFeed && "feed");
        setAttribute(this.#list, "aria-label", isFeed ? (this.options.label ?? w.posts) : null);
        if (this.#foot.dataset.fails || this.#busy.has("older") || this.#busy.has("first")) return;
        if (!timeline.rows.length && timeline.bottomKnown) this.#foot.replaceChildren(element(html`<div class="rk-state">${this.options.empty()}</div>`));
        else if (timeline.bottomKnown) this.#foot.replaceChildren(element(html`<p class="rk-end">${this.options.end?.() ?? w.end}</p>`));
        else this.#foot.replaceChildren();
    }

    /** @param {import("../state/timeline.js").Row} row */
    #page(row) {
        const section = document.createElement("section");
        const page = { row, near: true, filled: false, height: 0 };
        this.#pages.set(section, page);
        this.#fillNow(section, page);
        this.#observer.observe(section);
        return section;
    }

    /** @param {import("../state/timeline.js").Row} row */
    #gap({ key }) {
        const round = this.timeline.round(key);
        const when = (/** @type {string | undefined} */ id) => (id && whenever(this.#item(id)?.created_at)) || "…";
        const [to, from] = [when(round?.above), when(round?.below)];
        return element(html`<article class="rk-gap" tabindex="0" data-gap=${key} aria-label=${w.gap(from, to)}><p>${w.gap(from, to)}</p><div class="rk-buttons"><button type="button" class="small" @click=${() => this.#fillGap(key, true)}>${w.loadOlder}</button><button type="button" class="small" @click=${() => this.#fillGap(key, false)}>${w.loadNewer}</button></div><div class="state"></div></article>`);
    }

    /** @param {HTMLElement} section @param {any} page */
    #fillNow(section, page) {
        const lacking = page.row.ids.filter((/** @type {string} */ id) => !this.#item(id));
        if (lacking.length) return void this.#readAgain(page.row.ids);
        reconcile(section, page.row.ids, (/** @type {any} */ id) => id, (id) => this.options.make(this.#item(id)));
        page.filled = true;
        section.style.removeProperty("block-size");
    }

    /** @param {HTMLElement} section @param {any} page */
    #fill(section, page) {
        if (!page.filled) this.#fillNow(section, page);
    }

    /** The store has let them go: read them again by their place. @param {string[]} ids */
    #readAgain(ids) {
        void this.#ask("refill", this.#bar, { max_id: this.#after(ids[0]), limit: 2 * PAGE }, () => {
            for (const id of ids) if (!this.#item(id)) this.timeline.remove(id);
            this.#sync();
            this.#later();
        }, { quiet: true });
    }

    /** @param {IntersectionObserverEntry[]} entries */
    #near(entries) {
        if (!this.getClientRects().length) return; // the screen is hidden
        for (const { target, isIntersecting } of entries) {
            const page = this.#pages.get(target);
            if (page) page.near = isIntersecting;
        }
        this.#later();
    }

    /** @param {IntersectionObserverEntry[]} entries */
    #atEdge(entries) {
        if (!this.getClientRects().length) return;
        for (const { target, isIntersecting } of entries) {
            if (target === this.#foot) this.#footNear = isIntersecting;
            else this.#topNear = isIntersecting;
        }
        if (this.#footNear) void this.#older();
    }

    #later() {
        this.#frame ||= requestAnimationFrame(() => {
            this.#frame = 0;
            this.#window();
        });
    }

    /** Empty what is far, fill one that is near. */
    #window() {
        if (!this.getClientRects().length) return;
        const pages = this.#inOrder();
        const far = pages.filter(([section, page]) => page.filled && !page.near && !section.contains(document.activeElement));
        const heights = far.map(([section]) => section.getBoundingClientRect().height);
        for (const [at, [section, page]] of far.entries()) {
            page.filled = false;
            page.height = heights[at];
            section.style.setProperty("block-size", `${heights[at]}px`);
            for (const stub of section.querySelectorAll("rk-status[data-gone] article")) this.timeline.remove(/** @type {HTMLElement} */ (stub).dataset.id ?? "");
            reconcile(section, [], String, () => section);
        }
        const empty = pages.filter(([, page]) => page.near && !page.filled);
        if (!empty.length) return;
        const middle = innerHeight / 2;
        const nearest = empty.map(([section, page]) => ({ section, page, at: Math.abs(section.getBoundingClientRect().top - middle) })).sort((a, b) => a.at - b.at)[0];
        keepPlace(this, null, () => this.#fillNow(nearest.section, nearest.page));
        if (empty.length > 1 && nearest.page.filled) this.#later();
    }
}
customElements.define("rk-feed", Feed);

/** @param {Options} options @returns {Feed} */
export function feed(options) {
    const made = /** @type {Feed} */ (document.createElement("rk-feed"));
    made.options = options;
    return made;
}
