/*
 * A menu at a button: opened by it, gone through by arrows, closed by Escape or a look elsewhere.
 */

import { element, html } from "../base/html.js";

/** @typedef {{label: string, act: () => void, danger?: boolean}} Choice */

/**
 * @param {HTMLElement} button
 * @param {Choice[] | (() => Choice[] | Promise<Choice[]>)} choices
 */
export function menu(button, choices) {
    button.setAttribute("aria-haspopup", "menu");
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", async () => {
        if (button.getAttribute("aria-expanded") === "true") return;
        open(button, typeof choices === "function" ? await choices() : choices);
    });
}

/** @param {HTMLElement} button @param {Choice[]} choices */
function open(button, choices) {
    const close = (/** @type {boolean} */ isBack) => {
        document.removeEventListener("pointerdown", beside, true);
        removeEventListener("scroll", place);
        button.setAttribute("aria-expanded", "false");
        list.remove();
        if (isBack) button.focus();
    };
    const items = choices.map((choice) =>
        element(html`<button type="button" role="menuitem" tabindex="-1" class=${choice.danger ? "danger" : null} @click=${() => {
            close(true);
            choice.act();
        }}>${choice.label}</button>`),
    );
    const keys = (/** @type {KeyboardEvent} */ event) => {
        const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
        const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
        if (to !== undefined) items[(to + items.length) % items.length]?.focus();
        else if (event.key === "Escape" || event.key === "Tab") close(true);
        else return;
        event.stopPropagation();
        if (event.key !== "Tab") event.preventDefault();
    };
    const beside = (/** @type {Event} */ event) => {
        if (event.target instanceof Node && !list.contains(event.target)) close(button.contains(event.target));
    };
    const list = element(html`<div class="rk-menu" role="menu" popover="manual" @keydown=${keys}>${items}</div>`);
    const place = () => {
        const at = button.getBoundingClientRect();
        const { offsetWidth: wide, offsetHeight: high } = list;
        const isBelow = at.bottom + high + 8 < innerHeight || at.top < high + 8;
        list.style.top = `${isBelow ? at.bottom + 4 : at.top - high - 4}px`;
        list.style.left = `${Math.max(8, Math.min(at.right - wide, innerWidth - wide - 8))}px`;
    };
    (button.closest("dialog") ?? document.body).append(list);
    list.showPopover?.();
    place();
    addEventListener("scroll", place, { passive: true });
    document.addEventListener("pointerdown", beside, true);
    button.setAttribute("aria-expanded", "true");
    items[0]?.focus({ preventScroll: true });
}
