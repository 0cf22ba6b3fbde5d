/*
 * Lists: all of them, or one: its timeline, its rules, its members.
 *
 * Rules of this file
 * - Only who is followed can be on a list: members are looked for among them.
 */

import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { accountRow } from "../parts/account.js";
import { confirmBox } from "../parts/dialog.js";
import { check, form, line, said, select, tabs } from "../parts/form.js";
import { listed, posts, rows } from "../parts/listed.js";
import { toast } from "../parts/toast.js";
import { navigate } from "../routes.js";
import { words as w } from "../words/places.js";

const PATH = "/api/v1/lists";

/** @param {{params: Record<string, string>, query: Record<string, string>}} where */
export default function screen({ params, query }) {
    return params.id ? one(params.id, query.part ?? "posts") : { element: all(), title: w.lists };
}

/** @param {any} [list] */
function rules(list) {
    const policies = ["list", "followed", "none"].map((value) => ({ value, label: w.replies[value] }));
    return html`${line(w.listTitle, "title", list?.title, { max: 100, required: true })}${select(w.listReplies, "replies_policy", policies, list?.replies_policy)}${check(w.listExclusive, "exclusive", list?.exclusive)}`;
}

/** @param {FormData} data */
const said_ = (data) => ({ title: data.get("title"), replies_policy: data.get("replies_policy"), exclusive: data.has("exclusive") });

function all() {
    const row = (/** @type {any} */ item) =>
        element(html`<article class="rk-line" tabindex="0"><a href=${`/lists/${item.id}`} dir="auto">${item.title}</a>${item.exclusive && html`<small>${w.listExclusiveShort}</small>`}</article>`);
    const list = () => listed(PATH, w.noLists, row);
    const place = element(html`<div>${list()}</div>`);
    const make = form(w.makeList, rules(), w.makeList, async (data, form) => {
        const answer = await api.send("POST", PATH, said_(data));
        if (!answer.ok) return toast(answer.message);
        form.reset();
        place.replaceChildren(list());
    });
    return element(html`<div>${place}<details class="rk-help"><summary>${w.makeList}</summary>${make}</details></div>`);
}

/** @param {string} id @param {string} part */
function one(id, part) {
    const place = document.createElement("div");
    const shown = /** @type {Record<string, () => HTMLElement>} */ ({
        posts: () =>
            posts(`/api/v1/timelines/list/${id}`, () => said(w.emptyList, html`<a href=${`/lists/${id}?part=members`}>${w.listParts.members}</a>`), { stream: { stream: "list", list: id } }),
        members: () => members(id),
        rules: () => change(id),
    });
    const show = (/** @type {string} */ name) => place.replaceChildren((shown[name] ?? shown.posts)());
    const each = Object.keys(shown).map((name) => ({ name, label: w.listParts[name], href: name === "posts" ? `/lists/${id}` : `/lists/${id}?part=${name}` }));
    const title = element(html`<h2 dir="auto"></h2>`);
    api.get(`${PATH}/${id}`).then((answer) => (title.textContent = answer.ok ? answer.body.title : answer.message));
    show(part);
    return { element: element(html`<div>${title}${tabs(w.lists, each, part, show)}${place}</div>`), title: w.list };
}

/** @param {string} id */
function members(id) {
    const path = `${PATH}/${id}/accounts`;
    /** @param {any} account @param {boolean} on @param {() => void} done */
    const put = async (account, on, done) => {
        const answer = await api.send(on ? "POST" : "DELETE", path, { account_ids: [account.id] });
        if (!answer.ok) return toast(answer.message);
        done();
    };
    const list = () =>
        rows(path, w.noMembers, (item, gone) => ({ action: element(html`<button type="button" aria-label=${w.takeOff(item.acct)} @click=${() => put(item, false, gone)}>${w.remove}</button>`) }));
    const place = element(html`<div>${list()}</div>`);
    const found = element(html`<div aria-live="polite"></div>`);
    const look = form(w.findMember, line(w.findMember, "q", "", { required: true, type: "search" }), w.search, async (data) => {
        const answer = await api.get("/api/v1/accounts/search", { q: String(data.get("q")), following: true, limit: 10 });
        if (!answer.ok) return toast(answer.message);
        const rows = answer.body.map((/** @type {any} */ each) => {
            const add = () => put(each, true, () => (row.remove(), place.replaceChildren(list())));
            const row = accountRow(each, { action: element(html`<button type="button" class="primary" aria-label=${w.putOn(each.acct)} @click=${add}>${w.add}</button>`) });
            return row;
        });
        found.replaceChildren(...(rows.length ? rows : [element(said(w.noneFollowedFound))]));
    });
    return element(html`<div>${look}${found}${place}</div>`);
}

/** @param {string} id */
function change(id) {
    const box = element(html`<div><p>${w.loading}</p></div>`);
    const drop = async () => {
        if (!(await confirmBox({ title: w.deleteList, text: w.deleteListText, yes: w.remove, danger: true }))) return;
        const answer = await api.send("DELETE", `${PATH}/${id}`);
        if (answer.ok) navigate("/lists");
        else toast(answer.message);
    };
    api.get(`${PATH}/${id}`).then((answer) => {
        if (!answer.ok) return box.replaceChildren(element(said(answer.message)));
        const put = form(w.listParts.rules, rules(answer.body), w.keep, async (data) => {
            const put = await api.send("PUT", `${PATH}/${id}`, said_(data));
            toast(put.ok ? w.kept : put.message);
        });
        box.replaceChildren(put, element(html`<p class="rk-buttons"><button type="button" class="danger" @click=${drop}>${w.deleteList}</button></p>`));
    });
    return box;
}
