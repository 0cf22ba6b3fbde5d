/*
 * A profile: who it is, what one can do about it, what it has said.
 *
 * Rules of this file
 * - The header stays while parts change (posts, replies, media, likes); the address says which is shown.
 * - What everybody may know is shown to everybody; a relationship is shown as soon as it is known, and watched.
 * - A note of one's own about an account is sent when its field is left.
 */

import { content } from "../base/content.js";
import { element, fragment, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { names, placeOf } from "../parts/account.js";
import { avatar } from "../parts/avatar.js";
import { followButton, relationship, watchRelationship } from "../parts/follow.js";
import { said, tabs } from "../parts/form.js";
import { people, posts } from "../parts/listed.js";
import { menu } from "../parts/menu.js";
import { statusElement } from "../parts/status.js";
import { toast } from "../parts/toast.js";
import { store } from "../state/store.js";
import { words as w } from "../words/places.js";
import { day, number } from "../words/times.js";

/** @param {{params: Record<string, string>, query: Record<string, string>}} where */
export default function screen({ params, query }) {
    const acct = params.name;
    const profile = /** @type {Profile} */ (document.createElement("rk-profile"));
    profile.acct = acct;
    profile.opened = query.part ?? "posts";
    return { element: profile, title: `@${acct}` };
}

class Profile extends HTMLElement {
    acct = "";
    opened = "posts";
    /** @type {any} */ #account;
    #abort = new AbortController();
    /** @type {(() => void)[]} */ #stops = [];
    #list = document.createElement("div");

    connectedCallback() {
        this.#load();
    }

    disconnectedCallback() {
        this.#abort.abort();
        for (const stop of this.#stops.splice(0)) stop();
    }

    async #load() {
        this.ariaBusy = "true";
        try {
            const answer = await api.get("/api/v1/accounts/lookup", { acct: this.acct }, { signal: this.#abort.signal });
            if (!answer.ok) {
                const retry = html`<button type="button" @click=${() => this.#load()}>${w.retry}</button>`;
                const gone = answer.kind === "missing";
                return this.replaceChildren(element(html`<div role="alert">${said(gone ? w.noSuchAccount(this.acct) : answer.message, gone ? html`<a href="/search">${w.search}</a>` : retry)}</div>`));
            }
            this.#account = answer.body;
            store.takeAccounts([answer.body]);
            this.#draw();
        } catch (error) {
            if (!this.#abort.signal.aborted) throw error;
        } finally {
            this.ariaBusy = null;
        }
    }

    #draw() {
        const account = this.#account;
        const own = session.account?.id === account.id;
        const base = placeOf(account);
        const shown = ["posts", "replies", "media", ...(own ? ["likes"] : []), "followers", "following"];
        const counts = /** @type {Record<string, number>} */ ({ posts: account.statuses_count, followers: account.followers_count, following: account.following_count });
        const each = shown.map((name) => ({
            name, href: name === "posts" ? base : `${base}?part=${name}`,
            label: name in counts ? `${w.parts[name]} ${number(counts[name])}` : w.parts[name],
        }));
        const show = (/** @type {string} */ part) => this.#show(part);
        this.replaceChildren(this.#header(own), tabs(w.partsOf(account.acct), each, this.opened, show), this.#list);
        this.#show(this.opened);
    }

    /** @param {boolean} own */
    #header(own) {
        const account = this.#account;
        const ownAddress = (/** @type {string} */ url) => url && !url.endsWith("/missing.png");
        const more = /** @type {HTMLButtonElement} */ (element(html`<button type="button" class="quiet" aria-label=${w.moreOf(account.acct)}>⋯</button>`));
        if (session.account && !own) menu(more, () => choicesFor(account));
        const state = element(html`<p class="state" aria-live="polite"></p>`);
        const note = /** @type {HTMLDetailsElement} */ (element(html`<details class="rk-help" hidden><summary>${w.ownNote}</summary><div class="rk-field"><textarea rows="2" maxlength="2000" dir="auto" aria-label=${w.ownNote}></textarea></div></details>`));
        const text = /** @type {HTMLTextAreaElement} */ (note.querySelector("textarea"));
        text.onchange = () => this.#keepNote(text.value);
        if (session.account && !own) {
            this.#stops.push(
                watchRelationship(account.id, (to) => {
                    state.textContent = stateOf(to);
                    if (note.hidden) note.open = !!to.note;
                    note.hidden = false;
                    if (document.activeElement !== text) text.value = to.note;
                }),
            );
        }
        const fields = account.fields.map((/** @type {any} */ field) => html`<div><dt dir="auto">${field.name}</dt><dd dir="auto">${content(field.value)}</dd></div>`);
        return element(
            html`<header class="rk-header">
                ${ownAddress(account.header) ? html`<img class="cover" src=${account.header} alt="" width="1500" height="500">` : html`<div class="cover"></div>`}
                <div class="line">${avatar(account, { size: "large" })}<div class="buttons">${own ? html`<a class="button" href="/settings?part=profile">${w.editProfile}</a>` : followButton(account)}${session.account && !own && more}</div></div>
                <p class="who">${names(account)}${account.locked && html` <span class="mark">${w.locked}</span>`}${account.bot && html` <span class="mark">${w.bot}</span>`}</p>
                ${state}
                <div class="bio" dir="auto">${content(account.note)}</div>
                ${fields.length > 0 && html`<dl>${fields}</dl>`}
                <p class="since">${w.joined(day(account.created_at))}</p>
                ${note}
            </header>`,
        );
    }

    /** @param {string} comment */
    async #keepNote(comment) {
        const answer = await api.send("POST", `/api/v1/accounts/${this.#account.id}/note`, { comment });
        toast(answer.ok ? w.noteKept : answer.message);
    }

    /** @param {string} part */
    #show(part) {
        const { id, acct } = this.#account;
        const isPeople = part === "followers" || part === "following";
        const path = part === "likes" ? "/api/v1/favourites" : `/api/v1/accounts/${id}/${isPeople ? part : "statuses"}`;
        const query = part === "media" ? { only_media: true } : part === "posts" ? { exclude_replies: true } : {};
        const nothing = isPeople && this.#account.hide_collections ? w.hidesThese(acct) : w.emptyParts[part] ?? w.nothingYet;
        const list = (isPeople ? people : posts)(path, nothing, { query });
        this.#list.replaceChildren(...(part === "posts" ? [this.#pinned()] : []), list);
    }

    #pinned() {
        const box = document.createElement("div");
        api.get(`/api/v1/accounts/${this.#account.id}/statuses`, { pinned: "true" }, { signal: this.#abort.signal }).then(
            (answer) => {
                if (!answer.ok || !answer.body.length) return;
                store.takeStatuses(answer.body);
                box.append(fragment(html`<section class="rk-pinned"><h2>${w.pinned}</h2>${answer.body.map((/** @type {any} */ each) => statusElement(each))}</section>`));
            },
            () => {},
        );
        return box;
    }
}
customElements.define("rk-profile", Profile);

