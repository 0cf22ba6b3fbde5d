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
import { accountRow } from "./account.js";
import { confirmBox } from "./dialog.js";
import { feed } from "./feed.js";
import { act } from "./follow.js";
import { form, line, said } from "./form.js";
import { toast } from "./toast.js";

/** @param {string} path @param {string} none @param {(item: any, gone: () => void) => unknown} action @param {(item: any) => unknown} [note] */
function people(path, none, action, note) {
    return feed({
        key: path, load: (query) => api.get(path, query), idOf: (item) => item.id, empty: () => said(none),
        make: (item) => {
            const row = accountRow(item, { action: element(html`<span class="rk-buttons">${action(item, () => row.remove())}</span>`), note: note?.(item) });
            return row;
        },
    });
}

/** @param {"mute" | "block"} what @param {string} label @param {Record<string, boolean>} expected */
const undoes = (what, label, expected) => (/** @type {any} */ item, /** @type {() => void} */ gone) =>
    html`<button type="button" aria-label=${`${label} @${item.acct}`} @click=${async () => (await act(item.id, `un${what}`, expected)) && gone()}>${label}</button>`;

export const muted = () => people("/api/v1/mutes", w.nobodyMuted, undoes("mute", w.unmute, { muting: false }), (item) => item.mute_expires_at && w.until(day(item.mute_expires_at)));
export const blocked = () => people("/api/v1/blocks", w.nobodyBlocked, undoes("block", w.unblock, { blocking: false }));
export const followRequests = () => people("/api/v1/follow_requests", w.nobodyAsks, answers);

export function followedTags() {
    return feed({
        key: "followed tags", load: (query) => api.get("/api/v1/followed_tags", query), idOf: (item) => item.name, empty: () => said(w.noTags),
        make: (item) => {
            const drop = async () => {
                const answer = await api.send("POST", `/api/v1/tags/${encodeURIComponent(item.name)}/unfollow`);
                if (answer.ok) row.remove();
                else toast(answer.message);
            };
            const row = element(html`<article class="rk-line" tabindex="0"><a href=${`/tags/${encodeURIComponent(item.name)}`}><bdi>#${item.name}</bdi></a><button type="button" aria-label=${w.unfollowTag(item.name)} @click=${drop}>${w.unfollow}</button></article>`);
            return row;
        },
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
        const drop = async () => {
            const answer = await api.send("DELETE", `${path}/${each.id}`);
            if (!answer.ok) return toast(answer.message);
            drawLogins(box);
        };
        const when = each.last_used_at ?? each.created_at;
        const end = !each.current && html`<button type="button" aria-label=${w.endLogin(each.name || w.unnamed)} @click=${drop}>${w.end}</button>`;
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
