/*
 * Suggestions for `@` and `#` in a text of several lines: the keyboard's pattern of a combobox with a list.
 *
 * Rules of this file
 * - The focus stays in the text: the list's current row is named by `aria-activedescendant`. The text keeps its own role:
 *   a textarea may have no other, so that the list is open is told by a live region instead of `aria-expanded`.
 * - Nothing is put into the text but by Enter, Tab or a tap on a row. Esc closes the list, and nothing else.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { words } from "../words/writing.js";

const PAUSE_MS = 150;
const BEGUN = /(?<![\p{L}\p{N}_@#&/])([@#])([\p{L}\p{M}\p{N}_]{1,30})$/u;

/** @typedef {{insert: string, label: string, more: string}} Suggestion */

/** @param {string} sign @param {string} part @param {AbortSignal} signal @returns {Promise<Suggestion[]>} */
async function find(sign, part, signal) {
    if (sign === "@") {
        const answer = await api.get("/api/v1/accounts/search", { q: part, limit: "5" }, { signal });
        if (!answer.ok) return [];
        return answer.body.map((/** @type {any} */ each) => ({ insert: `@${each.acct}`, label: each.display_name || each.username, more: `@${each.acct}` }));
    }
    const answer = await api.get("/api/v2/search", { q: part, type: "hashtags", limit: "5" }, { signal });
    if (!answer.ok) return [];
    return answer.body.hashtags.map((/** @type {any} */ each) => ({ insert: `#${each.name}`, label: `#${each.name}`, more: "" }));
}

/**
 * Offer suggestions in a text.
 * @param {HTMLTextAreaElement} text @param {HTMLElement} list an empty ul @param {HTMLElement} live what tells how many
 */
export function completing(text, list, live) {
    /** @type {Suggestion[]} */
    let rows = [];
    let at = -1;
    let timer = 0;
    let asked = new AbortController();
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", words.suggestions);
    text.setAttribute("aria-autocomplete", "list");
    text.setAttribute("aria-haspopup", "listbox");
    text.setAttribute("aria-controls", list.id);

    function close() {
        asked.abort();
        clearTimeout(timer);
        if (!rows.length) return;
        rows = [];
        at = -1;
        show();
    }

    function show() {
        list.replaceChildren(...rows.map((row, n) => element(html`<li role="option" id=${`${list.id}-${n}`} aria-selected=${String(n === at)}
            @pointerdown=${(/** @type {Event} */ event) => event.preventDefault()} @click=${() => take(n)}><bdi>${row.label}</bdi>${row.more && html` <bdi class="faint">${row.more}</bdi>`}</li>`)));
        list.hidden = !rows.length;
        if (at < 0) text.removeAttribute("aria-activedescendant");
        else text.setAttribute("aria-activedescendant", `${list.id}-${at}`);
    }

    function begun() {
        if (text.selectionStart !== text.selectionEnd) return null;
        return BEGUN.exec(text.value.slice(Math.max(0, text.selectionStart - 40), text.selectionStart));
    }

    /** @param {number} n */
    function take(n) {
        const found = begun();
        const row = rows[n];
        close();
        if (!found || !row) return;
        const end = text.selectionStart;
        const gap = /^\s/.test(text.value.slice(end)) ? "" : " ";
        text.setRangeText(row.insert + gap, end - found[1].length - found[2].length, end, "end");
        text.focus();
        text.dispatchEvent(new Event("input", { bubbles: true }));
        close();
    }

    async function ask() {
        const found = begun();
        if (!found) return close();
        asked.abort();
        asked = new AbortController();
        try {
            rows = await find(found[1], found[2], asked.signal);
        } catch {
            return; // somebody typed on
        }
        at = rows.length ? 0 : -1;
        show();
        if (rows.length) live.textContent = words.suggestionCount(rows.length);
    }

    text.addEventListener("input", () => {
        clearTimeout(timer);
        if (begun()) timer = setTimeout(() => void ask(), PAUSE_MS);
        else close();
    });
    text.addEventListener("blur", () => setTimeout(() => document.activeElement === text || close(), 0));
    text.addEventListener("keydown", (event) => {
        if (!rows.length || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
        const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
        if (step) {
            at = (at + step + rows.length) % rows.length;
            show();
        } else if (event.key === "Enter" || event.key === "Tab") take(at);
        else if (event.key === "Escape") close();
        else if (event.key === "ArrowLeft" || event.key === "ArrowRight") return close();
        else return;
        event.preventDefault();
        event.stopPropagation();
    });
    return { close };
}
