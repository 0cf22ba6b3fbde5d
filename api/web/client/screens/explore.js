/*
 * What rises, what everybody says, whom one may want to follow, and who is here.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { session } from "../net/session.js";
import { accountRow } from "../parts/account.js";
import { followButton } from "../parts/follow.js";
import { choice, said, tabs } from "../parts/form.js";
import { drop, listed, people, posts } from "../parts/listed.js";
import { words as w } from "../words/places.js";
import { number } from "../words/times.js";

/** @param {{query: Record<string, string>}} where */
export default function screen({ query }) {
    const shown = /** @type {Record<string, () => HTMLElement>} */ ({ posts: rising, tags: risingTags, links, everyone, ...(session.account && { people: suggestions }), directory });
    const part = query.part && query.part in shown ? query.part : "posts";
    const list = document.createElement("div");
    const show = (/** @type {string} */ name) => list.replaceChildren(shown[name]());
    const each = Object.keys(shown).map((name) => ({ name, label: w.trends[name], href: name === "posts" ? "/explore" : `/explore?part=${name}` }));
    show(part);
    const search = html`<form class="rk-find" role="search" action="/search"><label class="rk-field"><span class="hidden">${w.search}</span><input type="search" name="q" maxlength="500" placeholder=${w.search} autocomplete="off"></label></form>`;
    return { element: element(html`<div>${search}${tabs(w.explore, each, part, show)}${list}</div>`), title: w.explore };
}

/** A list that is counted on, not cut at an id. @param {string} path @param {Record<string, string>} [extra] */
function counted(path, extra = {}) {
    return async (/** @type {Record<string, any>} */ query) => {
        const offset = Number(query.offset ?? 0);
        const answer = await api.get(path, { ...extra, ...query, limit: 20, offset });
        return answer.ok ? { ...answer, next: answer.body.length === 20 ? { offset: offset + 20 } : null, prev: null } : answer;
    };
}

const rising = () =>
    posts("/api/v1/trends/statuses", () => said(w.nothingRises, html`<a href="/explore?part=everyone">${w.trends.everyone}</a>`), { load: counted("/api/v1/trends/statuses") });
const everyone = () => posts("/api/v1/timelines/public", w.nothingYet, { stream: { stream: "public" } });
const risingTags = () => listed("tags", w.nothingRises, tagRow, { load: counted("/api/v1/trends/tags") });
const links = () =>
    listed("links", w.nothingRises, (item) => element(html`<article class="rk-line" tabindex="0"><a href=${item.url} rel="noopener noreferrer nofollow" dir="auto">${item.title}</a><small>${item.provider_name} · ${usedBy(item)}</small></article>`), {
        load: counted("/api/v1/trends/links"), idOf: (/** @type {any} */ item) => item.url,
    });

function suggestions() {
    const load = async () => ({ ...(await api.get("/api/v2/suggestions", { limit: 40 })), next: null, prev: null });
    return listed("suggestions", w.noSuggestions, (item) => {
        const { id } = item.account;
        const refuse = async () => (await api.send("DELETE", `/api/v1/suggestions/${id}`)).ok && drop(id);
        const action = element(html`<span class="rk-buttons">${followButton(item.account)}<button type="button" class="quiet" aria-label=${w.notSuggested(item.account.acct)} @click=${refuse}>×</button></span>`);
        return accountRow(item.account, { action });
    }, { load, idOf: (/** @type {any} */ item) => item.account.id });
}

function directory() {
    const list = document.createElement("div");
    const show = (/** @type {string} */ order) =>
        list.replaceChildren(people(`directory ${order}`, w.nobodyYet, { load: counted("/api/v1/directory", { order }) }));
    show("active");
    const orders = [{ value: "active", label: w.byActive }, { value: "new", label: w.byNew }];
    return element(html`<div>${choice(w.order, orders, "active", show)}${list}</div>`);
}

/** @param {any} item */
function usedBy(item) {
    const [today] = item.history;
    return today ? w.usedBy(number(Number(today.uses)), number(Number(today.accounts))) : "";
}

/** A hashtag in a list. @param {any} tag @returns {HTMLElement} */
export function tagRow(tag) {
    return element(html`<article class="rk-line" tabindex="0"><a href=${`/tags/${encodeURIComponent(tag.name)}`}><bdi>#${tag.name}</bdi></a><small>${usedBy(tag)}</small></article>`);
}
