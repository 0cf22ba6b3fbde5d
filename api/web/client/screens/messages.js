/*
 * Messages: what is said to named accounts alone, by conversations.
 */

import { element, html } from "../base/html.js";
import { plain } from "../base/content.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { placeOf } from "../parts/account.js";
import { avatar } from "../parts/avatar.js";
import { confirmBox } from "../parts/dialog.js";
import { drop, listed } from "../parts/listed.js";
import { toast } from "../parts/toast.js";
import { words as w } from "../words/places.js";
import { ago } from "../words/times.js";

export default function screen() {
    const write = async () => {
        const { compose } = await import("../parts/composer.js");
        compose({ text: "@", visibility: "direct" });
    };
    const list = listed("/api/v1/conversations", w.noMessages, conversation);
    return { element: element(html`<div><p class="rk-buttons"><button type="button" class="primary" @click=${write}>${w.writeMessage}</button></p>${list}</div>`), title: w.messages };
}

/** @param {any} item @returns {HTMLElement} */
function conversation(item) {
    const { accounts, last_status: last } = item;
    const others = accounts.filter((/** @type {any} */ each) => each.id !== session.account?.id);
    const people = others.length ? others : accounts;
    const label = people.map((/** @type {any} */ each) => each.display_name || each.username).join(", ");
    const read = () => {
        if (item.unread) api.send("POST", `/api/v1/conversations/${item.id}/read`);
        row.classList.remove("unread");
    };
    const forget = async () => {
        if (!(await confirmBox({ title: w.forgetMessage, text: w.forgetMessageText, yes: w.forget, danger: true }))) return;
        const answer = await api.send("DELETE", `/api/v1/conversations/${item.id}`);
        if (answer.ok) drop(item.id);
        else toast(answer.message);
    };
    const text = last ? (last.spoiler_text || plain(last.content)).slice(0, 200) : w.noMessage;
    const row = element(
        html`<article class=${`rk-message ${item.unread ? "unread" : ""}`} tabindex="0" aria-label=${w.messageWith(label, item.unread)}>
            <span class="faces">${people.slice(0, 3).map((/** @type {any} */ each) => avatar(each, { size: "small" }))}</span>
            <a href=${last ? `${placeOf(last.account)}/${last.id}` : placeOf(people[0])} @click=${read}><bdi class="name">${label}</bdi>${last && html` <time datetime=${last.created_at}>${ago(last.created_at)}</time>`}<span class="text" dir="auto" lang=${last?.language}>${text}</span></a>
            <button type="button" class="quiet" aria-label=${w.forgetMessageWith(label)} @click=${forget}>×</button>
        </article>`,
    );
    return row;
}
