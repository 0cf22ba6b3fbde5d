/*
 * Being told of notifications while the page isn't looked at: pop-ups of an open tab, and push to this browser.
 *
 * Rules of this file
 * - Off until somebody turns it on: the browser is asked only then.
 * - Push needs the server's key, a service worker and a browser that pushes; what is missing is said.
 */

import { settings } from "../base/settings.js";
import { element, html } from "../base/html.js";
import { api } from "../net/api.js";
import { words as w } from "../words/places.js";
import { said, select, toggle } from "./form.js";
import { toast } from "./toast.js";

const PATH = "/api/v1/push/subscription";
const ALERTS = ["mention", "follow", "follow_request", "favourite", "reblog", "quote", "status", "update", "poll"];

/** @param {string} key in base 64 of addresses */
const bytes = (key) => Uint8Array.from(atob(key.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));

async function allowed() {
    if (!globalThis.Notification) return false;
    return (await Notification.requestPermission()) === "granted";
}

/** @returns {HTMLElement} */
export function pushSettings() {
    const popups = toggle(
        w.sets.popups, settings.get("popups"),
        async (on) => {
            const may = !on || (await allowed());
            settings.set("popups", on && may);
            const input = popups.querySelector("input");
            if (input) input.checked = on && may;
            if (!may) toast(w.popupsDenied);
        },
        w.hints.popups,
    );
    const push = element(html`<div></div>`);
    draw(push);
    return element(html`<div>${popups}<h3>${w.push}</h3>${push}<p><a href="/notifications?part=policy">${w.kinds.policy}</a></p></div>`);
}

/** @param {HTMLElement} box */
async function draw(box) {
    const instance = await api.get("/api/v2/instance");
    const key = instance.ok && instance.body.configuration.vapid?.public_key;
    if (!key || !("serviceWorker" in navigator) || !globalThis.PushManager) {
        return box.replaceChildren(element(said(key ? w.noPushHere : w.noPushThere)));
    }
    const own = await (await navigator.serviceWorker.getRegistration())?.pushManager.getSubscription();
    const found = own ? await api.get(PATH) : { ok: false, body: null };
    const kept = found.ok ? found.body : null;
    const turn = async (/** @type {boolean} */ on) => {
        const failed = on ? await begin(key) : await end();
        if (failed) toast(failed);
        draw(box);
    };
    const change = async (/** @type {any} */ alerts, policy = kept.policy) => {
        const answer = await api.send("PUT", PATH, { data: { alerts, policy } });
        if (answer.ok) Object.assign(kept, answer.body);
        else toast(answer.message);
    };
    const rows = kept && ALERTS.map((name) => toggle(w.alerts[name], kept.alerts[name], (on) => change({ ...kept.alerts, [name]: on })));
    const whose = kept && select(w.pushWhose, "policy", ["all", "followed", "follower", "none"].map((value) => ({ value, label: w.pushPolicies[value] })), kept.policy, (policy) => change(kept.alerts, policy));
    box.replaceChildren(toggle(w.pushOn, !!kept, turn, w.pushHint), ...(kept ? rows : []), ...(kept ? [element(whose)] : []));
}

/** @param {string} key @returns {Promise<string>} why not, "" if it is done */
async function begin(key) {
    if (!(await allowed())) return w.popupsDenied;
    try {
        const { pushManager } = await navigator.serviceWorker.ready;
        const made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
        const { endpoint, keys } = made.toJSON();
        const alerts = Object.fromEntries(ALERTS.map((name) => [name, true]));
        const answer = await api.send("POST", PATH, { subscription: { endpoint, keys, standard: true }, data: { policy: "all", alerts } });
        return answer.ok ? "" : answer.message;
    } catch (error) {
        return `${w.pushRefused} ${/** @type {Error} */ (error).message}`;
    }
}

/** @returns {Promise<string>} */
async function end() {
    const answer = await api.send("DELETE", PATH);
    const { pushManager } = await navigator.serviceWorker.ready;
    await (await pushManager.getSubscription())?.unsubscribe();
    return answer.ok ? "" : answer.message;
}
