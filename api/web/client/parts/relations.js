/*
 * What a profile's menu does about an account: each asks for what it needs, does it, and says so.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { words as w } from "../words/places.js";
import { placeOf } from "./account.js";
import { confirmBox, openDialog } from "./dialog.js";
import { act } from "./follow.js";
import { check, form, said, select, toggle } from "./form.js";
import { toast } from "./toast.js";

export { report } from "./report.js";

/** @param {any} account */
export async function mention(account) {
    const { compose } = await import("./composer.js");
    compose({ text: `@${account.acct} ` });
}

/** @param {any} account @param {boolean} on */
export const bell = (account, on) => act(account.id, "follow", { notifying: on }, { notify: on });

/** @param {any} account @param {boolean} on */
export const reposts = (account, on) => act(account.id, "follow", { showing_reblogs: on }, { reblogs: on });

/** @param {any} account @param {boolean} on */
export const endorse = (account, on) => act(account.id, on ? "endorse" : "unendorse", { endorsed: on });

/** @param {any} account */
export async function removeFollower(account) {
    if (!(await confirmBox({ title: w.removeFollower, text: w.removeFollowerText(account.acct), yes: w.remove }))) return;
    await act(account.id, "remove_from_followers", { followed_by: false });
}

/** @param {any} account */
export async function copyLink(account) {
    await navigator.clipboard.writeText(new URL(placeOf(account), location.href).href).then(() => toast(w.copied), () => toast(w.notCopied));
}

/** @param {any} account */
export function mute(account) {
    const box = element(html`<div></div>`);
    const close = openDialog(box, { label: w.muteOf(account.acct) });
    const times = w.durations.map((/** @type {[number, string]} */ [seconds, label]) => ({ value: String(seconds), label }));
    box.append(
        form(
            w.muteOf(account.acct),
            html`<p>${w.muteText}</p>${select(w.muteFor, "duration", times, "0")}${check(w.muteNotices, "notices", true)}`,
            w.mute,
            async (data) => {
                const body = { notifications: data.has("notices"), duration: Number(data.get("duration")) };
                if (!(await act(account.id, "mute", { muting: true, muting_notifications: body.notifications }, body))) return;
                close();
                toast(w.muted(account.acct), { label: w.undo, action: () => unmute(account) });
            },
        ),
    );
}

/** @param {any} account */
export const unmute = (account) => act(account.id, "unmute", { muting: false, muting_notifications: false });

/** @param {any} account */
export async function block(account) {
    if (!(await confirmBox({ title: w.blockOf(account.acct), text: w.blockText, yes: w.block, danger: true }))) return;
    const done = await act(account.id, "block", { blocking: true, following: false, followed_by: false, requested: false });
    if (done) toast(w.blocked(account.acct), { label: w.undo, action: () => unblock(account) });
}

/** @param {any} account */
export const unblock = (account) => act(account.id, "unblock", { blocking: false });

/** @param {any} account */
export async function lists(account) {
    const box = element(html`<div><p>${w.loading}</p></div>`);
    openDialog(box, { label: w.onListsOf(account.acct) });
    const [all, on] = await Promise.all([api.get("/api/v1/lists"), api.get(`/api/v1/accounts/${account.id}/lists`)]);
    if (!all.ok || !on.ok) return box.replaceChildren(element(said(/** @type {any} */ (all.ok ? on : all).message)));
    const has = new Set(on.body.map((/** @type {any} */ each) => each.id));
    /** @param {any} list */
    const row = (list) => {
        const shown = toggle(list.title, has.has(list.id), async (wanted) => {
            const path = `/api/v1/lists/${list.id}/accounts`;
            const answer = await api.send(wanted ? "POST" : "DELETE", path, { account_ids: [account.id] });
            if (answer.ok) return;
            toast(answer.message);
            const input = shown.querySelector("input");
            if (input) input.checked = !wanted;
        });
        return shown;
    };
    box.replaceChildren(...all.body.map(row), element(all.body.length ? html`<p><a href="/lists">${w.yourLists}</a></p>` : said(w.noLists, html`<a href="/lists">${w.makeList}</a>`)));
    box.querySelector("input")?.focus();
}
