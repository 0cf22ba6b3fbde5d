/*
 * The service worker: the files of this version, and the shell for when the network fails.
 *
 *     /assets/VERSION/...   from the cache; what isn't there yet is fetched and kept (its bytes never change)
 *     a page                from the network; where that fails, the shell that was kept, which shows what the device has
 *     anything else         isn't touched: answers of the API are never kept here
 *
 * Rules of this file
 * - `self.ROOKERY`, {version, files}, stands in a line before this one (`api/web/manifest.py`).
 * - A new version is installed beside the old one, which goes when no page uses it any more: no page loses its modules.
 * - A page that no shell fits is the start page's: the client reads the address by itself.
 * - Push messages carry what they show (`push`); a click opens the page that they are about.
 */

/** @typedef {{ROOKERY: {version: string, files: string[]}}} Facts */
const worker = /** @type {ServiceWorkerGlobalScope & Facts} */ (/** @type {unknown} */ (self));
const PREFIX = "rookery-";
const CACHE = PREFIX + worker.ROOKERY.version;
const SHELL = "/";
const BESIDE = ["/favicon.svg", "/manifest.webmanifest"];

worker.addEventListener("install", (event) => {
    event.waitUntil(keepAll());
});

worker.addEventListener("activate", (event) => {
    event.waitUntil(forgetOthers());
});

worker.addEventListener("fetch", (event) => {
    const { request } = event;
    const url = new URL(request.url);
    if (request.method !== "GET" || url.origin !== worker.location.origin) return;
    if (url.pathname.startsWith("/assets/") || BESIDE.includes(url.pathname)) event.respondWith(fromCache(request));
    else if (request.mode === "navigate" && isOurs(url.pathname)) event.respondWith(pageOf(request));
});

worker.addEventListener("push", (event) => {
    event.waitUntil(show(event.data));
});

worker.addEventListener("notificationclick", (event) => {
    event.notification.close();
    event.waitUntil(open(event.notification.data?.path ?? "/notifications"));
});

/** Keep this version's files. The new worker takes over once no page of the old one is open. */
async function keepAll() {
    const cache = await caches.open(CACHE);
    await cache.addAll([...worker.ROOKERY.files, ...BESIDE]);
    await cache.put(SHELL, await fetch(SHELL, { cache: "no-cache" }));
}

async function forgetOthers() {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
    await worker.clients.claim();
}

/** @param {Request} request */
async function fromCache(request) {
    const known = await caches.match(request);
    return known ?? fetch(request);
}

/**
 * Return a page: the server's while there is one.
 * @param {Request} request
 */
async function pageOf(request) {
    try {
        const answer = await fetch(request);
        if (answer.status < 500 || answer.headers.has("content-security-policy")) return answer;
        return await kept() ?? answer;
    } catch (error) {
        const shell = await kept();
        if (shell) return shell;
        throw error;
    }
}

async function kept() {
    const cache = await caches.open(CACHE);
    return cache.match(SHELL);
}

/**
 * Return whether a page is the client's: signing in, the API's documents and files aren't.
 * @param {string} path
 */
function isOurs(path) {
    return !/^\/(oauth|auth|api|docs|docs-assets|media|console|settings\/(export|exports|imports?|mail)|openapi\.json|metrics|healthz|readyz)(\/|$)/.test(path);
}

/**
 * Show what a push message says: Mastodon's form.
 * @param {PushMessageData | null} data
 */
async function show(data) {
    /** @type {any} */
    let said = {};
    try {
        said = data?.json() ?? {};
    } catch {
        said = { title: data?.text() };
    }
    const windows = await worker.clients.matchAll({ type: "window" });
    for (const each of windows) each.postMessage({ kind: "pushed" });
    await worker.registration.showNotification(said.title || "Rookery", {
        body: said.body || "", icon: "/favicon.svg", badge: "/favicon.svg", tag: String(said.notification_id ?? ""),
        lang: said.preferred_locale || undefined, data: { path: "/notifications" },
    });
}

/**
 * Go to a page of ours, in a window that is open or in a new one.
 * @param {string} path
 */
async function open(path) {
    const [first] = await worker.clients.matchAll({ type: "window" });
    if (first) {
        await first.navigate(path).catch(() => null);
        await first.focus();
    } else await worker.clients.openWindow(path);
}
