/*
 * Notifications, those of one kind about one thing together; who waits to be let through, and whom one lets through.
 *
 * Rules of this file
 * - What one has seen is read: 2 s after a newer one was in view the marker is written, and when the page is hidden.
 *   What was unread when the list was opened keeps its mark until it is opened anew.
 *   One kind alone marks nothing: what is older of another kind wasn't seen.
 * - New ones are counted above the list, never put into view.
 * - `?part=mentions` and the like are kinds; `requests` and `policy` are about whose come at all.
 */

import { plain } from "../base/content.js";
import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { placeOf } from "../parts/account.js";
import { avatar } from "../parts/avatar.js";
import { confirmBox } from "../parts/dialog.js";
import { feed } from "../parts/feed.js";
import { followButton, takeRelationships } from "../parts/follow.js";
import { said, select, tabs } from "../parts/form.js";
import { drop, rows } from "../parts/listed.js";
import { statusElement } from "../parts/status.js";
import { toast } from "../parts/toast.js";
import { unread } from "../parts/unread.js";
import { store } from "../state/store.js";
import { words as w } from "../words/places.js";
import { ago } from "../words/times.js";

const READ_MS = 2000;
const KINDS = /** @type {Record<string, string[]>} */ ({
    all: [], mentions: ["mention", "quote"], follows: ["follow", "follow_request"], likes: ["favourite"],
    reposts: ["reblog"], polls: ["poll"], posts: ["status", "update"],
});

/** @param {{query: Record<string, string>}} where */
export default function screen({ query }) {
    const part = query.part ?? "all";
    const list = document.createElement("div");
    const show = (/** @type {string} */ name) => list.replaceChildren(name === "requests" ? requests() : name === "policy" ? policy() : notices(name));
    const each = [...Object.keys(KINDS), "requests", "policy"].map((name) => ({
        name, label: w.kinds[name], href: name === "all" ? "/notifications" : `/notifications?part=${name}`,
    }));
    show(part);
    return { element: element(html`<div>${tabs(w.kindsOf, each, part, show)}${list}</div>`), title: w.notifications };
}

/** @param {string} kind */
function notices(kind) {
    const made = /** @type {Notices} */ (document.createElement("rk-notices"));
    made.kind = kind;
    return made;
}

class Notices extends HTMLElement {
    kind = "all";
    #last = 0n; // what was read when this was opened
    #seen = 0n;
    #told = 0n;
    #timer = 0;
    #news = 0;
    #watch = new IntersectionObserver((entries) => this.#look(entries), { threshold: 0.5 });
    #pill = element(html`<button type="button" class="rk-news" hidden @click=${() => this.#open()}></button>`);

