/*
 * What happens while one looks: one WebSocket a tab, on which every list subscribes to what it shows.
 *
 *     subscribe({stream}, listener) --> one subscription a channel, since its cursor --> event, recovered, state
 *
 * Rules of this file
 * - A channel's cursor goes with each frame; whoever comes back says it, and is told what was missed, or `recovered`.
 * - `state("live")` comes with the first cursor: from then on nothing is missed, so a list looks once what came before.
 * - Hidden for HIDDEN_MS: closed, and resumed when shown. No frame for SILENT_MS, or a clock that jumped: broken.
 * - Back after 1 to 30 s with chance; at once when the network is. More than TABS_MAX tabs: lists ask every ASK_MS.
 */

import { session } from "./session.js";

const HIDDEN_MS = 300_000;
const SILENT_MS = 60_000;
const TICK_MS = 5000;
const JUMP_MS = 30_000;
const WAIT_MS = [1000, 30_000];
const ASK_MS = 30_000;
const TABS_MAX = 16;

/** @typedef {{stream: string, tag?: string, list?: string}} Channel */
/** @typedef {{event?: (event: {event: string, payload: any}) => void, recovered?: () => void, state?: (state: "live" | "away") => void}} Listener */
/** @typedef {{channel: Channel, since: string, live: boolean, listeners: Set<Listener>}} Kept */

/** @type {Map<string, Kept>} */
const channels = new Map();
/** @type {WebSocket | null} */
let socket = null;
let failures = 0;
let retry = 0;
let heard = 0; // when a frame came last
let ticked = 0;
let hiddenAt = 0;
let asking = false;
let ticking = 0;
/** @type {Promise<boolean> | null} */
let place = null;

/** @param {string[]} said @returns {string} */
const keyOf = (said) => said.join(" ").toLowerCase();

/** @param {Channel} channel */
const labelOf = ({ stream, tag, list }) => keyOf([stream, tag ?? list ?? ""].filter(Boolean));

/** One of TABS_MAX places, for as long as the page is open. @returns {Promise<boolean>} */
function takePlace() {
    place ??= (async () => {
        if (!navigator.locks) return true;
        for (let at = 0; at < TABS_MAX; at += 1) {
            const got = await new Promise((say) => {
                void navigator.locks.request(`rookery-stream-${at}`, { ifAvailable: true }, (lock) => {
                    say(Boolean(lock));
                    return lock ? new Promise(() => {}) : undefined;
                });
            });
            if (got) return true;
        }
        return false;
    })();
    return place;
}

/** @param {Kept} kept @param {"live" | "away"} state */
function tellState(kept, state) {
    kept.live = state === "live";
    for (const each of [...kept.listeners]) each.state?.(state);
}

/** @param {Kept} kept @param {"subscribe" | "unsubscribe"} type */
function say(kept, type) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type, ...kept.channel, ...(type === "subscribe" && { since: kept.since }) }));
}

/** @param {string} text */
function take(text) {
    heard = Date.now();
    let said;
    try {
        said = JSON.parse(text);
    } catch {
        return;
    }
    const kept = channels.get(keyOf(said.stream ?? []));
    if (!kept) return;
    if (said.id) kept.since = said.id;
    if (said.id && !kept.live) tellState(kept, "live");
    if (said.event === "heartbeat") return;
    if (said.event === "recovered") {
        if (said.payload === "false" || said.payload === false) for (const each of [...kept.listeners]) each.recovered?.();
        return;
    }
    let payload = said.payload;
    if (said.event !== "delete" && typeof payload === "string") {
        try {
            payload = JSON.parse(payload);
        } catch {
            return;
        }
    }
    for (const each of [...kept.listeners]) each.event?.({ event: said.event, payload });
}

function drop() {
    const old = socket;
    socket = null;
    clearTimeout(retry);
    retry = 0;
    if (old) {
        old.onopen = old.onclose = old.onmessage = null;
        old.close();
        for (const kept of channels.values()) tellState(kept, "away");
    }
}

async function open() {
    if (socket || retry || !channels.size || hiddenAt || (document.hidden && failures)) return;
    if (!(await takePlace())) {
        asking = true;
        return;
    }
    if (socket || !channels.size) return;
    const token = session.token();
    const made = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/v1/streaming`, token ? [token] : []);
    socket = made;
    heard = Date.now();
    made.onopen = () => {
        failures = 0;
        for (const kept of channels.values()) say(kept, "subscribe");
    };
    made.onmessage = (event) => take(String(event.data));
    made.onclose = () => {
        drop();
        again();
    };
}

function again() {
    const [least, most] = WAIT_MS;
    failures += 1;
    retry = setTimeout(() => {
        retry = 0;
        void open();
    }, Math.min(most, least * 2 ** (failures - 1)) * (0.5 + Math.random() / 2));
}

function now() {
    drop();
    void open();
}

let asked = 0;

/** Once in TICK_MS: is it alive, has the clock jumped, was the page hidden for long? */
function tick() {
    const at = Date.now();
    if (document.hidden) {
        if (socket && at - ticked > JUMP_MS) drop();
        if (!hiddenAt && at - shownAt > HIDDEN_MS) {
            hiddenAt = at;
            drop();
        }
    } else {
        shownAt = at;
        if (socket && (at - heard > SILENT_MS || at - ticked > JUMP_MS)) now();
        if (asking && at - asked > ASK_MS) {
            asked = at;
            for (const kept of channels.values()) for (const each of [...kept.listeners]) each.recovered?.();
        }
    }
    ticked = at;
}

let shownAt = Date.now();
addEventListener("online", now);
document.addEventListener("visibilitychange", () => {
    shownAt = Date.now();
    if (document.hidden) return;
    hiddenAt = 0;
    if (socket && Date.now() - heard > SILENT_MS) drop();
    void open();
});
session.onChange(() => {
    for (const kept of channels.values()) kept.since = "";
    now();
});

export const stream = Object.freeze({
    /** @param {Channel} channel @param {Listener} listener @returns {() => void} what ends it */
    subscribe(channel, listener) {
        const key = labelOf(channel);
        const kept = channels.get(key) ?? { channel, since: "", live: false, listeners: new Set() };
        if (!channels.has(key)) {
            channels.set(key, kept);
            say(kept, "subscribe");
        } else if (kept.live) queueMicrotask(() => kept.listeners.has(listener) && listener.state?.("live"));
        kept.listeners.add(listener);
        if (!ticking) {
            ticked = Date.now();
            ticking = setInterval(tick, TICK_MS);
        }
        void open();
        return () => {
            kept.listeners.delete(listener);
            if (kept.listeners.size || channels.get(key) !== kept) return;
            say(kept, "unsubscribe");
            channels.delete(key);
        };
    },
});
