/*
 * How many notifications are unread, the same in all tabs and on all devices.
 *
 *     stream says something happened, a tab has read, the page is shown again --> asked anew --> told to watchers
 *
 * Rules of this file
 * - The server's marker is the one truth: the count is always asked for, at most once in ASK_MS, never reckoned.
 * - A tab that writes the marker tells the others (BroadcastChannel); other devices hear of it when they look again.
 * - Pop-ups, if somebody wants them, come while the page is hidden; a tag makes several tabs show one.
 */

import { plain } from "../base/content.js";
import { settings } from "../base/settings.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { stream } from "../net/stream.js";

const ASK_MS = 1000;
const channel = new BroadcastChannel("rookery-unread");
/** @type {Set<(count: number) => void>} */
const watchers = new Set();
let count = 0;
let timer = 0;
let isStarted = false;
/** @type {(() => void) | null} */
let stop = null;

function ask() {
    timer ||= setTimeout(async () => {
        timer = 0;
        if (!session.account) return tell(0);
        const answer = await api.get("/api/v2/notifications/unread_count");
        if (answer.ok) tell(answer.body.count);
    }, ASK_MS);
}

/** @param {number} now */
function tell(now) {
    count = now;
    for (const watcher of [...watchers]) watcher(now);
}

/** @param {any} event */
function happened(event) {
    if (event.event !== "notification") return;
    ask();
    document.dispatchEvent(new CustomEvent("rk-notification", { detail: event.payload }));
    popUp(event.payload);
}

/** @param {any} notice */
async function popUp(notice) {
    if (!settings.get("popups") || !document.hidden || globalThis.Notification?.permission !== "granted") return;
    const { words: w } = await import("../words/places.js");
    const name = notice.account.display_name || notice.account.username;
    const text = plain(notice.status?.content ?? "");
    const shown = new Notification(w.noticePlain(notice.type, name), { body: text.slice(0, 200), tag: notice.id });
    shown.onclick = () => {
        focus();
        shown.close();
    };
}

function begin() {
    stop?.();
    stop = session.account ? stream.subscribe({ stream: "user" }, { event: happened, recovered: ask, state: () => {} }) : null;
    clearTimeout(timer);
    timer = 0;
    ask();
}

channel.onmessage = (/** @type {MessageEvent} */ event) => (typeof event.data === "number" ? tell(event.data) : ask());

export const unread = Object.freeze({
    /** Begin to look; once a page. */
    start() {
        if (isStarted) return;
        isStarted = true;
        begin();
        session.onChange(begin);
        document.addEventListener("visibilitychange", () => document.hidden || ask());
        navigator.serviceWorker?.addEventListener("message", ask); // something was pushed
    },
    /** @param {(count: number) => void} watcher @returns {() => void} */
    watch(watcher) {
        watchers.add(watcher);
        watcher(count);
        return () => watchers.delete(watcher);
    },
    /** Say up to where one has read. @param {string} id @param {boolean} [leaving] whether the page is about to go */
    async read(id, leaving = false) {
        const body = { notifications: { last_read_id: id } };
        const answer = await api.send("POST", "/api/v1/markers", body, { keepalive: leaving });
        if (!answer.ok || leaving) return channel.postMessage("ask");
        const now = await api.get("/api/v2/notifications/unread_count");
        if (!now.ok) return;
        tell(now.body.count);
        channel.postMessage(now.body.count);
    },
});
