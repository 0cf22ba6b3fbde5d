/*
 * The earlier versions of a post, in a dialog.
 */

import { content } from "../base/content.js";
import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { words as w } from "../words/reading.js";
import { time } from "../words/times.js";
import { openDialog } from "./dialog.js";
import { toast } from "./toast.js";

/** @param {string} id */
export async function history(id) {
    const answer = await api.get(`/api/v1/statuses/${id}/history`);
    if (!answer.ok) return void toast(answer.message);
    const each = answer.body.map(
        (/** @type {any} */ version) => html`<li><small>${time(version.created_at)}</small>${version.spoiler_text && html`<p dir="auto"><strong>${version.spoiler_text}</strong></p>`}<div dir="auto">${content(version.content)}</div></li>`,
    );
    const close = openDialog(element(html`<div><h2>${w.history}</h2><ol class="rk-history" tabindex="0">${each.reverse()}</ol><div class="rk-buttons"><button type="button" @click=${() => close()}>${w.close}</button></div></div>`), { label: w.history });
}
