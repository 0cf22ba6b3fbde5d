/*
 * How one stands to accounts, and the button that says and changes it.
 *
 *     followButton(account) --ids of one turn--> one GET relationships --> every button of that account
 *
 * Rules of this file
 * - One truth a page: a relationship is kept by id, and whoever shows one watches it.
 * - An action shows at once, as the server will most likely have it, and is undone with a toast when it is refused.
 *   A locked account is "requested", not "followed": what the server answers stands in the end.
 * - Bounded: KEPT_MAX relationships; what nobody watches goes first.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { words as w } from "../words/places.js";
import { toast } from "./toast.js";

const KEPT_MAX = 1000;
const ASKED_MAX = 40;

/** @typedef {Record<string, any>} Relationship */
/** @type {Map<string, Relationship>} */
const kept = new Map();
/** @type {Map<string, Set<(relationship: Relationship) => void>>} */
const watchers = new Map();
/** @type {Set<string>} */
const wanted = new Set();

session.onChange(() => kept.clear());

/** @param {Relationship[]} found */
export function takeRelationships(found) {
    for (const each of found) {
        kept.set(each.id, each);
        for (const tell of [...(watchers.get(each.id) ?? [])]) tell(each);
    }
    for (const id of kept.keys()) {
        if (kept.size <= KEPT_MAX) return;
        if (!watchers.has(id)) kept.delete(id);
    }
}

/** @param {string} id @returns {Relationship | undefined} */
export const relationship = (id) => kept.get(id);

/** Be told how one stands to an account, now and whenever it changes.
 * @param {string} id @param {(relationship: Relationship) => void} tell @returns {() => void} */
export function watchRelationship(id, tell) {
    const those = watchers.get(id) ?? new Set();
    watchers.set(id, those.add(tell));
    const known = kept.get(id);
    if (known) tell(known);
    else if (session.account) {
        if (!wanted.size) queueMicrotask(ask);
        wanted.add(id);
    }
    return () => {
        those.delete(tell);
        if (!those.size && watchers.get(id) === those) watchers.delete(id);
    };
}

async function ask() {
    const ids = [...wanted];
    wanted.clear();
    for (let at = 0; at < ids.length; at += ASKED_MAX) {
        const answer = await api.get("/api/v1/accounts/relationships", { "id[]": ids.slice(at, at + ASKED_MAX) });
        if (answer.ok) takeRelationships(answer.body);
    }
}

/** Change how one stands to an account: shown at once, undone when refused.
 * @param {string} id @param {string} action the last part of the path @param {Relationship} expected what changes
 * @param {Record<string, unknown>} [body] @returns {Promise<boolean>} whether it was done */
export async function act(id, action, expected, body) {
    const before = kept.get(id);
    if (before) takeRelationships([{ ...before, ...expected }]);
    const answer = await api.send("POST", `/api/v1/accounts/${id}/${action}`, body ?? {});
    if (answer.ok) {
        if (answer.body.id) takeRelationships([answer.body]);
        return true;
    }
    if (before) takeRelationships([before]);
    toast(answer.message);
    return false;
}

/** @param {any} account */
export function follow(account) {
    return act(account.id, "follow", account.locked ? { requested: true } : { following: true });
}

/** @param {any} account */
export function unfollow(account) {
    return act(account.id, "unfollow", { following: false, requested: false, notifying: false });
}

/** @param {any} account @param {Relationship} to @returns {[string, () => unknown, boolean]} words, act, is pressed */
function offer(account, to) {
    if (to.blocking) return [w.unblock, () => act(account.id, "unblock", { blocking: false }), true];
    if (to.following) {
        const undo = async () => {
            if (await unfollow(account)) toast(w.unfollowed(account.acct), { label: w.undo, action: () => follow(account) });
        };
        return [w.following, undo, true];
    }
    if (to.requested) return [w.requested, () => unfollow(account), true];
    return [to.followed_by ? w.followBack : w.follow, () => follow(account), false];
}

class FollowButton extends HTMLElement {
    /** @type {any} */ account;
    /** @type {(() => void) | undefined} */ #stop;

    connectedCallback() {
        const button = /** @type {HTMLButtonElement} */ (element(html`<button type="button" disabled>${w.follow}</button>`));
        this.replaceChildren(button);
        this.#stop = watchRelationship(this.account.id, (to) => {
            const [label, act, on] = offer(this.account, to);
            button.textContent = label;
            button.disabled = !!to.blocked_by && !to.blocking;
            button.title = to.blocked_by ? w.blocksYou : "";
            button.className = on ? "" : "primary";
            button.setAttribute("aria-label", `${label} @${this.account.acct}`);
            button.onclick = () => act();
        });
    }

    disconnectedCallback() {
        this.#stop?.();
    }
}
customElements.define("rk-follow", FollowButton);

/** The button that follows an account; nothing for one's own, or for nobody.
 * @param {any} account @returns {HTMLElement | null} */
export function followButton(account) {
    if (!session.account || session.account.id === account.id) return null;
    const made = /** @type {FollowButton} */ (document.createElement("rk-follow"));
    made.account = account;
    return made;
}
