/*
 * What a list shows instead of things: that it loads, why it can't, what can be done.
 */

import { element, html } from "../base/html.js";
import { words as w } from "../words/reading.js";
import { toast } from "./toast.js";

/** @typedef {import("../net/api.js").Bad} Bad */

/** @param {number} count @returns {HTMLElement} */
export function skeletons(count) {
    const each = Array.from({ length: count }, () => html`<div class="rk-bone"><i></i><i></i><i></i><i></i></div>`);
    return element(html`<div role="status"><span class="hidden">${w.loading}</span>${each}</div>`);
}

/**
 * Say in a place what failed. Busy: it is tried once more by itself, after what the server asks for and some chance.
 * @param {HTMLElement} place @param {Bad} answer @param {() => void} again
 */
export function failure(place, answer, again) {
    const hasWaited = place.dataset.again === "1";
    delete place.dataset.again;
    place.dataset.fails = answer.kind;
    let timer = 0;
    const retry = () => {
        clearInterval(timer);
        removeEventListener("online", retry);
        if (place.dataset.fails === "overloaded" && !hasWaited) place.dataset.again = "1";
        delete place.dataset.fails;
        place.replaceChildren();
        again();
    };
    const said = element(html`<p></p>`);
    const button = html`<button type="button" @click=${retry}>${w.retry}</button>`;
    const copy = () => navigator.clipboard?.writeText(answer.requestId).then(() => toast(w.copiedId), () => {});
    const id = answer.requestId && answer.kind !== "offline" && html`<p><small>${w.requestId(answer.requestId)} <button type="button" class="small quiet" @click=${copy}>${w.copyId}</button></small></p>`;
    place.replaceChildren(element(html`<div class="rk-state" role="alert" data-kind=${answer.kind}>${said}${button}${id}</div>`));
    if (answer.kind === "offline") {
        said.textContent = navigator.onLine ? w.noAnswer : w.offline;
        addEventListener("online", retry);
        return;
    }
    if (answer.kind !== "overloaded") {
        said.textContent = answer.message;
        return;
    }
    if (hasWaited) {
        said.textContent = w.stillOverloaded;
        return;
    }
    const until = Date.now() + (answer.retryAfterS + Math.random() * 2) * 1000;
    const count = () => {
        const left = Math.ceil((until - Date.now()) / 1000);
        if (left <= 0) return retry();
        said.textContent = w.overloaded(left);
    };
    timer = setInterval(() => (place.isConnected ? count() : clearInterval(timer)), 1000);
    count();
}
