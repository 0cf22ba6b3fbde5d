/*
 * Settings: of this device (look, reading, keys, pop-ups), and of the account (profile, filters, whom one doesn't hear).
 *
 *     /settings?part=look ... ; the parts of an account are loaded when they are opened
 *
 * Rules of this file
 * - What is of the device acts at once; what is of the account says when the server has it.
 */

import { settings } from "../base/settings.js";
import { element, html } from "../base/html.js";
import { session } from "../net/session.js";
import { choice, tabs, toggle } from "../parts/form.js";
import { words as w } from "../words/places.js";

const account = () => import("../parts/own_account.js");
/** @type {Record<string, () => HTMLElement | Promise<HTMLElement>>} */
const DEVICE = { look, reading, keys };
/** @type {Record<string, () => HTMLElement | Promise<HTMLElement>>} */
const OWN = {
    notifications: async () => (await import("../parts/push.js")).pushSettings(),
    profile: async () => (await import("../parts/own_profile.js")).ownProfile(),
    filters: async () => (await import("../parts/filters.js")).filters(),
    muted: async () => (await account()).muted(),
    blocked: async () => (await account()).blocked(),
    requests: async () => (await account()).followRequests(),
    tags: async () => (await account()).followedTags(),
    account: async () => (await account()).ownAccount(),
};

/** @param {{query: Record<string, string>}} where */
export default function screen({ query }) {
    const parts = session.account ? { ...DEVICE, ...OWN } : DEVICE;
    const part = query.part && query.part in parts ? query.part : "look";
    const place = element(html`<div class="rk-settings"></div>`);
    let shown = "";
    const show = async (/** @type {string} */ name) => {
        shown = name;
        const made = await parts[name]();
        if (shown === name) place.replaceChildren(element(html`<h2>${w.settingsOf[name]}</h2>`), made);
    };
    const each = Object.keys(parts).map((name) => ({ name, label: w.settingsOf[name], href: `/settings?part=${name}` }));
    show(part);
    return { element: element(html`<div>${tabs(w.settings, each, part, show)}${place}</div>`), title: w.settings };
}

/** @param {import("../base/settings.js").Name} name @param {unknown[]} values */
const chosen = (name, values) =>
    choice(w.sets[name], values.map((value) => ({ value, label: w.setTo[name][String(value)] })), settings.get(name), (value) => settings.set(name, value));

/** @param {import("../base/settings.js").Name} name */
const switched = (name) => toggle(w.sets[name], settings.get(name), (on) => settings.set(name, on), w.hints[name]);

function look() {
    return element(html`<div>${chosen("theme", ["auto", "light", "dark", "contrast"])}${chosen("size", [100, 115, 130, 150, 200])}${chosen("motion", ["auto", "less"])}</div>`);
}

function reading() {
    return element(html`<div>${chosen("start", ["marker", "newest"])}${switched("live")}${switched("autoplay")}${switched("expand")}${session.account && switched("keep")}</div>`);
}

function keys() {
    return element(html`<div>${switched("keys")}<p><a href="/keys">${w.allKeys}</a></p></div>`);
}
