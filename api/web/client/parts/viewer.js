/*
 * A picture, as large as it fits: arrows to the next, its description below, Escape back.
 */

import { icon } from "../base/dom.js";
import { element, html } from "../base/html.js";
import { words as w } from "../words/reading.js";
import { openDialog } from "./dialog.js";

/** @param {Record<string, any>} status @param {number} at */
export function view(status, at) {
    const media = status.media_attachments.filter((/** @type {any} */ each) => each.type !== "audio");
    let now = Math.max(0, media.indexOf(status.media_attachments[at]));
    const stage = element(html`<div class="stage"></div>`);
    const text = element(html`<p class="described" dir="auto" tabindex="0"></p>`);
    const place = element(html`<span class="place" aria-live="polite"></span>`);
    const show = (/** @type {number} */ to) => {
        now = (to + media.length) % media.length;
        const { type, url, preview_url: preview, description, meta } = media[now];
        const { width, height } = meta?.original ?? {};
        const label = description || w.media(now + 1, media.length);
        stage.replaceChildren(element(type === "image" || type === "unknown" ? html`<img src=${url ?? preview} alt=${label} width=${width} height=${height}>` : html`<video controls playsinline src=${url} poster=${preview} aria-label=${label}></video>`));
        text.textContent = description ?? "";
        text.hidden = !description;
        place.textContent = media.length > 1 ? w.media(now + 1, media.length) : "";
    };
    const rtl = getComputedStyle(document.documentElement).direction === "rtl" ? -1 : 1;
    const keys = (/** @type {KeyboardEvent} */ event) => {
        const by = { ArrowRight: rtl, ArrowLeft: -rtl }[event.key];
        if (!by || media.length < 2) return;
        event.preventDefault();
        show(now + by);
    };
    const step = (/** @type {number} */ by, /** @type {string} */ label) => media.length > 1 && html`<button type="button" class="quiet" aria-label=${label} @click=${() => show(now + by)}>${by < 0 ? icon("back") : html`<span class="on">${icon("back")}</span>`}</button>`;
    const box = element(html`<div class="rk-viewer" @keydown=${keys}><div class="bar">${step(-1, w.previous)}${step(1, w.next)}${place}<button type="button" class="quiet end" aria-label=${w.close} @click=${() => close()}>${icon("close")}</button></div>${stage}${text}</div>`);
    show(now);
    const close = openDialog(box, { label: w.openMedia, kind: "wide" });
}
