/*
 * A picture of who it is; what is elsewhere isn't loaded, so nobody is told of who reads: initials, then.
 */

import { element, html } from "../base/html.js";
import { facts } from "../base/facts.js";

/** Whether an address is ours, or one that media of ours have. @param {string} address */
export function isOurs(address) {
    try {
        const { origin, protocol } = new URL(address, location.origin);
        return protocol === "blob:" || origin === location.origin || facts.media.some((each) => new URL(each, location.origin).origin === origin);
    } catch {
        return false;
    }
}

/** @param {any} account @param {{size?: "small" | "usual" | "large"}} [how] @returns {HTMLElement} */
export function avatar(account, { size = "usual" } = {}) {
    const name = account.display_name || account.username || "?";
    const place = element(html`<span class=${`rk-avatar ${size}`} aria-hidden="true"></span>`);
    const initials = () => place.replaceChildren([...name.trim()][0]?.toUpperCase() ?? "?");
    if (!account.avatar || !isOurs(account.avatar)) initials();
    else place.append(element(html`<img src=${account.avatar} alt="" width="48" height="48" loading="lazy" decoding="async" @error=${initials}>`));
    return place;
}
