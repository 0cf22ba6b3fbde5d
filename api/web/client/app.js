/*
 * The frame round every screen, and the router.
 *
 *     skip link | nav | main: head (back, the one h1), dock (composer), outlet (screens) | toasts, live region
 *
 * Rules of this file
 * - Screens that were left are kept, hidden, with their place: whoever comes back is where he was. The newest KEPT_MAX.
 * - The page moves by nothing but the reader: scrolling is restored by hand.
 * - A new screen has the focus on its heading; one that is come back to has it where it was.
 */

import { speakIn, icon } from "./base/dom.js";
import { fill } from "./base/fill.js";
import { element, html } from "./base/html.js";
import { facts } from "./base/facts.js";
import { session } from "./net/session.js";
import { avatar } from "./parts/avatar.js";
import { menu } from "./parts/menu.js";
import { navigate, routeOf, showBy } from "./routes.js";
import { words as w } from "./words/reading.js";

const KEPT_MAX = 5;

/** @typedef {{key: number, path: string, box: HTMLElement, title: string, scroll: number, focus: Element | null, leave?: () => void}} Shown */
/** @type {Map<number, Shown>} by place in the history */
const kept = new Map();
/** @type {Shown | null} */
let current = null;
let place = 0; // in the history
let count = 0; // of navigations: a slow one doesn't show itself over a later one
/** @type {HTMLElement} */
let outlet;
/** @type {HTMLElement} */
let heading;
/** @type {HTMLElement} */
let back;
/** @type {HTMLElement} */
let nav;

/** @param {string} path @param {string} name @param {string} label @param {unknown} [more] */
function link(path, name, label, more) {
    return html`<li><a href=${path} data-name=${name === "bell" ? "notifications" : name}>${icon(name)}<span class="label">${label}</span>${more}</a></li>`;
}

function write() {
    if (matchMedia("(min-width: 900px)").matches) void import("./parts/composer.js").then(({ compose }) => compose({}));
    else navigate("/compose");
}

/** What stands in the navigation. */
function drawNav() {
    const own = session.account;
    document.body.classList.toggle("signed-in", Boolean(own)); // the composer has its room before it is there
    const brand = html`<a class="brand" href="/" aria-label=${facts.title}>${icon("home")}<span class="label">${facts.title}</span></a>`;
    if (!own) {
        const doors = session.canSignIn && [
            html`<li><button type="button" class="primary" @click=${() => session.signUp()}>${icon("person")}<span class="label">${w.signUp}</span></button></li>`,
            html`<li><button type="button" @click=${() => session.signIn()}>${icon("up")}<span class="label">${w.signIn}</span></button></li>`,
        ];
        fill(nav, brand, html`<ul>${link("/", "home", w.publicTimeline)}${link("/explore", "explore", w.explore)}${link("/search", "search", w.search)}${doors}</ul>`);
        return;
    }
    const badge = element(html`<span class="badge" hidden></span>`);
    const you = element(html`<button type="button" class="you" aria-label=${`${own.display_name || own.username}, ${w.more}`}>${avatar(own, { size: "small" })}<span class="label"><bdi>${own.display_name || own.username}</bdi></span></button>`);
    menu(you, async () => (await import("./parts/own_menu.js")).ownMenu());
    fill(
        nav, brand,
        html`<ul>${link("/", "home", w.home)}${link("/explore", "explore", w.explore)}<li class="write"><button type="button" class="primary" @click=${write}>${icon("write")}<span class="label">${w.write}</span></button></li>${link("/notifications", "bell", w.notifications, badge)}<li class="wide"><a href="/messages" data-name="messages">${icon("mail")}<span class="label">${w.messages}</span></a></li><li class="wide"><a href="/bookmarks" data-name="bookmarks">${icon("bookmark")}<span class="label">${w.bookmarks}</span></a></li><li class="wide"><a href="/lists" data-name="lists">${icon("list")}<span class="label">${w.lists}</span></a></li><li class="wide"><a href="/settings" data-name="settings">${icon("settings")}<span class="label">${w.settings}</span></a></li><li>${you}</li></ul>`,
    );
    void import("./parts/unread.js").then(({ unread }) => {
        unread.start();
        unread.watch((/** @type {number} */ n) => {
            badge.hidden = !n;
            fill(badge, html`<span aria-hidden="true">${n > 99 ? "99+" : n}</span><span class="hidden">, ${w.unread(n)}</span>`);
        });
    });
}

/** @param {string} name */
function markNav(name) {
    for (const each of nav.querySelectorAll("a[data-name]")) {
        if (each.getAttribute("data-name") === name) each.setAttribute("aria-current", "page");
        else each.removeAttribute("aria-current");
    }
}

/** @param {Shown} shown */
function put(shown) {
    if (current && current !== shown) {
        current.scroll = scrollY;
        current.focus = current.box.contains(document.activeElement) ? document.activeElement : null;
        current.box.hidden = true;
    }
    current = shown;
    if (!shown.box.isConnected) outlet.append(shown.box);
    shown.box.hidden = false;
    heading.textContent = shown.title;
    document.title = shown.title === facts.title ? facts.title : `${shown.title} – ${facts.title}`;
    back.hidden = place === 0;
    const name = routeOf(location.pathname)?.route.name ?? "";
    markNav(name);
    document.body.dataset.screen = name;
    scrollTo({ top: shown.scroll, behavior: "instant" });
    dispatchEvent(new CustomEvent("rk-navigated", { detail: { path: location.pathname } }));
}

/** @param {Shown} shown */
function forget(shown) {
    kept.delete(shown.key);
    shown.leave?.();
    shown.box.remove();
}

