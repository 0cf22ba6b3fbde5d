/*
 * Lists of posts and of accounts, as most screens have them: a path, and what is said where there is nothing.
 */

import { api } from "../net/api.js";
import { accountRow } from "./account.js";
import { feed } from "./feed.js";
import { said } from "./form.js";
import { statusElement } from "./status.js";

/** @typedef {Record<string, any>} Item */

/** @param {string} path @param {string | (() => unknown)} empty @param {(item: Item) => HTMLElement} make
 * @param {Record<string, any>} [more] query: said with each request; others as feed has them @returns {HTMLElement} */
export function listed(path, empty, make, { query, ...more } = {}) {
    return feed({
        key: path + JSON.stringify(query ?? ""), load: (/** @type {Item} */ asked) => api.get(path, { ...query, ...asked }), make,
        idOf: (/** @type {Item} */ item) => item.id ?? item.name, empty: /** @type {any} */ (typeof empty === "string" ? () => said(empty) : empty), end: () => "", ...more,
    });
}

/** @param {string} path @param {string | (() => unknown)} empty @param {Record<string, any>} [more] */
export const posts = (path, empty, more) => listed(path, empty, (item) => statusElement(item), { end: undefined, ...more });

/** @param {string} path @param {string | (() => unknown)} empty @param {Record<string, any>} [more] */
export const people = (path, empty, more) => listed(path, empty, (item) => accountRow(item), more);

/** Take an item out of every list that has it. @param {string} id */
export const drop = (id) => dispatchEvent(new CustomEvent("rk-removed", { detail: { id } }));

/** People, each with buttons of its own. @param {string} path @param {string} empty
 * @param {(item: Item, gone: () => void) => {action: Node, note?: unknown}} row @returns {HTMLElement} */
export function rows(path, empty, row) {
    return listed(path, empty, (item) => accountRow(item.account ?? item, row(item, () => drop(item.id))));
}
