/*
 * A hashtag: what is said with it, follow it, feature it on one's profile.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { toggle } from "../parts/form.js";
import { posts } from "../parts/listed.js";
import { toast } from "../parts/toast.js";
import { words as w } from "../words/places.js";

/** @param {{params: Record<string, string>, query: Record<string, string>}} where */
export default function screen({ params }) {
    const name = params.name;
    const path = encodeURIComponent(name);
    const actions = element(html`<div class="rk-buttons"></div>`);
    if (session.account) offer(path, actions);
    const list = document.createElement("div");
    const show = (/** @type {boolean} */ media) =>
        list.replaceChildren(
            posts(`/api/v1/timelines/tag/${path}`, w.noneTagged(name), { query: media ? { only_media: true } : {}, stream: { stream: media ? "hashtag:media" : "hashtag", tag: name } }),
        );
    show(false);
    return { element: element(html`<div>${actions}${toggle(w.onlyMedia, false, show)}${list}</div>`), title: `#${name}` };
}

/** @param {string} path @param {HTMLElement} actions */
async function offer(path, actions) {
    const answer = await api.get(`/api/v1/tags/${path}`);
    if (!answer.ok) return;
    let tag = answer.body;
    const draw = () =>
        actions.replaceChildren(
            element(html`<button type="button" class=${tag.following ? "" : "primary"} @click=${() => change(tag.following ? "unfollow" : "follow", "following")}>${tag.following ? w.following : w.followTag}</button>`),
            element(html`<button type="button" @click=${() => change(tag.featuring ? "unfeature" : "feature", "featuring")}>${tag.featuring ? w.featureNot : w.feature}</button>`),
        );
    /** @param {string} what @param {"following" | "featuring"} name */
    const change = async (what, name) => {
        const before = tag;
        tag = { ...tag, [name]: !tag[name] };
        draw();
        const at = name === "following" ? 0 : 1;
        /** @type {HTMLElement} */ (actions.children[at]).focus();
        const answer = await api.send("POST", `/api/v1/tags/${path}/${what}`);
        tag = answer.ok ? { ...tag, [name]: answer.body[name] ?? tag[name] } : before;
        if (answer.ok) return;
        draw();
        toast(answer.message);
    };
    draw();
}
