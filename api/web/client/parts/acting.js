/*
 * What is done with a post: answer, repost, like, bookmark, and the menu of the rest.
 *
 * Rules of this file
 * - An action shows at once and is taken back, with a toast, if it is refused; the last press wins.
 * - A button says what pressing it does, and by aria-pressed what is; its count stands beside it.
 * - What is rarely needed is loaded when it is.
 */

import { icon } from "../base/dom.js";
import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { store } from "../state/store.js";
import { words as w } from "../words/reading.js";
import { number } from "../words/times.js";
import { menu } from "./menu.js";
import { toast } from "./toast.js";

/** @typedef {Record<string, any>} Status */
/** @typedef {import("./status.js").StatusElement} StatusElement */
/** @typedef {{flag: string, on: string, off: string, count?: string}} Act */

/** @type {Record<string, Act>} */
const ACTS = {
    like: { flag: "favourited", on: "favourite", off: "unfavourite", count: "favourites_count" },
    repost: { flag: "reblogged", on: "reblog", off: "unreblog", count: "reblogs_count" },
    bookmark: { flag: "bookmarked", on: "bookmark", off: "unbookmark" },
};

/** @returns {boolean} whether somebody is signed in; says so if not */
function allowed() {
    if (session.account) return true;
    toast(w.signInFirst, session.canSignIn ? { label: w.signIn, action: () => void session.signIn() } : {});
    return false;
}

/** Do it, or take it back. @param {Status} status @param {string} name */
export async function toggle(status, name) {
    if (!allowed()) return;
    const { flag, on, off, count } = ACTS[name];
    const known = store.status(status.id) ?? status;
    const to = !known[flag];
    const change = (/** @type {boolean} */ now, /** @type {number} */ by) => {
        const at = store.status(status.id) ?? known;
        store.takeStatuses([{ ...at, [flag]: now, ...(count && { [count]: Math.max(0, at[count] + by) }) }]);
    };
    change(to, to ? 1 : -1);
    const answer = await api.send("POST", `/api/v1/statuses/${status.id}/${to ? on : off}`);
    if (answer.ok) return store.takeStatuses([answer.body.reblog ?? answer.body]);
    change(!to, to ? -1 : 1);
    toast(answer.message);
}

/** @param {"replyTo" | "quote"} how @param {Status} status */
export async function write(how, status) {
    if (!allowed()) return;
    const { compose } = await import("./composer.js");
    compose({ [how]: status });
}

/** @param {Status} status */
const addressOf = (status) => new URL(`/@${status.account.acct}/${status.id}`, location.href).href;

/** @param {Status} status */
export async function copyLink(status) {
    await navigator.clipboard?.writeText(addressOf(status)).then(() => toast(w.copied), () => toast(addressOf(status)));
}

/** @param {Status} status */
function share(status) {
    if (navigator.share) navigator.share({ url: addressOf(status) }).catch(() => {});
    else void copyLink(status);
}

/** The row of buttons. @param {StatusElement} of @returns {HTMLElement} */
export function actions(of) {
    /** @type {Record<string, HTMLElement>} */
    const made = {};
    const button = (/** @type {string} */ name, /** @type {string} */ label, /** @type {() => void} */ act) =>
        (made[name] = element(html`<button type="button" class=${`act ${name}`} aria-label=${label} @click=${act}>${icon(name)}<span class="count"></span></button>`));
    const now = () => of.shown;
    const repost = button("repost", w.repost, () => {});
    menu(repost, () => [
        { label: now().reblogged ? w.unrepost : w.repost, act: () => void toggle(now(), "repost") },
        { label: w.quote, act: () => void write("quote", now()) },
    ]);
    const rest = element(html`<button type="button" class="act" aria-label=${w.moreActions}>${icon("more")}</button>`);
    menu(rest, async () => (await import("./choices.js")).choices(of));
    const row = element(
        html`<div class="rk-acts" role="group">${button("reply", w.reply, () => void write("replyTo", now()))}${repost}${button("like", w.like, () => void toggle(now(), "like"))}${button("bookmark", w.bookmark, () => void toggle(now(), "bookmark"))}<button type="button" class="act" aria-label=${w.share} @click=${() => share(now())}>${icon("share")}</button>${rest}</div>`,
    );
    const patch = (/** @type {Status} */ status) => {
        const set = (/** @type {string} */ name, /** @type {string} */ label, /** @type {number} */ count, /** @type {boolean | undefined} */ on) => {
            const at = made[name];
            const text = count > 0 ? number(count) : "";
            const place = /** @type {HTMLElement} */ (at.querySelector(".count"));
            if (place.textContent !== text) place.textContent = text;
            at.setAttribute("aria-label", count > 0 ? `${label}, ${count.toLocaleString()}` : label);
            if (on !== undefined) at.setAttribute("aria-pressed", String(on));
        };
        set("reply", w.reply, status.replies_count, undefined);
        set("repost", w.repost, status.reblogs_count + (status.quotes_count ?? 0), undefined);
        made.repost.classList.toggle("on", !!status.reblogged);
        set("like", w.like, status.favourites_count, !!status.favourited);
        set("bookmark", w.bookmark, 0, !!status.bookmarked);
        made.repost.toggleAttribute("disabled", status.visibility === "direct");
    };
    return Object.assign(row, { patch });
}
