/*
 * The addresses of the client, and what shows each. One table: the router, the links and the tests are made of it.
 *
 * Rules of this file
 * - A screen is loaded when it is first shown; home and public come with the first view.
 * - The first row that fits is it. Everything else is the server's, and a link there leaves the page.
 */

/** @typedef {{params: Record<string, string>, query: Record<string, string>}} Where */
/** @typedef {{element: HTMLElement, title: string, leave?: () => void}} Screen */
/** @typedef {{pattern: RegExp, name: string, load: () => Promise<{default: (where: Where) => Screen | Promise<Screen>}>}} Route */

/** @type {readonly Route[]} */
export const ROUTES = Object.freeze([
    { name: "home", pattern: /^\/$/, load: () => import("./screens/home.js") },
    { name: "signed-in", pattern: /^\/signed-in$/, load: () => import("./screens/signed_in.js") },
    { name: "explore", pattern: /^\/explore$/, load: () => import("./screens/explore.js") },
    { name: "search", pattern: /^\/search$/, load: () => import("./screens/search.js") },
    { name: "tag", pattern: /^\/tags\/(?<name>[^/]+)$/, load: () => import("./screens/tag.js") },
    { name: "notifications", pattern: /^\/notifications$/, load: () => import("./screens/notifications.js") },
    { name: "messages", pattern: /^\/messages$/, load: () => import("./screens/messages.js") },
    { name: "bookmarks", pattern: /^\/bookmarks$/, load: () => import("./screens/bookmarks.js") },
    { name: "likes", pattern: /^\/likes$/, load: () => import("./screens/likes.js") },
    { name: "lists", pattern: /^\/lists(?:\/(?<id>\d+))?$/, load: () => import("./screens/lists.js") },
    { name: "compose", pattern: /^\/compose$/, load: () => import("./screens/compose.js") },
    { name: "drafts", pattern: /^\/drafts$/, load: () => import("./screens/drafts.js") },
    { name: "settings", pattern: /^\/settings$/, load: () => import("./screens/settings.js") },
    { name: "keys", pattern: /^\/keys$/, load: () => import("./screens/keys.js") },
    { name: "conversation", pattern: /^\/@(?<name>[^/]+)\/(?<id>\d+)$/, load: () => import("./screens/conversation.js") },
    { name: "profile", pattern: /^\/@(?<name>[^/]+)$/, load: () => import("./screens/profile.js") },
]);

/** Return the route of a path, and what its pattern names. @param {string} path @returns {{route: Route, params: Record<string, string>} | null} */
export function routeOf(path) {
    const cut = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
    for (const route of ROUTES) {
        const found = route.pattern.exec(cut);
        if (!found) continue;
        try {
            const named = Object.entries(found.groups ?? {}).filter(([, value]) => value !== undefined);
            return { route, params: Object.fromEntries(named.map(([name, value]) => [name, decodeURIComponent(value)])) };
        } catch {
            return null; // no UTF-8
        }
    }
    return null;
}

/** @type {(path: string, how: {replace?: boolean}) => void} */
let go = (path) => location.assign(path);

/** Whoever shows screens. @param {typeof go} shower */
export function showBy(shower) {
    go = shower;
}

/** Go to an address of ours. @param {string} path @param {{replace?: boolean}} [how] */
export function navigate(path, how = {}) {
    go(path, how);
}
