/*
 * Back from the server's pages, with a code; or from somebody's terminal, with a token in the fragment.
 *
 * Rule of this file: a token leaves the address before anything else, and nobody is signed in by a link without a word.
 */

import { element, html } from "../base/html.js";
import { session } from "../net/session.js";
import { navigate } from "../routes.js";
import { words as w } from "../words/reading.js";

/** @param {import("../routes.js").Where} where @returns {Promise<import("../routes.js").Screen>} */
export default async function screen({ query }) {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    history.replaceState(history.state, "", "/signed-in");
    const place = element(html`<div class="rk-state"></div>`);
    const say = (/** @type {string} */ text) => place.replaceChildren(element(html`<div role="alert"><p>${text}</p><p><a class="button" href="/">${w.toHome}</a></p></div>`));
    if (token) await offer(token, place, say);
    else {
        const done = await session.finish(new URLSearchParams(query));
        if ("back" in done) queueMicrotask(() => navigate(done.back, { replace: true }));
        else say(w.signInFailed(done.trouble));
    }
    return { element: place, title: w.signIn };
}

/** @param {string} token @param {HTMLElement} place @param {(text: string) => void} say */
async function offer(token, place, say) {
    const account = await session.whose(token);
    if (!account) return say(w.badLink);
    const go = async () => ((await session.adopt(token)) ? navigate("/", { replace: true }) : say(w.badLink));
    place.replaceChildren(element(html`<div class="rk-confirm"><h2>${w.goOnAs(account.acct)}</h2><p>${w.goOnWhy}</p><div class="rk-buttons"><button type="button" class="primary" @click=${go}>${w.goOn}</button><a class="button" href="/">${w.notNow}</a></div></div>`));
}
