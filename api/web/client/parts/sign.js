/*
 * Buttons that are a drawing, with their name for who can't see it.
 */

import { html } from "../base/html.js";

const PATHS = {
    media: "M4 5h16v14H4zM4 16l5-5 4 4 3-2 4 4M15.500 9h.010",
    poll: "M5 20V10M12 20V4M19 20v-7",
    warning: "M12 4l9 16H3zM12 10v4M12 17h.010",
    time: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 7v5l3 2",
    close: "M6 6l12 12M18 6L6 18",
    earlier: "M6 15l6-6 6 6",
    later: "M6 9l6 6 6-6",
};

/** @typedef {keyof typeof PATHS} Sign */

/** @param {Sign} sign @param {string} label @param {() => void} act @param {string} [name] */
export function signButton(sign, label, act, name = sign) {
    return html`<button type="button" class="tool" data-tool=${name} aria-label=${label} title=${label} @click=${act}><svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[sign]}></path></svg></button>`;
}
