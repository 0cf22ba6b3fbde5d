/*
 * The menu of whoever is signed in: what the navigation has no room for, and the way out.
 */

import { outbox } from "../net/sending.js";
import { session } from "../net/session.js";
import { navigate } from "../routes.js";
import { words as w } from "../words/reading.js";
import { confirmBox } from "./dialog.js";

/** @returns {import("./menu.js").Choice[]} */
export function ownMenu() {
    const go = (/** @type {string} */ path, /** @type {string} */ label) => ({ label, act: () => navigate(path) });
    return [
        go(`/@${session.account.acct}`, w.profile), go("/messages", w.messages), go("/bookmarks", w.bookmarks), go("/likes", w.likes),
        go("/lists", w.lists), go("/drafts", w.drafts), go("/settings", w.settings), go("/keys", w.keys),
        { label: w.signOut, act: signOut },
    ];
}

/** What waits to be sent would be lost: that is asked first. */
async function signOut() {
    const waiting = (await outbox.list()).length;
    if (waiting && !(await confirmBox({ title: w.signOut, text: w.waiting(waiting), yes: w.signOut, danger: true }))) return;
    await session.signOut();
    location.assign("/");
}