/** Show what the address says. @param {boolean} isBack whether it was shown before, perhaps */
async function show(isBack) {
    const [path, mine] = [location.pathname + location.search, ++count];
    const known = isBack && kept.get(place);
    if (known && known.path === path) {
        put(known);
        if (known.focus instanceof HTMLElement) known.focus.focus({ preventScroll: true });
        return;
    }
    if (known) forget(known);
    const found = routeOf(location.pathname);
    const query = Object.fromEntries(new URLSearchParams(location.search));
    /** @type {import("./routes.js").Screen} */
    let screen;
    try {
        screen = found ? await (await found.route.load()).default({ params: found.params, query }) : nothing();
    } catch (error) {
        console.error(error);
        screen = await outdated();
    }
    if (mine !== count) return screen.leave?.();
    const box = element(html`<div class="rk-screen">${screen.element}</div>`);
    const shown = { key: place, path, box, title: screen.title, scroll: 0, focus: null, leave: screen.leave };
    const before = kept.get(place);
    if (before) forget(before);
    kept.set(place, shown);
    put(shown);
    if (count > 1 && !box.contains(document.activeElement)) heading.focus({ preventScroll: true });
    for (const other of [...kept.values()]) if (kept.size > KEPT_MAX && other !== shown) forget(other);
}

function nothing() {
    return { element: element(html`<div class="rk-state"><p>${w.notHere}</p><p><a class="button" href="/">${w.toHome}</a></p></div>`), title: w.notHere };
}

/** A module that isn't there any more: the server has a newer version. Load once, never in a loop. */
async function outdated() {
    let served = facts.version;
    try {
        const page = await (await fetch("/", { cache: "no-store" })).text();
        served = /\/assets\/([^/"]+)\//.exec(page)?.[1] ?? served;
    } catch {
        // Offline: the state below says it.
    }
    const isNewer = !import.meta.url.includes(`/assets/${served}/`);
    if (isNewer && sessionStorage.getItem("rookery-reloaded") !== served) {
        sessionStorage.setItem("rookery-reloaded", served);
        location.reload();
    }
    const text = isNewer ? w.newVersion : navigator.onLine ? w.broken : w.offline;
    return { element: element(html`<div class="rk-state" role="alert"><p>${text}</p><p><button type="button" @click=${() => location.reload()}>${w.reload}</button></p></div>`), title: facts.title };
}

/** @param {string} path @param {{replace?: boolean}} how */
function go(path, { replace }) {
    const url = new URL(path, location.origin);
    if (url.origin !== location.origin || !routeOf(url.pathname)) {
        location.assign(url);
        return;
    }
    if (replace) history.replaceState({ place }, "", url);
    else {
        for (const [at, shown] of [...kept]) if (at > place) forget(shown);
        place += 1;
        history.pushState({ place }, "", url);
    }
    void show(false);
}

/** Links of ours are followed without loading the page. @param {MouseEvent} event */
function follow(event) {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const found = event.target instanceof Element ? event.target.closest("a") : null;
    if (!found?.href || found.hasAttribute("download") || (found.target && found.target !== "_self")) return;
    const url = new URL(found.href);
    if (url.origin !== location.origin || !routeOf(url.pathname) || (url.hash && url.pathname === location.pathname)) return;
    event.preventDefault();
    if (url.pathname + url.search === location.pathname + location.search) {
        if (dispatchEvent(new CustomEvent("rk-again", { cancelable: true }))) scrollTo({ top: 0 });
    } else go(url.pathname + url.search, {});
}

/** A form that asks by GET for an address of ours. @param {SubmitEvent} event */
function submit(event) {
    const form = /** @type {HTMLFormElement} */ (event.target);
    const url = new URL(form.action, location.origin);
    if (event.defaultPrevented || form.method !== "get" || !routeOf(url.pathname)) return;
    event.preventDefault();
    const query = new URLSearchParams(/** @type {any} */ (new FormData(form)));
    go(`${url.pathname}?${query}`, {});
}

export function startApp() {
    history.scrollRestoration = "manual";
    heading = element(html`<h1 tabindex="-1"></h1>`);
    back = element(html`<button type="button" class="back quiet" aria-label=${w.previous} @click=${() => history.back()}>${icon("back")}</button>`);
    outlet = element(html`<div class="rk-outlet"></div>`);
    nav = element(html`<nav class="rk-nav" aria-label=${w.navigation}></nav>`);
    const region = element(html`<div class="hidden" role="status" aria-live="polite"></div>`);
    speakIn(region);
    const app = document.getElementById("app") ?? document.body;
    fill(
        app,
        html`<a class="rk-skip" href="#content">${w.skip}</a>
            <div class="rk-frame">${nav}<main id="content" class="rk-column" tabindex="-1"><header class="rk-head">${back}${heading}</header><div id="dock"></div>${outlet}</main></div>${region}`,
    );
    drawNav();
    session.onChange(drawNav);
    showBy(go);
    history.replaceState({ place: 0 }, "");
    addEventListener("popstate", (event) => {
        place = event.state?.place ?? 0;
        void show(true);
    });
    addEventListener("rk-readdressed", () => {
        if (current) current.path = location.pathname + location.search; // a screen shows another part of itself
    });
    document.addEventListener("click", follow);
    document.addEventListener("submit", submit);
    const loadComposer = () => void (session.account && import("./parts/composer.js"));
    session.onChange(loadComposer); // who signs in writes at once
    void show(false).then(loadComposer);
    void import("./parts/shortcuts.js").then(({ startKeys }) => startKeys());
    void import("./parts/reading_keys.js");
}
