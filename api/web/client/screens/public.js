/*
 * What everybody may read, for who isn't signed in: one sentence on what this is, three doors, the public timeline.
 */

import { element, html } from "../base/html.js";
import { facts } from "../base/facts.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { feed } from "../parts/feed.js";
import { statusElement } from "../parts/status.js";
import { words as w } from "../words/reading.js";

/** @param {import("../routes.js").Where} _where @returns {import("../routes.js").Screen} */
export default function screen(_where) {
    const list = feed({
        key: "public", label: w.publicTimeline, load: (query) => api.get("/api/v1/timelines/public", query), idOf: (item) => item.id,
        make: (item) => statusElement(item), empty: () => html`<p>${w.publicEmpty}</p>`, stream: { stream: "public" }, keepsPosition: true,
    });
    const open = facts.auth === "open";
    const join = session.canSignIn && html`<button type="button" class="primary" @click=${() => void session.signUp()}>${w.signUp}</button><button type="button" @click=${() => void session.signIn()}>${w.signIn}</button>`;
    const doors = html`<section class="rk-doors" aria-label=${facts.title}><p>${open ? w.openMode : w.about}</p>${!open && !session.canSignIn && html`<p>${w.insecure}</p>`}<div class="rk-buttons">${join}<a class="button" href="/explore">${w.lookAround}</a><a class="button" href="/docs">${w.docs}</a></div></section>`;
    return { element: element(html`<div>${doors}${list}</div>`), title: facts.title };
}
