/*
 * Drafts: what a writer has so far, how it begins (a reply, a quote, an edit, a second attempt), and what is sent of it.
 *
 * Rules of this file
 * - Pure: ids and times are given. A draft is plain data that IndexedDB keeps as it is, files aside (`files` by medium).
 * - A reply is shown to nobody whom the original isn't shown to: it inherits the narrower visibility.
 * - A draft keeps its key until the server refuses what was sent with it.
 */

import { stripped } from "./counting.js";

/**
 * @typedef {"public" | "unlisted" | "private" | "direct"} Visibility
 * @typedef {{x: number, y: number}} Focus
 * @typedef {object} Medium
 * @property {string} local its name on this device
 * @property {string} id the server's, "" until it is there
 * @property {string} kind image, gifv, video, audio or unknown
 * @property {string} name of the file
 * @property {string} preview an address, "" where the file is on this device
 * @property {string} alt
 * @property {Focus} focus
 * @property {string} said what the server knows of alt and focus, "" for nothing
 * @property {number} up when it came to the server, 0: not on this device's watch
 * @property {string} problem why it isn't there, in words
 * @typedef {{options: string[], seconds: number, multiple: boolean, hides: boolean}} Poll
 * @typedef {{id: string, acct: string, text: string}} About
 * @typedef {object} Draft
 * @property {string} id
 * @property {string} account
 * @property {string} key
 * @property {string} text
 * @property {string} warning
 * @property {boolean} warned whether the warning is shown
 * @property {boolean} sensitive
 * @property {Visibility} visibility
 * @property {string} language
 * @property {Medium[]} media
 * @property {Poll | null} poll
 * @property {string} scheduled a local time such as 2026-12-01T08:30, "" for now
 * @property {About | null} replyTo
 * @property {About | null} quote
 * @property {string} edits id of the post that is edited
 * @property {string} origin how it began, to tell whether anything was written since
 * @property {number} at when it was changed last
 */

/** From the widest to the narrowest. @type {Visibility[]} */
export const VISIBILITIES = ["public", "unlisted", "private", "direct"];
/** Seconds that a poll may be open, as the menu offers them. */
export const POLL_SECONDS = [300, 1800, 3600, 21_600, 43_200, 86_400, 259_200, 604_800];

/** @param {Visibility} one @param {Visibility} other @returns {Visibility} */
export function narrower(one, other) {
    return VISIBILITIES[Math.max(VISIBILITIES.indexOf(one), VISIBILITIES.indexOf(other), 0)];
}

/**
 * @param {{id: string, key: string, account: string, now: number, visibility?: Visibility, language?: string, sensitive?: boolean}} given
 * @returns {Draft}
 */
export function newDraft({ id, key, account, now, visibility = "public", language = "", sensitive = false }) {
    return sealed({
        id, key, account, text: "", warning: "", warned: false, sensitive, visibility, language, media: [], poll: null,
        scheduled: "", replyTo: null, quote: null, edits: "", origin: "", at: now,
    });
}

/** Whom a reply speaks to: its author and whom he mentioned, without oneself. @param {any} status @param {string} me @returns {string} */
export function mentionsFor(status, me) {
    const names = [status.account.acct, ...(status.mentions ?? []).map((/** @type {any} */ each) => each.acct)];
    const others = [...new Set(names)].filter((name) => name.toLowerCase() !== me.toLowerCase());
    return others.map((name) => `@${name} `).join("");
}

/** @param {any} status @returns {About} */
function about(status) {
    const text = plainWords(status.content ?? "");
    return { id: status.id, acct: status.account.acct, text: status.spoiler_text || text };
}