/** @param {any} to @returns {string} how one stands, in words; nothing where there is nothing to say */
function stateOf(to) {
    const said = [
        to.blocked_by && w.blocksYou, to.blocking && w.youBlock, to.muting && (to.muting_expires_at ? w.mutedUntil(day(to.muting_expires_at)) : w.youMute),
        to.requested && w.youAsked, to.followed_by && w.followsYou, to.requested_by && w.asksYou,
    ];
    return said.filter(Boolean).join(" · ");
}

/** What the menu of an account offers, as one stands to it now. @param {any} account */
function choicesFor(account) {
    const to = relationship(account.id) ?? {};
    const later = () => import("../parts/relations.js");
    const item = (/** @type {string} */ label, /** @type {(part: typeof import("../parts/relations.js")) => unknown} */ act, danger = false) => ({
        label, danger, act: async () => act(await later()),
    });
    return [
        item(w.mention, (part) => part.mention(account)),
        ...(to.following
            ? [
                  item(to.notifying ? w.bellOff : w.bellOn, (part) => part.bell(account, !to.notifying)),
                  item(to.showing_reblogs ? w.repostsOff : w.repostsOn, (part) => part.reposts(account, !to.showing_reblogs)),
                  item(w.onLists, (part) => part.lists(account)),
                  item(to.endorsed ? w.endorseNot : w.endorse, (part) => part.endorse(account, !to.endorsed)),
              ]
            : []),
        ...(to.followed_by ? [item(w.removeFollower, (part) => part.removeFollower(account))] : []),
        item(w.copyLink, (part) => part.copyLink(account)),
        to.muting ? item(w.unmute, (part) => part.unmute(account)) : item(w.muteMore, (part) => part.mute(account)),
        to.blocking ? item(w.unblock, (part) => part.unblock(account)) : item(w.block, (part) => part.block(account), true),
        item(w.reportMore, (part) => part.report(account), true),
    ];
}
