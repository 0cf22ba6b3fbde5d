/*
 * Keys: what is pressed becomes an action of `state/keys.js`, and goes to who has registered for it.
 *
 * Rules of this file
 * - Never while somebody types, but for what the table says; never a key that a menu, a video or a dialog took.
 * - The last who registered is asked first; who answers false passes it on. A key that nobody takes stays the browser's.
 * - Enter acts on a focused article alone: on a link or a button it is theirs.
 */

import { settings } from "../base/settings.js";
import { session } from "../net/session.js";
import { navigate } from "../routes.js";
import { matcher } from "../state/keys.js";

/** @type {Map<string, ((event: KeyboardEvent) => unknown)[]>} */
const takers = new Map();
const action = matcher(() => settings.get("keys"));

/**
 * Have something done when the keys of an action are pressed.
 * @param {string} name @param {(event: KeyboardEvent) => unknown} take
 * @returns {() => void} what ends it
 */
export function onKey(name, take) {
    takers.set(name, [...(takers.get(name) ?? []), take]);
    return () => takers.set(name, (takers.get(name) ?? []).filter((each) => each !== take));
}

/** @param {EventTarget | null} target */
function isTyping(target) {
    const at = target instanceof HTMLElement ? target : null;
    return !!at && (at.isContentEditable || at.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=button], [type=submit], [type=file])"));
}

/** @param {KeyboardEvent} event */
function press(event) {
    if (event.defaultPrevented || event.isComposing || event.key === "Shift") return;
    const target = event.target instanceof HTMLElement ? event.target : null;
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !target?.matches("article, body")) return;
    const name = action({
        key: event.key, ctrl: event.ctrlKey || event.metaKey, alt: event.altKey, typing: isTyping(target), at: event.timeStamp,
    });
    const inDialog = !!document.querySelector("dialog:modal");
    if (!name || name === "wait" || (inDialog && name !== "send" && name !== "close")) return;
    for (const take of [...(takers.get(name) ?? [])].reverse()) {
        if (take(event) === false) continue;
        event.preventDefault();
        return;
    }
}

/** Where the sequences lead. @returns {[string, string][]} */
const places = () => [
    ["goHome", "/"], ["goNotifications", "/notifications"], ["goExplore", "/explore"], ["goProfile", session.account ? `/@${session.account.acct}` : ""],
    ["goBookmarks", "/bookmarks"], ["goSettings", "/settings"], ["search", "/search"],
];

/** Begin to listen; once a page. */
export function startKeys() {
    for (const [name] of places()) {
        onKey(name, () => {
            const path = places().find(([each]) => each === name)?.[1];
            return path ? navigate(path) : false;
        });
    }
    onKey("help", () => void import("../screens/keys.js").then(({ keysDialog }) => keysDialog()));
    addEventListener("keydown", press);
    document.body.dataset.keys = "on"; // for who waits for it
}
