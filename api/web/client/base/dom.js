/*
 * Small things of the document: icons, what is said to screen readers, motion, a change that keeps the reader's place.
 */

import { element, html } from "./html.js";

/** Paths of 24 x 24, drawn as lines. @type {Record<string, string>} */
const PATHS = {
    home: "M4 11l8-7 8 7v9h-5v-6H9v6H4z",
    explore: "M12 3a9 9 0 100 18 9 9 0 000-18zM15.5 8.5l-2 5-5 2 2-5z",
    search: "M11 4a7 7 0 100 14 7 7 0 000-14zM16 16l5 5",
    bell: "M6 17V11a6 6 0 0112 0v6l1.5 2h-15zM10 21h4",
    mail: "M3 6h18v12H3zM3 7l9 6 9-6",
    bookmark: "M7 4h10v16l-5-4-5 4z",
    list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
    person: "M12 4a4 4 0 100 8 4 4 0 000-8zM4 20c1-4 4-6 8-6s7 2 8 6",
    settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5zM9 14.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5z",
    write: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
    more: "M5 12h.01M12 12h.01M19 12h.01",
    reply: "M4 6h16v11h-8l-5 4v-4H4z",
    repost: "M3 9l4-4 4 4M7 5v10a3 3 0 003 3h3M21 15l-4 4-4-4M17 19V9a3 3 0 00-3-3h-3",
    like: "M12 20C6 16 3 12.500 3 9a4.500 4.500 0 019-1.500A4.500 4.500 0 0121 9c0 3.500-3 7-9 11z",
    share: "M12 15V4M8 7.500L12 4l4 3.500M5 12v8h14v-8",
    up: "M12 19V6M6 11l6-6 6 6",
    back: "M15 5l-7 7 7 7",
    close: "M6 6l12 12M18 6L6 18",
    lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 017 0v3",
    quiet: "M19 14A8 8 0 0110 5a8 8 0 109 9z",
    at: "M12 8a4 4 0 100 8 4 4 0 000-8zM16 12v1.500a2.500 2.500 0 005 0V12a9 9 0 10-4 7.500",
    
    pin: "M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6",
};

/** @param {string} name @returns {HTMLElement} */
export function icon(name) {
    return element(html`<svg class=${`icon i-${name}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name] ?? ""}></path></svg>`);
}

/** @type {HTMLElement | null} */
let region = null;

/** Where `announce` speaks. @param {HTMLElement} node */
export function speakIn(node) {
    region = node;
}

/** Say something to who doesn't look. @param {string} text */
export function announce(text) {
    if (region) region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}
