/*
 * Sending: takes what waits in the outbox to the server, one after the other, until each has an answer.
 *
 *     queue() --> draft + sending in one transaction --> run(): uploads, alt texts, `leaving` kept, the request, its answer kept
 *
 * Rules of this file
 * - `state/outbox.js` decides; here is only what it can't be: clock, chance, storage, network, other tabs.
 * - One tab at a time (Web Locks); where there are none, the key alone sees to it that nothing is posted twice.
 * - The step before a request is kept before the request leaves, and its answer before anybody is told.
 * - A post goes when nothing before it waits for an answer: what one wrote first is posted first.
 */

import {
    again, answered, begun, hurried, isDue, leaving, maybePosted, nextAt, queued, released, restarted,
} from "../state/outbox.js";
import { bodyOf, mediaBody, saidOf } from "../state/drafts.js";
import { api } from "./api.js";
import { clear, read, readAll, resume, write } from "./database.js";
import { session } from "./session.js";
import { cancelUpload, noAnswer, upload } from "./uploads.js";

/** @typedef {import("../state/outbox.js").Sending} Sending */
/** @typedef {import("../state/drafts.js").Draft} Draft */
/** @typedef {import("../state/drafts.js").Medium} Medium */
/** @typedef {import("./api.js").Answer} Answer */

const LOCK = "rookery-outbox";
/** Uploads that no post has go after a day; from this age on they are asked for before they are used. */
const UPLOAD_SURE_MS = 20 * 3600 * 1000;
/** A request without an answer for this long has none. */
const ANSWER_MS = 60_000;
const OTHERS = new BroadcastChannel(LOCK);
/** @type {Set<() => void>} */
const watchers = new Set();
let timer = 0;
let underWay = "";
let abort = new AbortController();

/** @returns {string} */
export function newKey() {
    const words = crypto.getRandomValues(new Uint32Array(4));
    return [...words].map((each) => each.toString(16).padStart(8, "0")).join("");
}

function account() {
    return session.account?.id ?? "";
}

/** Tell this page and the others that something has changed. */
function changed() {
    for (const fn of watchers) fn();
    OTHERS.postMessage("changed");
}

export const outbox = {
    /** Have a draft sent. It is the outbox's from now on. @param {Draft} draft @returns {Promise<void>} */
    async queue(draft) {
        const sending = queued({ ...draft, body: bodyOf(draft) }, Date.now());
        await write([["drafts", draft], ["sendings", sending]]);
        changed();
        void run();
    },
    /** @returns {Promise<Sending[]>} those put in first first */
    async list() {
        const all = await readAll("sendings", account());
        return all.sort((a, b) => a.at - b.at);
    },
    /** Send now what waits. */
    async hurry() {
        await each((sending) => hurried(sending, Date.now()));
        void run();
    },
    /** Send what was refused, or what nobody knows of, once more. @param {string} id */
    async again(id) {
        await each((sending) => (sending.id === id ? again(sending, newKey(), Date.now()) : sending));
        void run();
    },
    /** Give a sending up; its draft stays, under another key. Whether it may be posted is to be asked before. @param {string} id @returns {Promise<Draft | null>} */
    async cancel(id) {
        if (underWay === id) {
            const draft = await read("drafts", id);
            for (const medium of draft?.media ?? []) cancelUpload(medium.local);
            abort.abort();
        }
        return locked(async () => {
            const draft = await read("drafts", id);
            if (!(await read("sendings", id))) return null;
            const free = draft && { ...draft, key: newKey() };
            await write(draft ? [["drafts", free]] : [], [["sendings", id]]);
            changed();
            return free ?? null;
        });
    },
    maybePosted,
    /** A draft has come, or gone. */
    told: changed,
    /** @param {string} id @returns {boolean} whether its request is on its way in this page */
    isUnderWay(id) {
        return underWay === id;
    },
    /** @param {() => void} fn @returns {() => void} */
    onChange(fn) {
        watchers.add(fn);
        return () => watchers.delete(fn);
    },
    /** Begin: once a page. */
    start() {
        OTHERS.onmessage = () => {
            for (const fn of watchers) fn();
            void plan();
        };
        addEventListener("online", () => void outbox.hurry());
        document.addEventListener("visibilitychange", () => document.hidden || void run());
        session.onChange(() => void signedIn());
        void signedIn();
    },
};

/** Who is signed in has what waits for that sent. */
async function signedIn() {
    if (!account()) return;
    resume();
    await each((sending) => released(sending, Date.now()));
    void run();
}

/** Remove drafts and outbox, as signing out does. @returns {Promise<void>} */
export async function forgetAll() {
    clearTimeout(timer);
    await clear();
    changed();
}

/** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
function locked(work) {
    return /** @type {Promise<T>} */ (navigator.locks ? navigator.locks.request(LOCK, work) : work());
}

/** Change those that a rule changes. @param {(sending: Sending) => Sending} rule */
async function each(rule) {
    await locked(async () => {
        const all = await outbox.list();
        const others = all.map(rule).filter((sending, n) => sending !== all[n]);
        if (others.length) await write(others.map((sending) => ["sendings", sending]));
        if (others.length) changed();
    });
}

/** Send everything that is due. */
async function run() {
    if (!session.token()) return;
    await locked(async () => {
        // Whoever holds the lock is the only one who sends: what still says so is of a page that is gone.
        for (const kept of await outbox.list()) {
            const sending = restarted(kept, Date.now());
            if (sending !== kept) await write([["sendings", sending]]);
            if (sending.state !== "waiting") continue;
            if (!isDue(sending, Date.now()) || navigator.onLine === false) break;
            if ((await one(sending))?.state === "waiting") break;
        }
    });
    await plan();
}

