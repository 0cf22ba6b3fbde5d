/*
 * Home: what those one follows say, from where one has stopped; for nobody, what everybody may read (`public.js`).
 *
 *     marker, newest page, at once --> where one stopped --> written 2 s after scrolling ends, and when the page is hidden
 */

import { element, html } from "../base/html.js";
import { settings } from "../base/settings.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { feed } from "../parts/feed.js";
import { statusElement } from "../parts/status.js";
import { store } from "../state/store.js";
import { compare } from "../state/timeline.js";
import { words as w } from "../words/reading.js";
import publicScreen from "./public.js";

const WRITE_MS = 2000;
const KEPT = 40;

/** @param {import("../routes.js").Where} where @returns {import("../routes.js").Screen} */
export default function screen(where) {
    return session.account ? home() : publicScreen(where);
}

/** Writes how far one has read, never backwards. */
function marking() {
    let known = "";
    let wanted = "";
    let timer = 0;
    const write = (/** @type {boolean} */ leaving) => {
        clearTimeout(timer);
        timer = 0;
        if (!wanted || (known && compare(wanted, known) <= 0)) return;
        known = wanted;
        void api.send("POST", "/api/v1/markers", { home: { last_read_id: wanted } }, { keepalive: leaving });
    };
    return {
        async read() {
            if (settings.get("start") === "newest") return null;
            const answer = await api.get("/api/v1/markers", { "timeline[]": ["home"] });
            known = (answer.ok && answer.body.home?.last_read_id) || "";
            return known || null;
        },
        seen(/** @type {string} */ id) {
            if (!wanted || compare(id, wanted) > 0) wanted = id;
            clearTimeout(timer);
            timer = setTimeout(write, WRITE_MS, false);
        },
        leave: () => write(true),
    };
}

/** @returns {import("../routes.js").Screen} */
function home() {
    const marker = marking();
    const { account } = session;
    const list = feed({
        key: `home ${account.id}`, label: w.home, load: (query) => api.get("/api/v1/timelines/home", query), idOf: (item) => item.id,
        make: (item) => statusElement(item), empty: nobody, stream: { stream: "user" }, from: marker.read, seen: marker.seen, keepsPosition: true,
        loaded: keep, kept: async () => {
            const kept = await (await import("../net/database.js")).read("kept", "home");
            return kept?.account === account.id ? { items: kept.items, at: kept.at } : null;
        },
        end: () => w.endAt,
    });
    const posted = (/** @type {Event} */ event) => {
        const { status, edited, scheduled } = /** @type {CustomEvent} */ (event).detail;
        if (!status || scheduled) return;
        if (edited) store.takeStatuses([status]);
        else list.put(status);
    };
    const hidden = () => document.hidden && marker.leave();
    addEventListener("rk-posted", posted);
    document.addEventListener("visibilitychange", hidden);
    return {
        element: list, title: w.home,
        leave() {
            removeEventListener("rk-posted", posted);
            document.removeEventListener("visibilitychange", hidden);
            marker.leave();
        },
    };
}

/** The newest stay on the device, for a start without a network. @param {any[]} items */
function keep(items) {
    if (!settings.get("keep") || !items.length) return;
    setTimeout(async () => {
        const { write } = await import("../net/database.js");
        const { account } = session;
        if (account) await write([["kept", { name: "home", account: account.id, at: Date.now(), items: items.slice(0, KEPT) }]]);
    }, WRITE_MS);
}

/** You follow nobody yet: some to begin with. */
function nobody() {
    const place = element(html`<div class="rk-some"></div>`);
    void (async () => {
        const [answer, { accountRow }] = await Promise.all([api.get("/api/v2/suggestions", { limit: 5 }), import("../parts/account.js")]);
        if (!answer.ok || !answer.body.length) return;
        place.append(element(html`<div><h2>${w.someToFollow}</h2>${answer.body.map((/** @type {any} */ each) => accountRow(each.account))}</div>`));
    })();
    return html`<p>${w.homeEmpty}</p><p><a class="button" href="/explore">${w.explore}</a></p>${place}`;
}