/** The words of a status' HTML, roughly and short; shown as text alone. @param {string} html @returns {string} */
function plainWords(html) {
    const named = /** @type {Record<string, string>} */ ({ lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" });
    const words = html.replace(/<br\s*\/?>|<\/p>\s*<p>/g, " ").replace(/<[^>]*>/g, "");
    return [...words.replace(/&(lt|gt|quot|#39|amp);/g, (_, name) => named[name])].slice(0, 140).join("");
}

/** @param {Draft} draft @param {any} status @param {string} me acct @returns {Draft} */
export function replying(draft, status, me) {
    const warning = status.spoiler_text ?? "";
    return sealed({
        ...draft, replyTo: about(status), text: mentionsFor(status, me), warning, warned: warning !== "",
        visibility: narrower(draft.visibility, status.visibility), language: status.language || draft.language,
    });
}

/** @param {Draft} draft @param {any} status @returns {Draft} */
export function quoting(draft, status) {
    return sealed({ ...draft, quote: about(status) });
}

/** @param {any} medium a MediaAttachment @param {string} local @returns {Medium} */
export function mediumOf(medium, local) {
    const focus = { x: medium.meta?.focus?.x ?? 0, y: medium.meta?.focus?.y ?? 0 };
    const alt = medium.description ?? "";
    return {
        local, id: medium.id, kind: medium.type, name: "", preview: medium.preview_url ?? "", alt, focus,
        said: saidOf(alt, focus), up: 0, problem: "",
    };
}

/** @param {string} alt @param {Focus} focus */
export function saidOf(alt, focus) {
    return `${focus.x.toFixed(3)},${focus.y.toFixed(3)} ${alt}`;
}

/**
 * Begin with a status of one's own: to edit it (edits: true), or to write it again after it was deleted.
 * @param {Draft} draft @param {any} status @param {{text: string, spoiler_text: string}} source @param {boolean} edits
 * @returns {Draft}
 */
export function rewriting(draft, status, source, edits) {
    const poll = status.poll && {
        options: status.poll.options.map((/** @type {any} */ option) => option.title), multiple: status.poll.multiple,
        hides: false, seconds: secondsOf(status.poll, status.created_at),
    };
    return sealed({
        ...draft, text: source.text, warning: source.spoiler_text ?? "", warned: !!source.spoiler_text,
        sensitive: status.sensitive, visibility: status.visibility, language: status.language ?? "", poll: poll || null,
        media: status.media_attachments.map((/** @type {any} */ each) => mediumOf(each, `server-${each.id}`)),
        replyTo: status.in_reply_to_id && !edits ? { id: status.in_reply_to_id, acct: "", text: "" } : null,
        quote: status.quote?.quoted_status && !edits ? about(status.quote.quoted_status) : null,
        edits: edits ? status.id : "",
    });
}

/** @param {any} poll @param {string} since @returns {number} of the offered lengths the nearest */
function secondsOf(poll, since) {
    const open = (Date.parse(poll.expires_at) - Date.parse(since)) / 1000 || 86_400;
    return POLL_SECONDS.reduce((best, each) => (Math.abs(each - open) < Math.abs(best - open) ? each : best));
}

/** @param {Draft} draft */
function content(draft) {
    return JSON.stringify([
        draft.text.trim(), draft.warned ? draft.warning.trim() : "", draft.media.map((each) => [each.local, each.alt, each.focus]),
        draft.poll && [...draft.poll.options, draft.poll.seconds, draft.poll.multiple],
    ]);
}

/** Take what a draft has now as how it began. @param {Draft} draft @returns {Draft} */
function sealed(draft) {
    return { ...draft, origin: content(draft) };
}

/** Whether there is nothing in it that somebody would miss. @param {Draft} draft */
export function isUntouched(draft) {
    return content(draft) === draft.origin;
}

/** Which media have no words yet. @param {Draft} draft @returns {Medium[]} */
export function withoutAlt(draft) {
    return draft.media.filter((each) => !each.alt.trim());
}

/** Put a medium at another place. @template T @param {T[]} list @param {number} from @param {number} to @returns {T[]} */
export function moved(list, from, to) {
    const rest = list.filter((_, n) => n !== from);
    const at = Math.min(Math.max(to, 0), rest.length);
    return [...rest.slice(0, at), list[from], ...rest.slice(at)];
}

/** The body of the request, media aside: they may have no ids yet. @param {Draft} draft @returns {Record<string, any>} */
export function bodyOf(draft) {
    const { poll, edits } = draft;
    /** @type {Record<string, any>} */
    const body = { status: draft.text, spoiler_text: draft.warned ? draft.warning : "", sensitive: draft.sensitive };
    if (draft.language) body.language = draft.language;
    if (poll && !draft.media.length) {
        const options = poll.options.map(stripped).filter((each) => each);
        body.poll = { options, expires_in: poll.seconds, multiple: poll.multiple, hide_totals: poll.hides };
    }
    if (edits) return body;
    body.visibility = draft.visibility;
    if (draft.replyTo) body.in_reply_to_id = draft.replyTo.id;
    if (draft.quote) body.quoted_status_id = draft.quote.id;
    if (draft.scheduled) body.scheduled_at = new Date(draft.scheduled).toISOString();
    return body;
}

/** The media's part of the body, once all have ids. @param {Draft} draft @returns {Record<string, any>} */
export function mediaBody({ media, edits }) {
    const ids = media.map((each) => each.id);
    if (!edits) return ids.length ? { media_ids: ids } : {};
    const attributes = media.map(({ id, alt, focus }) => ({ id, description: alt, focus: `${focus.x},${focus.y}` }));
    return { media_ids: ids, ...(ids.length ? { media_attributes: attributes } : {}) };
}

/** What "share" brings: title, text and address, each once. @param {Record<string, string>} query @returns {string} */
export function sharedText({ title = "", text = "", url = "" }) {
    /** @type {string[]} */
    const parts = [];
    for (const part of [title, text, url].map((each) => each.trim())) {
        if (part && !parts.some((each) => each.includes(part))) parts.push(part);
    }
    return parts.join("\n\n");
}