/** Come back when the next is due. */
async function plan() {
    const all = await outbox.list();
    // What is being sent is another tab's; if that has died, it is waited for no longer than this.
    const at = all.some((each) => each.state === "sending") ? Date.now() + 15_000 : nextAt(all);
    clearTimeout(timer);
    if (at !== Infinity) timer = setTimeout(() => void run(), Math.min(Math.max(at - Date.now(), 200), 60_000));
}

/** @param {Sending} waiting @returns {Promise<Sending | null>} */
async function one(waiting) {
    let sending = begun(waiting, Date.now());
    underWay = sending.id;
    await write([["sendings", sending]]);
    changed();
    try {
        if (sending.state !== "sending") return sending;
        const draft = await read("drafts", sending.id);
        const failed = sending.tried || !draft ? null : await bringMedia(draft);
        if (!failed) {
            const body = { ...sending.body, ...(draft ? mediaBody(await read("drafts", sending.id)) : {}) };
            sending = leaving(sending, body, Date.now());
            await write([["sendings", sending]]);
        }
        const answer = failed ?? (await posted(sending));
        return await settle(sending, answer);
    } finally {
        underWay = "";
        changed();
    }
}

/** @param {Sending} sending @returns {Promise<Answer>} */
async function posted({ edits, body, key }) {
    abort = new AbortController();
    const late = setTimeout(() => abort.abort(), ANSWER_MS);
    try {
        const options = { key, signal: abort.signal };
        if (edits) return await api.send("PUT", `/api/v1/statuses/${edits}`, body, options);
        return await api.send("POST", "/api/v1/statuses", body, options);
    } catch {
        return noAnswer();
    } finally {
        clearTimeout(late);
    }
}

/** Keep what an answer makes of a sending, then tell of it. @param {Sending} sending @param {Answer} answer */
async function settle(sending, answer) {
    const kept = await read("sendings", sending.id);
    if (answer.ok === false && kept?.key !== sending.key) return kept ?? null; // somebody has decided meanwhile
    const next = answered({ ...sending, doubt: sending.doubt || !!kept?.doubt }, answer, Date.now(), Math.random());
    if (next) {
        const draft = next.state === "refused" ? await read("drafts", next.id) : null;
        const key = newKey();
        const unlocked = next.state === "refused" ? { ...next, key } : next;
        await write([["sendings", unlocked], .../** @type {any} */ (draft ? [["drafts", { ...draft, key }]] : [])]);
        if (next.state === "refused") dispatchEvent(new CustomEvent("rk-refused", { detail: { id: next.id, message: next.message } }));
        return unlocked;
    }
    await removeDraft(sending.id);
    const detail = { status: answer.ok ? answer.body : null, edited: !!sending.edits, scheduled: "scheduled_at" in sending.body };
    dispatchEvent(new CustomEvent("rk-posted", { detail }));
    return null;
}

/** Remove a draft with its files and its sending. @param {string} id */
export async function removeDraft(id) {
    const draft = await read("drafts", id);
    /** @type {[import("./database.js").Store, string][]} */
    const removals = (draft?.media ?? []).map((/** @type {Medium} */ medium) => ["files", medium.local]);
    await write([], [["drafts", id], ["sendings", id], ...removals]);
}

/** Bring what isn't there yet, and say of each what it shows. @param {Draft} draft @returns {Promise<Answer | null>} what failed */
async function bringMedia(draft) {
    for (const medium of draft.media) {
        if (draft.edits && medium.local.startsWith("server-")) continue;
        const failed = await bringOne(draft, medium);
        if (failed) return failed;
    }
    return null;
}

/** @param {Draft} draft @param {Medium} medium @returns {Promise<Answer | null>} */
async function bringOne(draft, medium) {
    const said = saidOf(medium.alt, medium.focus);
    const focus = `${medium.focus.x},${medium.focus.y}`;
    if (medium.id && medium.up && Date.now() - medium.up > UPLOAD_SURE_MS) {
        const known = await api.get(`/api/v1/media/${medium.id}`);
        if (!known.ok && known.status !== 404) return known;
        if (!known.ok) medium.id = "";
    }
    if (!medium.id) {
        const kept = await read("files", medium.local);
        if (!kept) return gone(medium);
        const answer = await upload(medium.local, kept.file, { alt: medium.alt, focus, name: medium.name });
        if (!answer.ok) return answer;
        // An upload that had begun before says what was written then.
        Object.assign(medium, { id: answer.body.id, kind: answer.body.type, up: Date.now(), said: "" });
        if (answer.body.description === medium.alt && !medium.focus.x && !medium.focus.y) medium.said = said;
        await write([["drafts", draft]]);
    }
    if (medium.said === said) return null;
    const answer = await api.send("PUT", `/api/v1/media/${medium.id}`, { description: medium.alt, focus });
    if (!answer.ok) return answer;
    medium.said = said;
    await write([["drafts", draft]]);
    return null;
}

/** @param {Medium} medium @returns {Answer} */
function gone(medium) {
    const message = `${medium.name || "A picture"} isn't on this device any more: take it out, or pick it again.`;
    return /** @type {Answer} */ ({ ok: false, kind: "refused", status: 410, message, requestId: "", retryAfterS: 0 });
}
