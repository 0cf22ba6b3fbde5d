/*
 * A poll as one reads it: vote while it is open, see how it stands after.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { store } from "../state/store.js";
import { words as w } from "../words/reading.js";
import { number, time } from "../words/times.js";
import { toast } from "./toast.js";

/** @param {Record<string, any>} status @param {HTMLElement} place where it stands @returns {HTMLElement} */
export function tally(status, place) {
    const { poll } = status;
    const isOver = poll.expired || (poll.expires_at && Date.parse(poll.expires_at) <= Date.now());
    const foot = html`<small>${w.votes(poll.voters_count ?? poll.votes_count)} · ${isOver ? w.closed : poll.expires_at ? w.closes(time(poll.expires_at)) : ""}</small>`;
    if (isOver || poll.voted || !session.account || session.account.id === status.account.id) return results(poll, foot);
    const name = `poll-${poll.id}`;
    const kind = poll.multiple ? "checkbox" : "radio";
    const options = poll.options.map((/** @type {any} */ option, /** @type {number} */ at) => html`<label class="rk-option"><input type=${kind} name=${name} value=${at}> <span dir="auto">${option.title}</span></label>`);
    /** @param {SubmitEvent} event */
    const vote = async (event) => {
        event.preventDefault();
        const choices = new FormData(/** @type {HTMLFormElement} */ (event.target)).getAll(name).map(Number);
        if (!choices.length) return;
        const answer = await api.send("POST", `/api/v1/polls/${poll.id}/votes`, { choices });
        if (!answer.ok) return toast(answer.message);
        const had = place.contains(document.activeElement);
        store.patch(status.id, { poll: answer.body });
        if (had) /** @type {HTMLElement | null} */ (place.closest("article"))?.focus({ preventScroll: true });
    };
    return element(html`<form class="rk-tally" @submit=${vote}>${options}<div class="rk-buttons"><button class="small">${w.vote}</button>${foot}</div></form>`);
}

/** @param {any} poll @param {unknown} foot */
function results(poll, foot) {
    const all = Math.max(1, poll.voters_count ?? poll.votes_count);
    const rows = poll.options.map((/** @type {any} */ option, /** @type {number} */ at) => {
        const share = Math.round(((option.votes_count ?? 0) / all) * 100);
        const own = (poll.own_votes ?? []).includes(at);
        return html`<li><span class="line"><span dir="auto">${option.title}${own && html` <small>(${w.yourVote})</small>`}</span><span>${option.votes_count === null ? "" : `${number(share)} %`}</span></span><meter min="0" max="100" value=${share} aria-label=${option.title}></meter></li>`;
    });
    return element(html`<div class="rk-tally"><ul>${rows}</ul>${foot}</div>`);
}
