/*
 * Dialogs: the browser's own, so focus stays inside and comes back, and Escape closes.
 */

import { element, html } from "../base/html.js";
import { words as w } from "../words/reading.js";

/**
 * Show an element in a dialog.
 * @param {Node} content
 * @param {{label: string, kind?: string, closed?: () => void}} how label: of the dialog, for who can't see it
 * @returns {() => void} what closes it
 */
export function openDialog(content, { label, kind = "", closed }) {
    const dialog = /** @type {HTMLDialogElement} */ (element(html`<dialog class=${`rk-dialog ${kind}`} aria-label=${label}>${content}</dialog>`));
    const close = () => dialog.close();
    dialog.addEventListener("close", () => {
        dialog.remove();
        closed?.();
    });
    dialog.addEventListener("click", (event) => {
        if (event.target === dialog) close(); // beside it
    });
    document.body.append(dialog);
    dialog.showModal();
    return close;
}

/**
 * Ask before something is done.
 * @param {{title: string, text?: string, yes: string, no?: string, danger?: boolean}} what
 * @returns {Promise<boolean>}
 */
export function confirmBox({ title, text, yes, no, danger }) {
    return new Promise((resolve) => {
        let answer = false;
        const say = (/** @type {boolean} */ said) => () => {
            answer = said;
            close();
        };
        const box = html`<h2>${title}</h2>${text && html`<p>${text}</p>`}<div class="rk-buttons"><button type="button" @click=${say(false)}>${no ?? w.cancel}</button><button type="button" class=${danger ? "danger" : "primary"} @click=${say(true)}>${yes}</button></div>`;
        const close = openDialog(element(html`<div class="rk-confirm">${box}</div>`), { label: title, kind: "small", closed: () => resolve(answer) });
    });
}
