/*
 * The keys, as a page and as a dialog: both are the table of `state/keys.js`.
 */

import { settings } from "../base/settings.js";
import { element, html } from "../base/html.js";
import { openDialog } from "../parts/dialog.js";
import { toggle } from "../parts/form.js";
import { KEYS } from "../state/keys.js";
import { words as w } from "../words/places.js";

/** @param {string} key @returns {unknown} "g h" as two keys, "Ctrl+Enter" as two at once */
function shown(key) {
    const [between, parts] = key.includes("+") ? ["+", key.split("+")] : [` ${w.then} `, key.split(" ")];
    return parts.map((part, at) => html`${at > 0 && between}<kbd>${part === "Escape" ? "Esc" : part}</kbd>`);
}

/** @returns {HTMLElement} */
export function keysTable() {
    const rows = KEYS.map(({ keys, words }) => html`<tr><th scope="row">${keys.map((key, at) => html`${at > 0 && ` ${w.or} `}${shown(key)}`)}</th><td>${words}</td></tr>`);
    return element(html`<table class="rk-keys"><thead><tr><th scope="col">${w.key}</th><th scope="col">${w.does}</th></tr></thead><tbody>${rows}</tbody></table>`);
}

/** Open the dialog of `?`. */
export function keysDialog() {
    openDialog(element(html`<div>${keysTable()}<p><a href="/keys">${w.keysPage}</a></p></div>`), { label: w.keys });
}

export default function screen() {
    const off = toggle(w.singleKeys, settings.get("keys"), (on) => settings.set("keys", on), w.singleKeysHint);
    return { element: element(html`<div><p>${w.keysText}</p>${off}${keysTable()}</div>`), title: w.keys };
}
