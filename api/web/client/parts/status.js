/*
 * One post: who, when, what, its pictures, and what can be done with it.
 *
 *     statusElement(status) --> <rk-status> <article> --store.watch--> five spots are patched: text, media, poll, counts, own flags
 *
 * Rules of this file
 * - Never drawn anew under a pointer or a focus: a change patches the spot that differs, and nothing else.
 * - Its markup is from content.js; its names and texts are `dir=auto`, its language is said.
 * - What is no more becomes a stub of the same height, so nothing moves.
 */

import { content } from "../base/content.js";
import { icon } from "../base/dom.js";
import { element, fragment, html } from "../base/html.js";
import { settings } from "../base/settings.js";
import { navigate } from "../routes.js";
import { store } from "../state/store.js";
import { words as w } from "../words/reading.js";
import { ago, time } from "../words/times.js";
import { actions } from "./acting.js";
import { avatar, isOurs } from "./avatar.js";
import { mediaGrid } from "./media.js";
import { tally } from "./tally.js";

/** @typedef {Record<string, any>} Status */
/** @typedef {"feed" | "opened" | "ancestor" | "quote"} Context */

const MARKS = /** @type {Record<string, string>} */ ({ unlisted: "quiet", private: "lock", direct: "at" });

/** @param {any} account */
const nameOf = (account) => account.display_name || account.username;
/** @param {Status} status */
export const placeOf = (status) => `/@${status.account.acct}/${status.id}`;

export class StatusElement extends HTMLElement {
    /** @type {Status} */ status = {};
    /** @type {Context} */ context = "feed";
    /** @type {Record<string, HTMLElement>} */ #spots = {};
    /** @type {Record<string, string>} */ #drawn = {};
    /** @type {(() => void)[]} */ #stops = [];
    #isShown = false;

    /** What is read: a repost shows what it reposts. @returns {Status} */
    get shown() {
        return this.status.reblog ?? this.status;
    }

    connectedCallback() {
        if (!this.firstChild) this.#draw();
        const { id } = this.shown;
        this.#stops = [store.watch(id, (status) => this.#changed(status))];
        if (id !== this.status.id) this.#stops.push(store.watch(this.status.id, (status) => status || this.#gone()));
        const known = store.status(id);
        if (known && known !== this.shown) this.#changed(known);
    }

    disconnectedCallback() {
        for (const stop of this.#stops) stop();
    }

    /** @param {Status | null} status */
    #changed(status) {
        if (!status) return this.#gone();
        if (this.status.reblog) this.status = { ...this.status, reblog: status };
        else this.status = status;
        this.#patch();
    }

