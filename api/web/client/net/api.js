/*
 * Asking the server: each question has one answer, which is an object and never an exception.
 *
 *     api.get("/api/v1/timelines/home", {max_id}) --> {ok: true, body, next, prev} or {ok: false, kind, message, ...}
 *
 * Rules of this file
 * - Only our own origin is asked. The token is in a variable here and in `session.js`, and in no other place.
 * - What the server says when it refuses is shown in its words; the request id goes with it.
 * - Who gave a signal and aborted gets an AbortError, as fetch has it.
 */

import { words as w } from "../words/reading.js";

const PATIENCE_MS = 30_000;

/**
 * @typedef {"offline" | "overloaded" | "refused" | "unauthorised" | "missing" | "broken"} Kind
 * @typedef {Record<string, any>} Query
 * @typedef {{status: number, requestId: string, partial: {answered: number, of: number} | null, header: (name: string) => string | null}} Common
 * @typedef {Common & {ok: true, body: any, next: Query | null, prev: Query | null}} Good
 * @typedef {Common & {ok: false, kind: Kind, message: string, retryAfterS: number, body: any}} Bad
 * @typedef {Good | Bad} Answer
 */

let token = "";
/** @type {(used: string) => void} */
let refused = () => {};

/** The session's word of who asks. @param {string} value */
export function useToken(value) {
    token = value;
}

let isHeld = false;

/** Have requests answered as without a network, while nobody knows who asks. @param {boolean} on */
export function holdRequests(on) {
    isHeld = on;
}

/** What is done when a token isn't taken any more. @param {(used: string) => void} fn */
export function onUnauthorised(fn) {
    refused = fn;
}

/** @param {string} path @param {Query} [query] @returns {string} */
export function addressOf(path, query = {}) {
    const url = new URL(path, location.origin);
    for (const [name, value] of Object.entries(query)) {
        for (const each of Array.isArray(value) ? value : [value]) {
            if (each !== null && each !== undefined && each !== "") url.searchParams.append(name, String(each));
        }
    }
    return url.href;
}

/** @param {string | null} header @param {string} rel @returns {Query | null} */
function link(header, rel) {
    for (const [, address, name] of (header ?? "").matchAll(/<([^>]*)>;\s*rel="(\w+)"/g)) {
        if (name !== rel) continue;
        /** @type {Query} */
        const query = {};
        for (const [key, value] of new URL(address, location.origin).searchParams) query[key] = key in query ? [query[key], value].flat() : value;
        return query;
    }
    return null;
}

/** @param {number} status @returns {Kind} */
function kindOf(status) {
    if (status === 401) return "unauthorised";
    if (status === 404 || status === 410) return "missing";
    if (status === 429 || status === 503) return "overloaded";
    return status >= 500 ? "broken" : "refused";
}

/** @param {Response} response @returns {Promise<any>} */
async function bodyOf(response) {
    const text = await response.text();
    try {
        return text ? JSON.parse(text) : {};
    } catch {
        return { error: text.slice(0, 200) };
    }
}

/** @param {Response} response @param {any} body @returns {Answer} */
function answerOf(response, body) {
    const header = (/** @type {string} */ name) => response.headers.get(name);
    const parts = /^(\d+)\/(\d+)$/.exec(header("rookery-partial") ?? "");
    const common = {
        status: response.status, requestId: header("x-request-id") ?? "", header,
        partial: parts && { answered: Number(parts[1]), of: Number(parts[2]) },
    };
    if (response.ok) return { ...common, ok: true, body, next: link(header("link"), "next"), prev: link(header("link"), "prev") };
    const wait = Number(header("retry-after"));
    const said = typeof body?.error === "string" ? body.error : body?.error?.message ?? body?.message;
    return {
        ...common, ok: false, kind: kindOf(response.status), body, retryAfterS: Number.isFinite(wait) && wait > 0 ? Math.min(wait, 600) : 5,
        message: body?.error_description ?? said ?? w.failed,
    };
}

/** @param {string} address @param {RequestInit} asked @param {AbortSignal | undefined} signal @returns {Promise<Answer>} */
async function ask(address, asked, signal) {
    const used = token;
    const headers = { ...(used && { Authorization: `Bearer ${used}` }), ...asked.headers };
    try {
        if (isHeld) throw new TypeError("nobody knows who asks");
        const response = await fetch(address, { ...asked, headers, credentials: "same-origin", cache: "no-store" });
        const body = await bodyOf(response);
        if (response.status === 401 && used && used === token) refused(used);
        return answerOf(response, body);
    } catch (error) {
        if (signal?.aborted) throw error;
        const nothing = { status: 0, requestId: "", partial: null, header: () => null, body: null };
        return { ...nothing, ok: false, kind: "offline", message: w.noAnswer, retryAfterS: 0 };
    }
}

export const api = Object.freeze({
    /** @param {string} path @param {Query} [query] @param {{signal?: AbortSignal}} [more] @returns {Promise<Answer>} */
    get(path, query = {}, { signal } = {}) {
        const patience = AbortSignal.timeout(PATIENCE_MS);
        const either = signal && /** @type {any} */ (AbortSignal).any ? AbortSignal.any([signal, patience]) : signal ?? patience;
        return ask(addressOf(path, query), { signal: either }, signal);
    },
    /** @param {string} method @param {string} path @param {Query | FormData} [body]
     * @param {{key?: string, keepalive?: boolean, signal?: AbortSignal, headers?: Record<string, string>}} [more] @returns {Promise<Answer>} */
    send(method, path, body, { key, keepalive, signal, headers } = {}) {
        const isForm = body instanceof FormData;
        const said = { ...(body && !isForm && { "Content-Type": "application/json" }), ...(key && { "Idempotency-Key": key }), ...headers };
        const sent = body === undefined ? undefined : isForm ? body : JSON.stringify(body);
        return ask(addressOf(path), { method, headers: said, body: sent, keepalive, signal }, signal);
    },
});