    async connectedCallback() {
        document.addEventListener("rk-notification", this.#came);
        document.addEventListener("visibilitychange", this.#hidden);
        const marker = await api.get("/api/v1/markers", { "timeline[]": ["notifications"] });
        this.#last = this.#seen = this.#told = BigInt((marker.ok && marker.body.notifications?.last_read_id) || 0);
        if (this.isConnected) this.#open();
    }

    disconnectedCallback() {
        document.removeEventListener("rk-notification", this.#came);
        document.removeEventListener("visibilitychange", this.#hidden);
        this.#watch.disconnect();
        this.#write(false);
    }

    #open() {
        this.#news = 0;
        this.#last = this.#seen;
        this.#pill.hidden = true;
        this.#watch.disconnect();
        const types = KINDS[this.kind] ?? [];
        const list = feed({
            key: `notifications ${this.kind}`, idOf: (group) => group.group_key, make: (group) => this.#row(group),
            load: async (query) => grouped(await api.get("/api/v2/notifications", { ...query, ...(types.length && { "types[]": types }) })),
            empty: () => said(w.noNotices, html`<a href="/explore">${w.explore}</a>`),
        });
        const clear = html`<p class="rk-buttons"><button type="button" class="quiet" @click=${() => this.#clear()}>${w.clearAll}</button></p>`;
        this.replaceChildren(this.#pill, list, element(clear));
    }

    async #clear() {
        if (!(await confirmBox({ title: w.clearAll, text: w.clearText, yes: w.clearAll, danger: true }))) return;
        const answer = await api.send("POST", "/api/v1/notifications/clear");
        if (!answer.ok) return toast(answer.message);
        this.#open();
        unread.read(String(this.#seen));
    }

    /** @param {any} group */
    #row(group) {
        const row = noticeElement(group, () => drop(group.group_key));
        const id = BigInt(group.most_recent_notification_id);
        if (id > this.#last) row.classList.add("unread");
        row.dataset.notice = String(id);
        this.#watch.observe(row);
        return row;
    }

    /** @param {IntersectionObserverEntry[]} entries */
    #look(entries) {
        if (document.hidden || this.kind !== "all") return; // of one kind, others may be older and unread
        for (const { isIntersecting, target } of entries) {
            const id = BigInt(/** @type {HTMLElement} */ (target).dataset.notice ?? 0);
            if (isIntersecting && id > this.#seen) this.#seen = id;
        }
        if (this.#seen > this.#told) this.#timer ||= setTimeout(() => this.#write(false), READ_MS);
    }

    /** @param {boolean} leaving */
    #write(leaving) {
        clearTimeout(this.#timer);
        this.#timer = 0;
        if (this.#seen <= this.#told) return;
        this.#told = this.#seen;
        unread.read(String(this.#seen), leaving);
    }

    #hidden = () => document.hidden && this.#write(true);

    /** @param {Event} event */
    #came = (event) => {
        const types = KINDS[this.kind] ?? [];
        if (types.length && !types.includes(/** @type {CustomEvent} */ (event).detail.type)) return;
        this.#news += 1;
        this.#pill.hidden = false;
        this.#pill.textContent = w.newNotices(this.#news);
    };
}
customElements.define("rk-notices", Notices);

/** @param {any} answer of groups: with their accounts and statuses inside */
function grouped(answer) {
    if (!answer.ok) return answer;
    const { accounts, statuses, notification_groups: groups } = answer.body;
    store.takeAccounts(accounts);
    store.takeStatuses(statuses);
    const people = new Map(accounts.map((/** @type {any} */ each) => [each.id, each]));
    const posts = new Map(statuses.map((/** @type {any} */ each) => [each.id, each]));
    const body = groups.map((/** @type {any} */ group) => ({
        ...group, accounts: group.sample_account_ids.map((/** @type {string} */ id) => people.get(id)), status: posts.get(group.status_id),
    }));
    return { ...answer, body };
}

/** @param {any} group @param {() => void} gone @returns {HTMLElement} */
function noticeElement(group, gone) {
    const { type, accounts, status, notifications_count: count } = group;
    const [first] = accounts;
    const who = accounts.slice(0, 2).map((/** @type {any} */ each, /** @type {number} */ at) => html`${at > 0 && ", "}<a href=${placeOf(each)}><bdi>${each.display_name || each.username}</bdi></a>`);
    const others = count - Math.min(accounts.length, 2);
    const full = type === "mention" || type === "quote" || type === "status" || type === "update";
    const dismiss = async () => {
        const answer = await api.send("POST", `/api/v2/notifications/${group.group_key}/dismiss`);
        if (answer.ok) gone();
        else toast(answer.message);
    };
    const snippet = () => {
        const text = (status.spoiler_text || plain(status.content)).slice(0, 200) || w.aPost;
        return html`<a class="post" href=${`${placeOf(status.account)}/${status.id}`} dir="auto" lang=${status.language}>${text}</a>`;
    };
    const asks = type === "follow_request" && html`<p class="rk-buttons">${answers(first, gone)}</p>`;
    return element(
        html`<article class=${`rk-notice ${type}`} tabindex="0" aria-label=${w.noticePlain(type, first.display_name || first.username, others)}>
            <p class="said"><span class="faces">${accounts.slice(0, 6).map((/** @type {any} */ each) => avatar(each, { size: "small" }))}</span>
                <span>${who}${others > 0 && w.andOthers(others)} ${w.did[type] ?? w.did.other} <time datetime=${group.latest_page_notification_at}>${ago(group.latest_page_notification_at)}</time></span>
                <button type="button" class="quiet" aria-label=${w.dismiss} @click=${dismiss}>×</button></p>
            ${status && (full ? statusElement(status) : snippet())}
            ${type === "follow" && count === 1 && followButton(first)}
            ${asks}
        </article>`,
    );
}

/** The two answers to who wants to follow. @param {any} account @param {() => void} done */
export function answers(account, done) {
    /** @param {string} what */
    const answer = async (what) => {
        const answer = await api.send("POST", `/api/v1/follow_requests/${account.id}/${what}`);
        if (!answer.ok) return toast(answer.message);
        takeRelationships([answer.body]);
        done();
    };
    return html`<button type="button" class="primary" @click=${() => answer("authorize")}>${w.allow}</button><button type="button" @click=${() => answer("reject")}>${w.deny}</button>`;
}

function requests() {
    const path = "/api/v1/notifications/requests";
    return rows(path, w.noRequests, (item, gone) => {
        /** @param {string} what */
        const answer = async (what) => {
            const answer = await api.send("POST", `${path}/${item.id}/${what}`);
            if (!answer.ok) return toast(answer.message);
            gone();
            toast(what === "accept" ? w.letThrough(item.account.acct) : w.dropped);
        };
        const action = element(html`<span class="rk-buttons"><button type="button" class="primary" @click=${() => answer("accept")}>${w.allow}</button><button type="button" @click=${() => answer("dismiss")}>${w.deny}</button></span>`);
        return { action, note: w.waiting(Number(item.notifications_count)) };
    });
}

/** Whose notifications come, wait, or are dropped. */
function policy() {
    const box = element(html`<div class="rk-form"><p>${w.policyText}</p></div>`);
    const path = "/api/v2/notifications/policy";
    api.get(path).then((answer) => {
        if (!answer.ok) return box.append(element(said(answer.message)));
        const verdicts = ["accept", "filter", "drop"].map((value) => ({ value, label: w.verdicts[value] }));
        for (const [name, label] of Object.entries(w.policies)) {
            const put = async (/** @type {string} */ verdict) => {
                const put = await api.send("PATCH", path, { [name]: verdict });
                toast(put.ok ? w.kept : put.message);
            };
            box.append(element(select(label, name, verdicts, answer.body[name], put)));
        }
    });
    return box;
}