    #gone() {
        if (this.dataset.gone) return;
        this.dataset.gone = "true";
        this.style.setProperty("min-block-size", `${this.getBoundingClientRect().height}px`);
        const had = this.contains(document.activeElement);
        const id = this.status.id ?? "";
        const stub = element(html`<article class="rk-post rk-stub" tabindex="0" data-id=${id} aria-label=${w.deleted}><p>${w.deleted}</p></article>`);
        this.replaceChildren(stub);
        if (had) stub.focus({ preventScroll: true });
    }

    #draw() {
        const { shown: status, context } = this;
        const { account } = status;
        const spot = (/** @type {string} */ name) => (this.#spots[name] = element(html`<div class=${`rk-${name}`}></div>`));
        const place = `/@${account.acct}`;
        const mark = MARKS[status.visibility];
        const when = html`<time datetime=${status.created_at} title=${time(status.created_at)}>${ago(status.created_at)}</time>`;
        const body = element(html`<div class="rk-body">${spot("text")}${spot("media")}${spot("poll")}${this.#quote(status)}${this.#card(status)}</div>`);
        this.append(
            fragment(html`<article class=${`rk-post ${context}`} tabindex="0" data-id=${this.status.id} aria-label=${this.#label()} @click=${(/** @type {MouseEvent} */ event) => this.#click(event)}>
                ${this.#above(status)}
                <a class="face" href=${place} tabindex="-1" aria-hidden="true">${avatar(account, { size: context === "quote" ? "small" : "usual" })}</a>
                <header><a class="who" href=${place}><bdi class="name">${nameOf(account)}</bdi> <bdi class="handle">@${account.acct}</bdi></a><span class="when">${mark && html`<span class="mark" role="img" aria-label=${w.visibility[status.visibility]}>${icon(mark)}</span>`}<a href=${placeOf(status)}>${when}</a></span></header>
                ${this.#warned(status, body)}
                ${context === "opened" && html`<p class="rk-facts">${time(status.created_at)}${status.application?.name && ` · ${status.application.name}`}</p>`}
                ${spot("edited")}
                ${context === "opened" && spot("counts")}
                ${context !== "quote" && spot("actions")}
            </article>`),
        );
        if (context !== "quote") this.#spots.actions.append(actions(this));
        this.#patch();
    }

    #label() {
        const { status, shown } = this;
        const by = w.by(nameOf(shown.account), ago(shown.created_at));
        return status.reblog ? `${by}. ${w.reposted(nameOf(status.account))}` : by;
    }

    /** Why it is here. @param {Status} status */
    #above(status) {
        if (this.status.reblog) {
            const { account } = this.status;
            return html`<p class="above">${icon("repost")}<a href=${`/@${account.acct}`}><bdi>${w.reposted(nameOf(account))}</bdi></a></p>`;
        }
        if (status.pinned && this.context === "feed" && this.closest(".rk-pinned")) return html`<p class="above">${icon("pin")}${w.pinned}</p>`;
        if (!status.in_reply_to_id || this.context !== "feed") return null;
        const to = status.in_reply_to_account_id === status.account.id ? status.account : (status.mentions ?? []).find((/** @type {any} */ each) => each.id === status.in_reply_to_account_id);
        return html`<p class="above">${icon("reply")}<a href=${placeOf(status)}>${to ? w.answers(to.acct) : w.answersSomebody}</a></p>`;
    }

    /** What a warning or a filter covers. @param {Status} status @param {HTMLElement} body */
    #warned(status, body) {
        const filter = (status.filtered ?? []).find((/** @type {any} */ each) => each.filter.filter_action !== "blur")?.filter;
        if (!status.spoiler_text && !filter) return body;
        this.#isShown = !filter && settings.get("expand");
        const button = element(html`<button type="button" class="small reveal" @click=${() => this.reveal()}></button>`);
        const show = () => {
            body.hidden = !this.#isShown;
            button.textContent = this.#isShown ? w.hide : filter ? w.showAnyway : w.show;
            button.setAttribute("aria-expanded", String(this.#isShown));
        };
        this.reveal = () => {
            this.#isShown = !this.#isShown;
            show();
        };
        show();
        const why = filter ? w.filteredBy(filter.title) : status.spoiler_text;
        return html`<div class="rk-warning"><p dir="auto" lang=${filter ? null : status.language}>${why}</p>${button}</div>${body}`;
    }

    /** Show or hide what a warning covers, or else the pictures. */
    reveal() {
        /** @type {HTMLElement | null} */ (this.querySelector(".rk-cover:not([hidden]), .rk-uncover:not([hidden])"))?.click();
    }

    /** @param {Status} status */
    #quote({ quote }) {
        if (!quote) return null;
        const quoted = quote.quoted_status;
        if (this.context === "quote" || (quote.quoted_status_id && !quoted)) return html`<p class="rk-quoted none">${w.quote}</p>`;
        if (quote.state !== "accepted" || !quoted) return html`<p class="rk-quoted none">${quote.state === "deleted" ? w.quoteGone : w.quoteHidden}</p>`;
        return html`<div class="rk-quoted">${statusElement(quoted, { context: "quote" })}</div>`;
    }

    /** @param {Status} status */
    #card({ card, media_attachments: media, quote }) {
        if (!card?.url || media?.length || quote || this.context === "quote") return null;
        const picture = card.image && isOurs(card.image) && html`<img src=${card.image} alt="" loading="lazy" width=${card.width || 120} height=${card.height || 120}>`;
        return html`<a class="rk-card" href=${card.url} target="_blank" rel="noopener noreferrer nofollow">${picture}<span><small>${card.provider_name || URL.parse?.(card.url)?.host}</small><strong dir="auto">${card.title}</strong>${card.description && html`<span class="said" dir="auto">${card.description}</span>`}</span></a>`;
    }

    #patch() {
        const { shown: status } = this;
        if (this.dataset.gone || !this.#spots.text) return;
        this.#spot("text", [status.content, status.language], (to) => {
            to.lang = status.language ?? "";
            to.dir = "auto";
            to.replaceChildren(content(status.content));
        });
        this.#spot("media", [status.media_attachments, status.sensitive], (to) => {
            const blurred = (status.filtered ?? []).some((/** @type {any} */ each) => each.filter.filter_action === "blur");
            to.replaceChildren(...(status.media_attachments?.length ? [mediaGrid(status, status.sensitive || blurred)] : []));
        });
        this.#spot("poll", status.poll, (to) => to.replaceChildren(...(status.poll ? [tally(status, to)] : [])));
        this.#spot("edited", status.edited_at, (to) => {
            const open = () => import("./history.js").then(({ history }) => history(status.id));
            to.replaceChildren(...(status.edited_at ? [element(html`<button type="button" class="small quiet" @click=${open}>${w.edited(ago(status.edited_at))}</button>`)] : []));
        });
        if (this.#spots.counts) this.#spot("counts", [status.reblogs_count, status.favourites_count, status.quotes_count], (to) => to.replaceChildren(this.#counts(status)));
        /** @type {any} */ (this.#spots.actions?.firstElementChild)?.patch?.(status);
    }

    /** @param {string} name @param {unknown} what @param {(to: HTMLElement) => void} draw */
    #spot(name, what, draw) {
        const text = JSON.stringify(what) ?? "";
        if (this.#drawn[name] === text) return;
        const first = !(name in this.#drawn);
        const to = this.#spots[name];
        if (!first && name !== "poll" && to.contains(document.activeElement)) return;
        this.#drawn[name] = text;
        draw(to);
    }

    /** @param {Status} status */
    #counts(status) {
        const part = (/** @type {number} */ n, /** @type {(n: number) => string} */ words, /** @type {string} */ name) => n > 0 && html`<a href=${`${placeOf(status)}?part=${name}`}>${words(n)}</a>`;
        return fragment(html`${part(status.reblogs_count, w.reposts, "reposts")}${part(status.quotes_count ?? 0, w.quotesOf, "quotes")}${part(status.favourites_count, w.likesOf, "likes")}`);
    }

    /** @param {MouseEvent} event */
    #click(event) {
        const at = /** @type {Element} */ (event.target);
        if (event.defaultPrevented || this.context === "opened" || at.closest("a, button, input, label, video, audio, summary, dialog, .rk-media") || getSelection()?.toString()) return;
        event.stopPropagation();
        navigate(placeOf(this.shown));
    }

    open() {
        navigate(placeOf(this.shown));
    }
}
customElements.define("rk-status", StatusElement);

/** @param {Status} status @param {{context?: Context}} [how] @returns {StatusElement} */
export function statusElement(status, { context = "feed" } = {}) {
    const made = /** @type {StatusElement} */ (document.createElement("rk-status"));
    made.status = status;
    made.context = context;
    return made;
}
