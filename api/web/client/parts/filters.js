/*
 * Filters: words, where they act, what is done with what has them, until when.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { words as w } from "../words/places.js";
import { day } from "../words/times.js";
import { confirmBox } from "./dialog.js";
import { check, form, line, lines, said, select } from "./form.js";
import { toast } from "./toast.js";

const PATH = "/api/v2/filters";
const CONTEXTS = ["home", "notifications", "public", "thread", "account"];

/** @returns {Promise<HTMLElement>} */
export async function filters() {
    const box = element(html`<div></div>`);
    await draw(box);
    return box;
}

/** @param {HTMLElement} box */
async function draw(box) {
    const found = await api.get(PATH);
    if (!found.ok) return box.replaceChildren(element(said(found.message)));
    const rows = found.body.map((/** @type {any} */ filter) => {
        const drop = async () => {
            if (!(await confirmBox({ title: w.deleteFilter, text: filter.title, yes: w.remove, danger: true }))) return;
            const answer = await api.send("DELETE", `${PATH}/${filter.id}`);
            if (!answer.ok) return toast(answer.message);
            draw(box);
        };
        const where = filter.context.map((/** @type {string} */ each) => w.contexts[each]).join(", ");
        const until = filter.expires_at ? ` · ${w.until(day(filter.expires_at))}` : "";
        return element(
            html`<details class="rk-help"><summary dir="auto">${filter.title} <small>${w.actions[filter.filter_action]} · ${where}${until}</small></summary>${edit(filter, () => draw(box))}<p class="rk-buttons"><button type="button" class="danger" @click=${drop}>${w.deleteFilter}</button></p></details>`,
        );
    });
    const add = element(html`<details class="rk-help"><summary>${w.makeFilter}</summary>${edit(null, () => draw(box))}</details>`);
    box.replaceChildren(...(rows.length ? rows : [element(said(w.noFilters))]), add);
}

/** @param {any} filter null for a new one @param {() => void} done */
function edit(filter, done) {
    const words = filter?.keywords ?? [];
    const inside = html`${line(w.filterTitle, "title", filter?.title, { required: true, max: 100 })}
        ${lines(w.filterWords, "words", words.map((/** @type {any} */ each) => each.keyword).join("\n"))}
        ${check(w.wholeWords, "whole", words.length ? words.every((/** @type {any} */ each) => each.whole_word) : true)}
        <fieldset><legend>${w.filterWhere}</legend>${CONTEXTS.map((name) => check(w.contexts[name], `in-${name}`, filter ? filter.context.includes(name) : name !== "account"))}</fieldset>
        ${select(w.filterAction, "action", ["warn", "hide", "blur"].map((value) => ({ value, label: w.actions[value] })), filter?.filter_action ?? "warn")}
        ${select(w.filterFor, "for", [...(filter ? [{ value: "", label: w.asItIs }] : []), ...w.durations.map((/** @type {[number, string]} */ [seconds, label]) => ({ value: String(seconds), label }))], filter ? "" : "0")}`;
    return form(filter?.title ?? w.makeFilter, inside, w.keep, async (data) => {
        const wanted = String(data.get("words")).split("\n").map((each) => each.trim()).filter(Boolean);
        const whole_word = data.has("whole");
        const known = new Map(words.map((/** @type {any} */ each) => [each.keyword, each.id]));
        const gone = words.filter((/** @type {any} */ each) => !wanted.includes(each.keyword)).map((/** @type {any} */ each) => ({ id: each.id, _destroy: true }));
        const seconds = String(data.get("for"));
        const body = {
            title: data.get("title"), context: CONTEXTS.filter((name) => data.has(`in-${name}`)), filter_action: data.get("action"),
            ...(seconds && { expires_in: Number(seconds) || null }),
            keywords_attributes: [...wanted.map((keyword) => ({ ...(known.has(keyword) && { id: known.get(keyword) }), keyword, whole_word })), ...gone],
        };
        const answer = filter ? await api.send("PUT", `${PATH}/${filter.id}`, body) : await api.send("POST", PATH, body);
        toast(answer.ok ? w.kept : answer.message);
        if (answer.ok) done();
    });
}
