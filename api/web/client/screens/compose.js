/*
 * /compose: the composer as a page of its own, and where "share" leads to (title, text and address in the query).
 */

import { element, html } from "../base/html.js";
import { session } from "../net/session.js";
import { compose, share } from "../parts/composer.js";
import { words } from "../words/writing.js";

/** @param {{params: Record<string, string>, query: URLSearchParams | Record<string, string>}} given */
export default function screen({ query }) {
    const said = query instanceof URLSearchParams ? Object.fromEntries(query) : query;
    if (session.account) void share(said);
    else void compose({});
    // What was shared is in the draft; a reload must not bring it again.
    history.replaceState(history.state, "", "/compose");
    return { element: element(html`<div class="drafts"><p class="faint">${session.account ? words.kept : words.signedOut}</p></div>`), title: words.write };
}
