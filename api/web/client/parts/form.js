/*
 * Parts of forms: each with its label, big enough for a thumb, and without a style of its own.
 *
 * Rules of this file
 * - A label is one by `<label>` or `<legend>`, never by a placeholder.
 * - What is chosen is told at once; what is typed is told when its form is sent.
 */

import { element, html } from "../base/html.js";

let count = 0;

/** A list of tabs that are links: the address says which is shown.
 * @param {string} label @param {{name: string, label: string, href: string}[]} tabs @param {string} current
 * @param {(name: string) => void} [chosen] what is done instead of going there, if anything
 * @returns {HTMLElement} */
export function tabs(label, tabs, current, chosen) {
    const links = tabs.map((tab) => element(html`<a href=${tab.href} data-name=${tab.name}>${tab.label}</a>`));
    /** @param {string} name */
    const mark = (name) => {
        for (const link of links) {
            if (link.dataset.name === name) link.setAttribute("aria-current", "page");
            else link.removeAttribute("aria-current");
        }
    };
    mark(current);
    /** @param {MouseEvent} event */
    const click = (event) => {
        const link = event.target instanceof Element ? event.target.closest("a") : null;
        if (!chosen || !link || event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        history.replaceState(history.state, "", link.href);
        dispatchEvent(new CustomEvent("rk-readdressed"));
        mark(link.dataset.name ?? "");
        chosen(link.dataset.name ?? "");
    };
    return element(html`<nav class="rk-tabs" aria-label=${label} @click=${click}>${links}</nav>`);
}

/** One of several, at once.
 * @param {string} label @param {{value: unknown, label: string}[]} choices @param {unknown} current
 * @param {(value: any) => void} chosen @returns {HTMLElement} */
export function choice(label, choices, current, chosen) {
    const name = `choice-${(count += 1)}`;
    const radios = choices.map(
        (each) => html`<label><input type="radio" name=${name} ?checked=${each.value === current} @change=${() => chosen(each.value)}> ${each.label}</label>`,
    );
    return element(html`<fieldset class="rk-choice"><legend>${label}</legend>${radios}</fieldset>`);
}

/** On or off, at once. @param {string} label @param {boolean} on @param {(on: boolean) => void} chosen
 * @param {string} [hint] @returns {HTMLElement} */
export function toggle(label, on, chosen, hint) {
    /** @param {Event} event */
    const change = (event) => chosen(/** @type {HTMLInputElement} */ (event.target).checked);
    return element(
        html`<label class="rk-toggle"><input type="checkbox" ?checked=${on} @change=${change}><span>${label}${hint && html`<small>${hint}</small>`}</span></label>`,
    );
}

/** A box whose value its form sends. @param {string} label @param {string} name @param {boolean} [on] */
export function check(label, name, on) {
    return html`<label class="rk-toggle"><input type="checkbox" name=${name} ?checked=${on}><span>${label}</span></label>`;
}

/** A line of text. @param {string} label @param {string} name @param {string} [value]
 * @param {{max?: number, required?: boolean, hint?: string, type?: string}} [more] */
export function line(label, name, value = "", { max = 500, required, hint, type = "text" } = {}) {
    return html`<label class="rk-field"><span>${label}</span><input type=${type} name=${name} value=${value} maxlength=${max} ?required=${required} autocomplete="off" dir="auto">${hint && html`<small>${hint}</small>`}</label>`;
}

/** Some lines of text. @param {string} label @param {string} name @param {string} [value] @param {number} [max] */
export function lines(label, name, value = "", max = 2000) {
    return html`<label class="rk-field"><span>${label}</span><textarea name=${name} rows="4" maxlength=${max} dir="auto" .value=${value}></textarea></label>`;
}

/** One of a list that is long, or stands in a form. @param {string} label @param {string} name
 * @param {{value: string, label: string}[]} options @param {string} [current] @param {(value: string) => void} [chosen] */
export function select(label, name, options, current = "", chosen) {
    /** @param {Event} event */
    const change = (event) => chosen?.(/** @type {HTMLSelectElement} */ (event.target).value);
    return html`<label class="rk-field"><span>${label}</span><select name=${name} @change=${change}>${options.map((each) => html`<option value=${each.value} ?selected=${each.value === current}>${each.label}</option>`)}</select></label>`;
}

/** A form that calls back with what it says. @param {string} label @param {unknown} inside
 * @param {string} button @param {(data: FormData, form: HTMLFormElement) => Promise<unknown> | unknown} sent
 * @returns {HTMLFormElement} */
export function form(label, inside, button, sent) {
    /** @param {SubmitEvent} event */
    const submit = async (event) => {
        event.preventDefault();
        const form = /** @type {HTMLFormElement} */ (event.currentTarget);
        if (form.ariaBusy === "true") return;
        form.ariaBusy = "true";
        try {
            await sent(new FormData(form), form);
        } finally {
            form.ariaBusy = null;
        }
    };
    return /** @type {HTMLFormElement} */ (
        element(html`<form class="rk-form" aria-label=${label} @submit=${submit}>${inside}<button class="primary">${button}</button></form>`)
    );
}

/** What is said in place of a list. @param {string} text @param {unknown} [more] */
export function said(text, more) {
    return html`<div class="rk-said"><p>${text}</p>${more}</div>`;
}
