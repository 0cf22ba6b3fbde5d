/*
 * Requests to the Mastodon API. What goes wrong is a value, not an exception: screens show it in the server's words.
 *
 * Rules of this file
 * - The token comes from session.js and goes into the header alone.
 * - Nothing is repeated here: who asks knows whether that doubles anything.
 */

import { token } from "./session.js";

/** @typedef {Record<string, string | number | boolean | (string | number)[] | null | undefined>} Query */
/** @typedef {"offline" | "overloaded" | "refused" | "unauthorised" | "missing" | "broken"} Kind */
/** @typedef {{ok: true, body: any, next: Query | null, prev: Query | null, partial: {answered: number, of: number} | null, header: (name: string) => string | null}} Success */
/** @typedef {{ok: false, kind: Kind, status: number, message: string, details: any, requestId: string, retryAfterS: number}} Failure */
/** @typedef {Success | Failure} Answer */

/** @param {Query | null | undefined} query */
function queryString(query) {
    const pairs = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) {
        if (value === null || value === undefined) continue;
        if (Array.isArray(value)) for (const each of value) pairs.append(`${name}[]`, String(each));
        else pairs.append(name, String(value));
    }
    const text = pairs.toString();
    return text ? `?${text}` : "";
}

/** @param {string | null} header @param {string} rel @returns {Query | null} */
function linked(header, rel) {
    for (const part of (header ?? "").split(/,\s*(?=<)/)) {
        const found = /^<([^>]*)>\s*;.*rel="?(\w+)"?/.exec(part);
        if (found && found[2] === rel) {
            /** @type {Query} */
            const query = {};
            for (const [name, value] of new URL(found[1], location.origin).searchParams) {
                const list = name.endsWith("[]");
                const key = list ? name.slice(0, -2) : name;
                query[key] = list ? [.../** @type {any[]} */ (query[key] ?? []), value] : value;
            }
            return query;
        }
    }
    return null;
}

/** @param {number} status @returns {Kind} */
function kindOf(status) {
    if (status === 401) return "unauthorised";
    if (status === 404 || status === 410) return "missing";
    if (status === 429 || status === 503) return "overloaded";
    return status < 500 ? "refused" : "broken";
}

/** @param {Response} response @returns {Promise<Answer>} */
async function read(response) {
    const { headers, status } = response;
    const text = await response.text();
    let body = null;
    try {
        body = text ? JSON.parse(text) : null;
    } catch {
        if (response.ok) return failure("broken", status, "", headers);
    }
    if (!response.ok) {
        const said = body?.error ?? body?.detail;
        const failed = failure(kindOf(status), status, typeof said === "string" ? said : said?.message ?? "", headers);
        failed.details = body?.details ?? null;
        return failed;
    }
    const partial = /^(\d+)\/(\d+)$/.exec(headers.get("rookery-partial") ?? "");
    const link = headers.get("link");
    return {
        ok: true, body, header: (name) => headers.get(name), next: linked(link, "next"), prev: linked(link, "prev"),
        partial: partial ? { answered: Number(partial[1]), of: Number(partial[2]) } : null,
    };
}

/** @param {Kind} kind @param {number} status @param {string} message @param {Headers | null} headers @returns {Failure} */
function failure(kind, status, message, headers) {
    const retryAfterS = Number(headers?.get("retry-after") ?? 0) || 0;
    return { ok: false, kind, status, message, details: null, requestId: headers?.get("x-request-id") ?? "", retryAfterS };
}

/**
 * @param {string} method
 * @param {string} address
 * @param {RequestInit} init
 * @returns {Promise<Answer>}
 */
async function request(method, address, init) {
    const headers = new Headers(init.headers);
    const known = token();
    if (known) headers.set("authorization", `Bearer ${known}`);
    try {
        return await read(await fetch(address, { credentials: "omit", ...init, method, headers }));
    } catch (error) {
        if (error instanceof DOMException && error.name === "AbortError") throw error;
        return failure("offline", 0, "", null);
    }
}

export const api = {
    /** @param {string} path @param {Query | null} [query] @param {{signal?: AbortSignal}} [how] */
    get(path, query, how) {
        return request("GET", path + queryString(query), { signal: how?.signal });
    },

    /**
     * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
     * @param {string} path
     * @param {Record<string, any> | FormData | null} [body]
     * @param {{key?: string, keepalive?: boolean, signal?: AbortSignal}} [how] key: of idempotency
     */
    send(method, path, body, how) {
        /** @type {Record<string, string>} */
        const headers = {};
        const isForm = body instanceof FormData;
        if (body && !isForm) headers["content-type"] = "application/json";
        if (how?.key) headers["idempotency-key"] = how.key;
        return request(method, path, {
            headers, body: isForm ? body : body ? JSON.stringify(body) : undefined, keepalive: how?.keepalive, signal: how?.signal,
        });
    },
};
