/*
 * Whom one doesn't hear, who asks to follow, which hashtags one follows, and the account itself: where it is signed in,
 * its data, its end.
 *
 * Rules of this file
 * - Log-ins and the end of an account are calls of our own API: Mastodon's has none for them.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { answers } from "../screens/notifications.js";
import { words as w } from "../words/places.js";
import { ago, day } from "../words/times.js";
import { confirmBox } from "./dialog.js";
import { act } from "./follow.js";
import { form, line, said } from "./form.js";
import { drop, listed, rows } from "./listed.js";
import { toast } from "./toast.js";

/** @param {unknown} inside @param {unknown} [note] */
const buttons = (inside, note) => ({ action: element(html`<span class="rk-buttons">${inside}</span>`), note });

/** @param {string} path @param {string} none @param {string} undo @param {string} label @param {string} state */
const undoes = (path, none, undo, label, state) => () =>
    rows(path, none, (item, gone) => {
        const undone = async () => (await act(item.id, undo, { [state]: false })) && gone();
        const until = item.mute_expires_at && w.until(day(item.mute_expires_at));
        return buttons(html`<button type="button" aria-label=${`${label} @${item.acct}`} @click=${undone}>${label}</button>`, until);
    });

export const muted = undoes("/api/v1/mutes", w.nobodyMuted, "unmute", w.unmute, "muting");
export const blocked = undoes("/api/v1/blocks", w.nobodyBlocked, "unblock", w.unblock, "blocking");
export const followRequests = () => rows("/api/v1/follow_requests", w.nobodyAsks, (item, gone) => buttons(answers(item, gone)));

export function followedTags() {
    return listed("/api/v1/followed_tags", w.noTags, (item) => {
        const leave = async () => {
            const answer = await api.send("POST", `/api/v1/tags/${encodeURIComponent(item.name)}/unfollow`);
            if (answer.ok) drop(item.name);
            else toast(answer.message);
        };
        return element(html`<article class="rk-line" tabindex="0"><a href=${`/tags/${encodeURIComponent(item.name)}`}><bdi>#${item.name}</bdi></a><button type="button" aria-label=${w.unfollowTag(item.name)} @click=${leave}>${w.unfollow}</button></article>`);
    });
}

/** @returns {HTMLElement} */
export function ownAccount() {
    const logins = element(html`<div></div>`);
    drawLogins(logins);
    const out = async () => {
        await session.signOut();
        location.assign("/");
    };
    const end = form(w.deleteAccount, html`<p>${w.deleteText}</p>${line(w.password, "password", "", { type: "password", required: true })}`, w.deleteAccount, async (data) => {
        if (!(await confirmBox({ title: w.deleteAccount, text: w.deleteSure(session.account?.acct), yes: w.deleteAccount, danger: true }))) return;
        const answer = await api.send("DELETE", `/api/v1/users/${session.account?.id}`, { password: data.get("password") });
        if (answer.ok) await out();
        else toast(answer.message);
    });
    return element(
        html`<div><p class="rk-buttons"><button type="button" class="primary" @click=${out}>${w.signOut}</button></p>
            <h3>${w.logins}</h3>${logins}
            <h3>${w.yourData}</h3><ul class="rk-links"><li><a href="/settings/export">${w.export}</a></li><li><a href="/settings/import">${w.import}</a></li><li><a href="/settings/mail">${w.mail}</a></li><li><a href="/drafts">${w.drafts}</a></li></ul>
            <details class="rk-help"><summary>${w.deleteAccount}</summary>${end}</details></div>`,
    );
}

/** @param {HTMLElement} box */
async function drawLogins(box) {
    const path = `/${session.account?.id}/tokens`;
    const found = await api.get(path);
    if (!found.ok) return box.replaceChildren(element(said(found.message)));
    const rows = found.body.tokens.map((/** @type {any} */ each) => {
        const leave = async () => {
            const answer = await api.send("DELETE", `${path}/${each.id}`);
            if (!answer.ok) return toast(answer.message);
            drawLogins(box);
        };
        const when = each.last_used_at ?? each.created_at;
        const end = !each.current && html`<button type="button" aria-label=${w.endLogin(each.name || w.unnamed)} @click=${leave}>${w.end}</button>`;
        return element(html`<div class="rk-line"><span>${each.name || w.unnamed}</span><small>${each.current ? w.thisLogin : when && ago(new Date(when).toISOString())}</small>${end}</div>`);
    });
    const all = async () => {
        const answer = await api.send("DELETE", `${path}?keep_own=true`);
        if (!answer.ok) return toast(answer.message);
        toast(w.ended(answer.body.revoked));
        drawLogins(box);
    };
    box.replaceChildren(...rows, element(html`<p class="rk-buttons"><button type="button" @click=${all}>${w.endOthers}</button></p>`));
}
