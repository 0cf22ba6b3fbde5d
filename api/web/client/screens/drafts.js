/*
 * /drafts: what waits to be sent and how that stands, drafts on this device, and what the server posts at its time.
 */

import { fill } from "../base/fill.js";
import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { readAll, storage } from "../net/database.js";
import { outbox, removeDraft } from "../net/sending.js";
import { session } from "../net/session.js";
import { compose } from "../parts/composer.js";
import { confirmBox } from "../parts/dialog.js";
import { toast } from "../parts/toast.js";
import { words } from "../words/writing.js";

/** @typedef {import("../state/outbox.js").Sending} Sending */
/** @typedef {import("../state/drafts.js").Draft} Draft */

/** @param {number} at @returns {string} */
function time(at) {
    return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(at);
}

/** @param {Draft | undefined} draft @param {Sending} [sending] */
function wordsOf(draft, sending) {
    return (draft?.text ?? sending?.body.status ?? "").trim() || draft?.media.map((each) => each.alt || each.name).join(", ") || words.noWords;
}

/** @param {Sending} sending */
function stateOf({ state, message, attempts, next }) {
    if (state === "refused") return words.states.refused(message);
    if (state === "waiting") return attempts ? words.states.waitingAt(time(next)) : words.states.waiting;
    return words.states[state];
}

/** @param {string} label @param {() => unknown} act */
function button(label, act) {
    return html`<button type="button" @click=${act}>${label}</button>`;
}

/** @param {Sending} sending */
async function giveUp(sending) {
    const { cancelTitle: title, cancelText: text, cancelYes: yes, cancelNo: no } = words;
    if (outbox.maybePosted(sending) && !(await confirmBox({ title, text, yes, no, danger: true }))) return;
    const draft = await outbox.cancel(sending.id);
    if (sending.state === "refused" && draft) await compose({ draft });
}

/** @param {Sending} sending @param {Draft | undefined} draft */
function sendingRow(sending, draft) {
    const { state, id } = sending;
    return html`<li data-state=${state}><p dir="auto">${wordsOf(draft, sending)}</p><p class="faint" role="status">${stateOf(sending)}</p><div class="row-tools">
        ${state === "waiting" && button(words.retry, () => void outbox.hurry())}
        ${(state === "refused" || state === "unsure") && button(words.again, () => void outbox.again(id))}
        ${state === "refused" ? button(words.editIt, () => void giveUp(sending)) : button(words.cancel, () => void giveUp(sending))}</div></li>`;
}

/** @param {() => void} draw @param {Draft} draft */
function draftRow(draw, draft) {
    return html`<li><p dir="auto">${wordsOf(draft)}</p><p class="faint">${draft.replyTo?.acct ? `${words.reply(draft.replyTo.acct)} · ` : ""}${time(draft.at)}</p><div class="row-tools">
        ${button(words.open, () => void compose({ draft }))}${button(words.remove, async () => {
            if (!(await confirmBox({ title: words.removeTitle, text: wordsOf(draft).slice(0, 140), yes: words.removeYes, danger: true }))) return;
            dispatchEvent(new CustomEvent("rk-removed", { detail: { id: draft.id } }));
            await removeDraft(draft.id);
            draw();
        })}</div></li>`;
}

/** @param {HTMLElement} place */
async function scheduled(place) {
    const answer = await api.get("/api/v1/scheduled_statuses", { limit: 40 });
    if (!answer.ok || !answer.body.length) return fill(place);
    fill(place, html`<h2>${words.scheduledTitle}</h2><ul class="rows">${answer.body.map((/** @type {any} */ each) => html`<li><p dir="auto">${each.params.text}</p>
        <p class="faint">${time(Date.parse(each.scheduled_at))}</p><div class="row-tools">${button(words.scheduledRemove, async () => {
            const gone = await api.send("DELETE", `/api/v1/scheduled_statuses/${each.id}`);
            if (!gone.ok) toast(gone.message);
            void scheduled(place);
        })}</div></li>`)}</ul>`);
}

/** @returns {{element: HTMLElement, title: string, leave: () => void}} */
export default function screen() {
    const page = element(html`<div class="drafts"><div></div><div></div><div></div><p class="faint">${words.kept}</p></div>`);
    const [sendings, drafts, later] = /** @type {HTMLElement[]} */ ([...page.children]);
    const draw = async () => {
        const account = session.account?.id ?? "";
        const [waiting, all] = await Promise.all([outbox.list(), readAll("drafts", account)]);
        const known = new Map(all.map((each) => [each.id, each]));
        const free = all.filter((each) => !waiting.some(({ id }) => id === each.id)).sort((a, b) => b.at - a.at);
        fill(sendings, waiting.length > 0 && html`<h2>${words.waitingTitle}</h2><ul class="rows">${waiting.map((each) => sendingRow(each, known.get(each.id)))}</ul>`);
        fill(drafts, storage.problem && html`<p><strong>${words.storage[storage.problem]}</strong></p>`, waiting.length > 0 && html`<h2>${words.draftsTitle}</h2>`,
            free.length ? html`<ul class="rows">${free.map((each) => draftRow(draw, each))}</ul>` : html`<p class="faint">${words.noDrafts}</p>`);
    };
    void draw();
    if (session.account) void scheduled(later);
    const stops = [outbox.onChange(() => void draw()), storage.onChange(() => void draw())];
    return { element: page, title: words.draftsTitle, leave: () => stops.forEach((stop) => stop()) };
}
