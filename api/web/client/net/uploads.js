/*
 * Uploads: a file on its way to the server, with how far it is, until it is processed there.
 *
 *     file --XHR, progress--> 200 with its address, or 202 --GET every second--> 206, 206, 200 (or 422: why not)
 *
 * Rules of this file
 * - What the instance document forbids is refused before the first byte.
 * - One upload a medium in this page, whoever asks for it: composer and outbox share it.
 * - XHR, since fetch tells nothing of how much has left. It answers as `api` does, and never throws.
 */

import { api } from "./api.js";
import { session } from "./session.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {{promise: Promise<Answer>, abort: AbortController, share: number, watchers: Set<(share: number) => void>}} Running */

/** @type {Map<string, Running>} */
const running = new Map();
const POLL_MS = 1000;
const POLLS_MAX = 600;

/** @typedef {{supported_mime_types: string[], image_size_limit: number, image_matrix_limit: number, video_size_limit: number}} Limits */

/**
 * Say what keeps a file from being taken here.
 * @param {File} file @param {Limits} limits
 * @returns {Promise<{kind: "" | "type" | "size" | "pixels" | "empty", bound: number}>}
 */
export async function refusalOf(file, limits) {
    const isImage = file.type.startsWith("image/");
    const bound = isImage ? limits.image_size_limit : limits.video_size_limit;
    if (!limits.supported_mime_types.includes(file.type)) return { kind: "type", bound: 0 };
    if (!file.size) return { kind: "empty", bound: 0 };
    if (file.size > bound) return { kind: "size", bound };
    const pixels = isImage ? await pixelsOf(file) : 0;
    return { kind: pixels > limits.image_matrix_limit ? "pixels" : "", bound: limits.image_matrix_limit };
}

/** @param {File} file @returns {Promise<number>} 0 where the browser can't tell */
function pixelsOf(file) {
    return new Promise((resolve) => {
        const image = new Image();
        const address = URL.createObjectURL(file);
        image.onload = image.onerror = () => {
            URL.revokeObjectURL(address);
            resolve(image.naturalWidth * image.naturalHeight);
        };
        image.src = address;
    });
}

/**
 * Bring a file, or wait for it if it is under way.
 * @param {string} local @param {Blob} file @param {{alt?: string, focus?: string, name?: string}} [said]
 * @returns {Promise<Answer>}
 */
export function upload(local, file, said = {}) {
    const known = running.get(local);
    if (known) return known.promise;
    const abort = new AbortController();
    /** @type {Running} */
    const entry = { promise: Promise.resolve(noAnswer()), abort, share: 0, watchers: new Set() };
    entry.promise = bring(entry, file, said).finally(() => running.delete(local));
    running.set(local, entry);
    return entry.promise;
}

/** Whether it is under way in this page. @param {string} local */
export function isUploading(local) {
    return running.has(local);
}

/** Hear how much of an upload has left: 0 to 1. @param {string} local @param {(share: number) => void} fn @returns {() => void} */
export function watchUpload(local, fn) {
    const entry = running.get(local);
    entry?.watchers.add(fn);
    if (entry) fn(entry.share);
    return () => entry?.watchers.delete(fn);
}

/** @param {string} local */
export function cancelUpload(local) {
    running.get(local)?.abort.abort();
}

/** @param {Running} entry @param {Blob} file @param {{alt?: string, focus?: string, name?: string}} said */
async function bring(entry, file, said) {
    const body = new FormData();
    if (said.alt) body.set("description", said.alt);
    if (said.focus) body.set("focus", said.focus);
    body.set("file", file, said.name || "file");
    let answer = await sent(entry, body);
    for (let n = 0; answer.ok && answer.body.url === null && n < POLLS_MAX; n++) {
        const id = answer.body.id;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        if (entry.abort.signal.aborted) return noAnswer();
        const next = await api.get(`/api/v1/media/${id}`);
        if (next.ok || (next.status >= 400 && next.status < 500 && next.status !== 429)) answer = next;
        else n += 9;
    }
    return answer;
}

/** @param {Running} entry @param {FormData} body @returns {Promise<Answer>} */
function sent(entry, body) {
    return new Promise((resolve) => {
        if (!session.token()) return resolve(noAnswer());
        const request = new XMLHttpRequest();
        request.open("POST", "/api/v2/media");
        request.setRequestHeader("Authorization", `Bearer ${session.token()}`);
        request.upload.onprogress = (event) => {
            entry.share = event.lengthComputable ? event.loaded / event.total : 0;
            for (const fn of entry.watchers) fn(entry.share);
        };
        request.onload = () => resolve(answerOf(request));
        request.onerror = request.onabort = request.ontimeout = () => resolve(noAnswer());
        entry.abort.signal.addEventListener("abort", () => request.abort());
        request.send(body);
    });
}

/** What is made of a request that nobody answered. @returns {Answer} */
export function noAnswer() {
    return /** @type {Answer} */ ({ ok: false, kind: "offline", status: 0, message: "", requestId: "", retryAfterS: 0 });
}

/** @param {XMLHttpRequest} request @returns {Answer} */
function answerOf(request) {
    const { status } = request;
    /** @type {any} */
    let body = {};
    try {
        body = JSON.parse(request.responseText);
    } catch {
        // What isn't JSON comes from something in between; its status says enough.
    }
    if (status >= 200 && status < 300 && body.id) return /** @type {Answer} */ ({ ok: true, status, body, next: null, prev: null });
    const kind = status === 429 || status === 503 ? "overloaded" : status === 401 ? "unauthorised" : status >= 500 || status < 400 ? "broken" : "refused";
    return /** @type {Answer} */ ({
        ok: false, kind, status, message: body.error ?? "", requestId: request.getResponseHeader("X-Request-Id") ?? "",
        retryAfterS: Number(request.getResponseHeader("Retry-After")) || 0,
    });
}
