/*
 * The pictures, films and sounds of a post: a grid that has its room before anything is loaded.
 *
 * Rules of this file
 * - The room comes from `meta`, by the CSSOM; a picture that comes late moves nothing.
 * - Before a picture is there, its blurhash is: decoded small, 32 points a side.
 * - What is sensitive is covered by that until it is asked for. A film plays by itself only where that is set, and silent.
 */

import { element, html } from "../base/html.js";
import { settings } from "../base/settings.js";
import { words as w } from "../words/reading.js";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";
const SIDE = 32;

/** @typedef {Record<string, any>} Medium */

/** @param {string} text */
const value = (text) => [...text].reduce((sum, digit) => sum * 83 + DIGITS.indexOf(digit), 0);
/** @param {number} v */
const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
/** @param {number} v */
const srgb = (v) => 255 * (v <= 0.0031308 ? v * 12.92 : 1.055 * v ** (1 / 2.4) - 0.055);
/** @param {number} v */
const signed = (v) => Math.sign(v) * v * v;

/** @param {string | null | undefined} hash @returns {HTMLElement} */
function blur(hash) {
    const canvas = /** @type {HTMLCanvasElement} */ (element(html`<canvas class="blur" width=${SIDE} height=${SIDE} aria-hidden="true"></canvas>`));
    if (!hash || hash.length < 6) return canvas;
    const flag = value(hash[0]);
    const [across, down] = [(flag % 9) + 1, Math.floor(flag / 9) + 1];
    if (hash.length !== 4 + 2 * across * down) return canvas;
    const most = (value(hash[1]) + 1) / 166;
    const dc = value(hash.slice(2, 6));
    const colours = [[linear(dc >> 16), linear((dc >> 8) & 255), linear(dc & 255)]];
    for (let at = 6; at < hash.length; at += 2) {
        const v = value(hash.slice(at, at + 2));
        colours.push([Math.floor(v / 361), Math.floor(v / 19) % 19, v % 19].map((each) => signed((each - 9) / 9) * most));
    }
    const cosines = (/** @type {number} */ count) => Array.from({ length: SIDE }, (_, x) => Array.from({ length: count }, (_, i) => Math.cos((Math.PI * x * i) / SIDE)));
    const [xs, ys] = [cosines(across), cosines(down)];
    const context = canvas.getContext("2d");
    if (!context) return canvas;
    const image = context.createImageData(SIDE, SIDE);
    for (let y = 0; y < SIDE; y += 1) {
        for (let x = 0; x < SIDE; x += 1) {
            for (let c = 0; c < 3; c += 1) {
                let sum = 0;
                for (let j = 0; j < down; j += 1) for (let i = 0; i < across; i += 1) sum += colours[j * across + i][c] * xs[x][i] * ys[y][j];
                image.data[4 * (y * SIDE + x) + c] = srgb(Math.max(0, Math.min(1, sum)));
            }
            image.data[4 * (y * SIDE + x) + 3] = 255;
        }
    }
    context.putImageData(image, 0, 0);
    return canvas;
}

/** @param {Record<string, any>} status @param {boolean} covered @returns {HTMLElement} */
export function mediaGrid(status, covered) {
    /** @type {Medium[]} */
    const media = status.media_attachments;
    const tiles = media.map((medium, at) => tile(medium, at, status));
    const grid = element(html`<div class="rk-media" data-count=${Math.min(media.length, 4)}>${tiles}</div>`);
    if (!covered) return grid;
    const set = (/** @type {boolean} */ on) => {
        grid.classList.toggle("covered", on);
        for (const each of tiles) each.inert = on;
        cover.hidden = !on;
        uncover.hidden = on;
    };
    const cover = element(html`<button type="button" class="rk-cover" @click=${() => { set(false); uncover.focus({ preventScroll: true }); }}><strong>${w.sensitive}</strong><span>${w.show}</span></button>`);
    const uncover = element(html`<button type="button" class="rk-uncover small" @click=${() => { set(true); cover.focus({ preventScroll: true }); }}>${w.hide}</button>`);
    grid.append(cover, uncover);
    set(!settings.get("expand"));
    return grid;
}

/** @param {Medium} medium @param {number} at @param {Record<string, any>} status */
function tile(medium, at, status) {
    const label = medium.description || `${w.media(at + 1, status.media_attachments.length)}, ${w.noAlt}`;
    const size = medium.meta?.small ?? medium.meta?.original ?? {};
    const made = element(html`<figure></figure>`);
    const ratio = Math.max(0.56, Math.min(3, size.width / size.height || 1.5));
    made.style.setProperty("--ratio", String(ratio));
    if (medium.type === "audio") made.append(element(html`<audio controls preload="none" src=${medium.url} aria-label=${label}></audio>`));
    else if (medium.type === "video" || medium.type === "gifv") made.append(film(medium, label));
    else made.append(blur(medium.blurhash), picture(medium, at, status, label));
    if (medium.description) made.append(element(html`<button type="button" class="rk-alt" aria-label=${w.description} @click=${() => describe(medium.description)}>${w.alt}</button>`));
    return made;
}

/** @param {Medium} medium @param {number} at @param {Record<string, any>} status @param {string} label */
function picture(medium, at, status, label) {
    const { x = 0, y = 0 } = medium.meta?.focus ?? {};
    const image = element(html`<img src=${medium.preview_url ?? medium.url} alt=${label} loading="lazy" decoding="async">`);
    image.style.setProperty("object-position", `${(x + 1) * 50}% ${(1 - y) * 50}%`);
    const open = () => import("./viewer.js").then(({ view }) => view(status, at));
    return element(html`<a class="shown" href=${medium.url ?? medium.preview_url} @click=${(/** @type {MouseEvent} */ event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        void open();
    }}>${image}</a>`);
}

/** @param {Medium} medium @param {string} label */
function film(medium, label) {
    const still = document.documentElement.dataset.motion === "less" || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const loops = medium.type === "gifv";
    const made = /** @type {HTMLVideoElement} */ (element(html`<video controls playsinline preload="none" src=${medium.url} poster=${medium.preview_url} aria-label=${label} ?loop=${loops}></video>`));
    made.muted = loops;
    if (loops && settings.get("autoplay") && !still) made.autoplay = true;
    return made;
}

/** @param {string} text */
async function describe(text) {
    const { openDialog } = await import("./dialog.js");
    const close = openDialog(element(html`<div class="rk-confirm"><h2>${w.description}</h2><p class="rk-described" tabindex="0" dir="auto">${text}</p><div class="rk-buttons"><button type="button" @click=${() => close()}>${w.close}</button></div></div>`), { label: w.description, kind: "small" });
}
