/*
 * An account in a list: who it is, and what can be done about it.
 */

import { element, html } from "../base/html.js";
import { plain } from "../base/content.js";
import { words as w } from "../words/places.js";
import { avatar } from "./avatar.js";
import { followButton } from "./follow.js";

/** A name with its handle, as it stands everywhere. @param {any} account */
export function names(account) {
    return html`<span class="rk-names"><bdi class="name">${account.display_name || account.username}</bdi> <bdi class="handle">@${account.acct}</bdi></span>`;
}

/** @param {any} account @returns {string} */
export const placeOf = (account) => `/@${account.acct}`;

/** @param {any} account @param {{action?: Node | null, note?: unknown}} [more] action: instead of the follow button
 * @returns {HTMLElement} */
export function accountRow(account, { action, note } = {}) {
    const bio = plain(account.note).slice(0, 160);
    return element(
        html`<article class="rk-account" tabindex="0" aria-label=${w.accountOf(account.display_name || account.username, account.acct)}>
            <a class="who" href=${placeOf(account)}>${avatar(account)}${names(account)}</a>
            ${action === undefined ? followButton(account) : action}
            ${note && html`<p class="note">${note}</p>`}
            ${bio && html`<p class="bio" dir="auto">${bio}</p>`}
        </article>`,
    );
}
