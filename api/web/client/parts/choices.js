/*
 * The menu of a post: what of it is rarely wanted, and what is its author's alone.
 */

import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { store } from "../state/store.js";
import { words as w } from "../words/reading.js";
import { copyLink } from "./acting.js";
import { confirmBox } from "./dialog.js";
import { toast } from "./toast.js";

/** @typedef {Record<string, any>} Status */

/** @param {Status} status @param {string} action @param {Status} fields */
async function change(status, action, fields) {
    store.patch(status.id, fields);
    const answer = await api.send("POST", `/api/v1/statuses/${status.id}/${action}`);
    if (answer.ok) return store.takeStatuses([answer.body]);
    store.patch(status.id, Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, !value])));
    toast(answer.message);
}

/** @param {Status} status @param {boolean} anew whether it is written anew afterwards */
async function remove(status, anew) {
    if (!(await confirmBox({ title: w.removeSure, text: w.removeText, yes: w.yesRemove, danger: true }))) return;
    const answer = await api.send("DELETE", `/api/v1/statuses/${status.id}`);
    if (!answer.ok && answer.kind !== "missing") return toast(answer.message);
    store.remove(status.id);
    dispatchEvent(new CustomEvent("rk-removed", { detail: { id: status.id } }));
    if (!anew || !answer.ok) return toast(w.removed);
    const { compose } = await import("./composer.js");
    compose({ redraft: answer.body });
}

/** @param {Status} status */
async function edit(status) {
    const { compose } = await import("./composer.js");
    compose({ edit: status });
}

/** @param {import("./status.js").StatusElement} of @returns {import("./menu.js").Choice[]} */
export function choices(of) {
    const status = store.status(of.shown.id) ?? of.shown;
    const { account } = status;
    const copy = [
        { label: w.open, act: () => of.open() },
        { label: w.copyLink, act: () => void copyLink(status) },
    ];
    if (!session.account) return copy;
    const mute = { label: status.muted ? w.unmuteConversation : w.muteConversation, act: () => void change(status, status.muted ? "unmute" : "mute", { muted: !status.muted }) };
    if (account.id === session.account.id) {
        return [
            ...copy,
            { label: w.edit, act: () => void edit(status) },
            ...(status.visibility === "direct" ? [] : [{ label: status.pinned ? w.unpin : w.pin, act: () => void change(status, status.pinned ? "unpin" : "pin", { pinned: !status.pinned }) }]),
            mute,
            { label: w.redraft, act: () => void remove(status, true), danger: true },
            { label: w.remove, act: () => void remove(status, false), danger: true },
        ];
    }
    const relations = () => import("./relations.js");
    return [
        ...copy, mute,
        { label: w.muteAccount(account.acct), act: async () => (await relations()).mute(account) },
        { label: w.blockAccount(account.acct), act: async () => (await relations()).block(account), danger: true },
        { label: w.report, act: async () => (await import("./report.js")).report(account, status), danger: true },
    ];
}
