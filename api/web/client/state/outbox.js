/*
 * The outbox: what becomes of one sending, from the tap on "Post" until there is an answer.
 *
 *     waiting --begin--> sending --posted--> gone
 *        ^                  |------ refused --> refused (the text is the writer's again; another key)
 *        |--- no answer ----|------ signed out -> held (until somebody signs in again)
 *        '--- restart ------'          begin: uploads first, then `leaving`, then the request
 *     waiting, tried a day ago without an answer -> unsure (the writer decides)
 *
 * Rules of this file
 * - Pure: no clock, no randomness, no storage, no network. Every function returns another sending.
 * - Key and body stay as they are from the first attempt until there is an answer: the server knows a key for a day, and
 *   answers it with the post that it made. Only a refusal (4xx) ends that. To sign in, to wait, to be slow are none.
 * - `tried` stands in storage before the request leaves; so a page that died in between knows that there may be a post.
 * - What may have been posted is never sent under another key but by the writer, who is told so.
 */

/**
 * @typedef {"waiting" | "sending" | "held" | "refused" | "unsure"} State
 * @typedef {object} Sending
 * @property {string} id the draft's
 * @property {string} account whose it is
 * @property {string} key Idempotency-Key
 * @property {Record<string, any>} body what is sent, word for word; media_ids come with the first attempt
 * @property {string} edits the id of the post that it changes, "" for a new one
 * @property {State} state
 * @property {number} attempts since it was put in
 * @property {number} tried when it was sent first, 0: never
 * @property {number} next when it is to be sent again
 * @property {boolean} doubt whether an attempt had no answer
 * @property {string} message why not, in the server's words
 * @property {number} at when it was put in: those put in first are sent first
 */

/** @typedef {import("../net/api.js").Answer} Answer */

/** The server forgets keys after a day; what was tried earlier than this isn't sent by itself. */
export const SURE_MS = 23 * 3600 * 1000;
const FIRST_MS = 1000;
const LONGEST_MS = 60_000;
const NO_REFUSAL = new Set([401, 408, 425, 429]);

/**
 * @param {{id: string, account: string, key: string, body: Record<string, any>, edits?: string}} draft
 * @param {number} now
 * @returns {Sending}
 */
export function queued({ id, account, key, body, edits = "" }, now) {
    return { id, account, key, body, edits, state: "waiting", attempts: 0, tried: 0, next: now, doubt: false, message: "", at: now };
}

/** Whether it is to be sent now. @param {Sending} sending @param {number} now */
export function isDue(sending, now) {
    return sending.state === "waiting" && sending.next <= now;
}

/** Take up what is to be sent; what is too old to be sure of is laid before the writer. @param {Sending} sending @param {number} now @returns {Sending} */
export function begun(sending, now) {
    if (sending.state !== "waiting") throw new Error(`a sending that is ${sending.state} can't begin`);
    if (sending.tried && now - sending.tried > SURE_MS) return { ...sending, state: "unsure" };
    return { ...sending, state: "sending", attempts: sending.attempts + 1 };
}

/** Its request leaves: to be kept before it does. body: with the media's ids, which stay from now on. @param {Sending} sending @param {Record<string, any>} body @param {number} now @returns {Sending} */
export function leaving(sending, body, now) {
    return sending.tried ? sending : { ...sending, body, tried: now };
}

/**
 * Take an answer in: to the post itself, or a failure of what goes before it (uploads). Returns null for what is posted.
 * @param {Sending} sending @param {Answer} answer @param {number} now @param {number} chance 0 to 1
 * @returns {Sending | null}
 */
export function answered(sending, answer, now, chance) {
    if (sending.state !== "sending") throw new Error(`a sending that is ${sending.state} has no answer`);
    if (answer.ok) return null;
    const { status, message, retryAfterS } = answer;
    if (status === 401) return { ...sending, state: "held", message };
    if (status >= 400 && status < 500 && !NO_REFUSAL.has(status)) {
        return { ...sending, state: "refused", message };
    }
    const usual = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(sending.attempts - 1, 10));
    const wait = Math.max(usual, (retryAfterS ?? 0) * 1000);
    const doubt = sending.doubt || (sending.tried > 0 && status !== 429);
    return { ...sending, state: "waiting", next: now + Math.round(wait * (0.5 + chance)), doubt, message };
}

/** What storage has after a restart: nobody waits for its answer any more. @param {Sending} sending @param {number} now @returns {Sending} */
export function restarted(sending, now) {
    if (sending.state !== "sending") return sending;
    return { ...sending, state: "waiting", next: now, doubt: sending.doubt || sending.tried > 0 };
}

/** The network is back, or somebody wants it now. @param {Sending} sending @param {number} now @returns {Sending} */
export function hurried(sending, now) {
    return sending.state === "waiting" ? { ...sending, next: now } : sending;
}

/** Somebody has signed in again. @param {Sending} sending @param {number} now @returns {Sending} */
export function released(sending, now) {
    return sending.state === "held" ? { ...sending, state: "waiting", next: now } : sending;
}

/** The writer wants it sent again, after a refusal or a day: a new key, as the old one is known or forgotten. @param {Sending} sending @param {string} key @param {number} now @returns {Sending} */
export function again(sending, key, now) {
    if (sending.state !== "refused" && sending.state !== "unsure") return hurried(sending, now);
    return { ...sending, state: "waiting", key, attempts: 0, tried: 0, doubt: false, next: now, message: "" };
}

/** Whether it may be a post already, so that giving it up has to be asked. @param {Sending} sending */
export function maybePosted(sending) {
    return sending.state !== "refused" && (sending.doubt || (sending.state === "sending" && sending.tried > 0));
}

/** Of several, when the next is to be sent; Infinity for none. @param {Sending[]} sendings @returns {number} */
export function nextAt(sendings) {
    return Math.min(Infinity, ...sendings.filter((each) => each.state === "waiting").map((each) => each.next));
}
