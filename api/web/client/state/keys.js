/*
 * The keys of the client: one table, of which the dispatcher, the dialog `?`, the page /keys, docs/web.md and a test are
 * made.
 *
 * Rules of this file
 * - Pure: no document, no clock. A key event is given as a plain object, with the time.
 * - PageUp, PageDown, Home, End, the arrows and space belong to the browser: they are in no row.
 * - Single keys (WCAG 2.1.4) can be switched off; what has a modifier, and Esc, stays.
 */

/** @typedef {{action: string, keys: string[], words: string, always?: boolean, typing?: boolean}} Row */
/** @typedef {{key: string, ctrl: boolean, alt: boolean, typing: boolean, at: number}} Press */

/** How long the second key of a sequence is waited for. */
export const SEQUENCE_MS = 1500;

/** A key of a row is what `event.key` says; "g h" is one after the other, "Ctrl+Enter" both at once. @type {Row[]} */
export const KEYS = [
    { action: "next", keys: ["j"], words: "Next post" },
    { action: "previous", keys: ["k"], words: "Previous post" },
    { action: "open", keys: ["Enter", "o"], words: "Open the post" },
    { action: "author", keys: ["u"], words: "Open its author" },
    { action: "reply", keys: ["r"], words: "Reply" },
    { action: "like", keys: ["l"], words: "Like, or take it back" },
    { action: "repost", keys: ["b"], words: "Repost, or take it back" },
    { action: "bookmark", keys: ["d"], words: "Bookmark, or take it back" },
    { action: "reveal", keys: ["x"], words: "Show or hide what a warning covers" },
    { action: "media", keys: ["m"], words: "Open the pictures" },
    { action: "newest", keys: ["."], words: "Go to the newest" },
    { action: "back", keys: ["'"], words: "Back to where you were" },
    { action: "compose", keys: ["c"], words: "Write a post" },
    { action: "send", keys: ["Ctrl+Enter"], words: "Send what you write", always: true, typing: true },
    { action: "search", keys: ["/"], words: "Search" },
    { action: "goHome", keys: ["g h"], words: "Home" },
    { action: "goNotifications", keys: ["g n"], words: "Notifications" },
    { action: "goExplore", keys: ["g e"], words: "Explore" },
    { action: "goProfile", keys: ["g p"], words: "Your profile" },
    { action: "goBookmarks", keys: ["g b"], words: "Bookmarks" },
    { action: "goSettings", keys: ["g s"], words: "Settings" },
    { action: "close", keys: ["Escape"], words: "Close what is open", always: true, typing: true },
    { action: "help", keys: ["?"], words: "This list" },
];

/** @type {Map<string, Row>} */
const rows = new Map(KEYS.flatMap((row) => row.keys.map((key) => [key, row])));
const firsts = new Set([...rows.keys()].filter((key) => key.includes(" ")).map((key) => key.split(" ")[0]));

/**
 * Make what turns presses into actions. single: whether single keys are on, asked at each press.
 * @param {() => boolean} single
 * @returns {(press: Press) => string} the action, "" for none; "g" alone answers "wait"
 */
export function matcher(single) {
    let first = "";
    let until = 0;
    return ({ key, ctrl, alt, typing, at }) => {
        const before = at < until ? first : "";
        first = "";
        if (alt) return "";
        const row = rows.get(ctrl ? `Ctrl+${key}` : before ? `${before} ${key}` : key);
        if (row && (typing ? row.typing : row.always || single())) return row.action;
        if (ctrl || typing || before || !single() || !firsts.has(key)) return "";
        first = key;
        until = at + SEQUENCE_MS;
        return "wait";
    };
}
