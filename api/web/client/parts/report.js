/*
 * Telling the operator of an account, or of a post: what is wrong, in one dialog.
 *
 * Rules of this file
 * - What happens is said before it is sent: who reads it, and that the other isn't told.
 * - Afterwards muting and blocking are offered; nothing is done about the account by itself.
 */

import { element, html } from "../base/html.js";
import { plain } from "../base/content.js";
import { api } from "../net/api.js";
import { words as w } from "../words/places.js";
import { openDialog } from "./dialog.js";
import { act } from "./follow.js";
import { check, form, lines, said, select } from "./form.js";
import { toast } from "./toast.js";

/** @param {any} account whom it is of @param {any} [status] what was said */
export async function report(account, status) {
    const rules = (await api.get("/api/v1/instance/rules")).body ?? [];
    const box = element(html`<div class="rk-report"></div>`);
    const close = openDialog(box, { label: w.reportOf(account.acct) });
    /** @param {FormData} data */
    const send = async (data) => {
        const broken = rules.filter((/** @type {any} */ rule) => data.has(`rule-${rule.id}`)).map((/** @type {any} */ rule) => rule.id);
        const answer = await api.send("POST", "/api/v1/reports", {
            account_id: account.id, category: broken.length ? "violation" : data.get("category"), comment: data.get("comment"),
            ...(status && { status_ids: [status.id] }), ...(broken.length && { rule_ids: broken }),
        });
        if (!answer.ok) return toast(answer.message);
        const mute = html`<button type="button" @click=${async () => (await act(account.id, "mute", { muting: true })) && close()}>${w.mute}</button>`;
        const block = html`<button type="button" @click=${async () => (await act(account.id, "block", { blocking: true, following: false })) && close()}>${w.block}</button>`;
        box.replaceChildren(
            element(said(w.reported, html`<p>${w.reportedMore(account.acct)}</p><p class="rk-buttons">${mute}${block}<button type="button" class="primary" @click=${() => close()}>${w.done}</button></p>`)),
        );
        box.querySelector("button")?.focus();
    };
    const inside = html`<p>${w.reportHint}</p>
        ${select(w.reportWhy, "category", ["spam", "violation", "legal", "other"].map((value) => ({ value, label: w.reportWhys[value] })), "other")}
        ${rules.length && html`<fieldset><legend>${w.reportRules}</legend>${rules.map((/** @type {any} */ rule) => check(rule.text, `rule-${rule.id}`))}</fieldset>`}
        ${status && html`<blockquote dir="auto">${plain(status.content).slice(0, 200)}</blockquote>`}
        ${lines(w.reportComment, "comment", "", 1000)}`;
    box.append(form(w.reportOf(account.acct), inside, w.send, send));
}
