/*
 * The editor of a poll: two to four options, how long it is open, whether several may be chosen.
 *
 * Rule of this file: it tells of each change by `changed(poll)` and keeps nothing itself that isn't on the screen.
 */

import { element, html } from "../base/html.js";
import { POLL_SECONDS } from "../state/drafts.js";
import { words } from "../words/writing.js";
import { signButton } from "./sign.js";

/** @typedef {import("../state/drafts.js").Poll} Poll */

/** @returns {Poll} */
export function newPoll() {
    return { options: ["", ""], seconds: 86_400, multiple: false, hides: false };
}

/** @param {number} seconds @returns {string} "3 days" */
function lasting(seconds) {
    const [count, unit] = seconds < 3600 ? [seconds / 60, "minute"] : seconds < 86_400 ? [seconds / 3600, "hour"] : [seconds / 86_400, "day"];
    return new Intl.NumberFormat(undefined, { style: "unit", unit, unitDisplay: "long" }).format(count);
}

/**
 * @param {Poll} poll @param {{optionsMax: number, changed: (poll: Poll) => void}} given
 * @returns {HTMLElement}
 */
export function pollEditor(poll, { optionsMax, changed }) {
    const form = element(html`<fieldset class="poll-editor"><legend>${words.poll.title}</legend><ol></ol>
        <button type="button" class="quiet" @click=${add}>${words.poll.add}</button>
        <label>${words.poll.open} <select @change=${told}>${POLL_SECONDS.map((each) => html`<option value=${String(each)} ?selected=${each === poll.seconds}>${lasting(each)}</option>`)}</select></label>
        <label><input type="checkbox" name="multiple" ?checked=${poll.multiple} @change=${told}> ${words.poll.multiple}</label>
        <label><input type="checkbox" name="hides" ?checked=${poll.hides} @change=${told}> ${words.poll.hides}</label>
    </fieldset>`);
    const list = /** @type {HTMLElement} */ (form.querySelector("ol"));
    const adder = /** @type {HTMLButtonElement} */ (form.querySelector("button"));

    /** @param {string} selector */
    function at(selector) {
        return /** @type {HTMLInputElement} */ (form.querySelector(selector));
    }

    function inputs() {
        return /** @type {HTMLInputElement[]} */ ([...list.querySelectorAll("input")]);
    }

    function told() {
        changed({
            options: inputs().map((each) => each.value), seconds: Number(at("select").value),
            multiple: at("[name=multiple]").checked, hides: at("[name=hides]").checked,
        });
    }

    function add() {
        draw([...inputs().map((each) => each.value), ""]);
        told();
        inputs().at(-1)?.focus();
    }

    /** @param {number} n */
    function remove(n) {
        draw(inputs().map((each) => each.value).filter((_, at) => at !== n));
        told();
        inputs()[Math.max(0, n - 1)]?.focus();
    }

    /** @param {string[]} options */
    function draw(options) {
        list.replaceChildren(...options.map((option, n) => element(html`<li>
            <input type="text" dir="auto" aria-label=${words.poll.option(n + 1)} placeholder=${words.poll.option(n + 1)} .value=${option} @input=${told}>
            ${options.length > 2 && signButton("close", words.poll.remove(n + 1), () => remove(n), "option")}</li>`)));
        adder.hidden = options.length >= optionsMax;
    }

    draw(poll.options);
    return form;
}
