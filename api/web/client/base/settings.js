/*
 * What somebody has set on this device: how it looks, how they read, whether single keys act.
 *
 * Rules of this file
 * - Kept in localStorage, which may be refused or hold anything: what isn't one of a setting's choices is its default.
 * - Nothing here is secret, and nothing is of an account: signing out leaves it.
 * - Other tabs follow by the storage event.
 */

/** The choices of each; the first is the default. */
export const CHOICES = Object.freeze({
    theme: ["auto", "light", "dark", "contrast"],
    size: [100, 115, 130, 150, 200],
    motion: ["auto", "less"],
    start: ["marker", "newest"],
    live: [false, true],
    autoplay: [true, false],
    expand: [false, true],
    keep: [true, false],
    keys: [true, false],
    popups: [false, true],
});
/** @typedef {keyof typeof CHOICES} Name */

const PLACE = "rookery-settings";
/** @type {Set<(name: string) => void>} */
const watchers = new Set();
/** @type {Record<string, unknown>} */
let kept = read();

/** @returns {Record<string, unknown>} */
function read() {
    try {
        const found = JSON.parse(localStorage.getItem(PLACE) ?? "{}");
        return found && typeof found === "object" ? found : {};
    } catch {
        return {};
    }
}

/** @param {string} name */
function tell(name) {
    apply();
    for (const watcher of [...watchers]) watcher(name);
}

/** Put on the document what styles look at. */
function apply() {
    const root = document.documentElement;
    for (const name of /** @type {const} */ (["theme", "motion"])) {
        const value = settings.get(name);
        if (value === "auto") delete root.dataset[name];
        else root.dataset[name] = value;
    }
    const size = settings.get("size");
    root.style.fontSize = size === 100 ? "" : `${size * 0.17}px`; // of 17 px, as in base.css
}

export const settings = Object.freeze({
    /** @param {Name} name @returns {any} */
    get(name) {
        const choices = /** @type {unknown[]} */ (CHOICES[name]);
        return choices.includes(kept[name]) ? kept[name] : choices[0];
    },
    /** @param {Name} name @param {unknown} value */
    set(name, value) {
        kept = { ...kept, [name]: value };
        try {
            localStorage.setItem(PLACE, JSON.stringify(kept));
        } catch {
            // Storage is refused: it holds until the tab is closed.
        }
        tell(name);
    },
    /** @param {(name: string) => void} watcher @returns {() => void} */
    onChange(watcher) {
        watchers.add(watcher);
        return () => watchers.delete(watcher);
    },
});

addEventListener("storage", (event) => {
    if (event.key !== PLACE) return;
    kept = read();
    tell("");
});
apply();
