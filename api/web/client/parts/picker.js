/*
 * The files of a post: each a tile with its picture, what it shows in words, which point stays visible, and how far it is.
 *
 *     pick, drop, paste --> kept on the device --> brought at once (net/uploads.js) --> alt and focus said before sending
 *
 * Rules of this file
 * - A file is on the device before its first byte leaves, and stays there until its post has been answered.
 * - A tile is drawn once and patched: nobody's alt text or focus is taken from under him.
 * - The media are the draft's own objects; `changed()` says that they are another.
 */

import { element, html } from "../base/html.js";
import { read, write } from "../net/database.js";
import { cancelUpload, refusalOf, upload, watchUpload } from "../net/uploads.js";
import { countOf } from "../state/counting.js";
import { moved, saidOf } from "../state/drafts.js";
import { words } from "../words/writing.js";
import { signButton } from "./sign.js";

/** @typedef {import("../state/drafts.js").Medium} Medium */
/** @typedef {import("../net/uploads.js").Limits & {description_limit: number}} Limits */
/** @typedef {{element: HTMLElement, medium: Medium, address: string, patch: (n: number, count: number) => void}} Tile */

const STEP = 0.05;
const number = new Intl.NumberFormat();
const percent = new Intl.NumberFormat(undefined, { style: "percent" });
const named = words.media;

/** @param {number} bytes */
function megabytes(bytes) {
    return new Intl.NumberFormat(undefined, { style: "unit", unit: "megabyte", maximumFractionDigits: 1 }).format(bytes / 2 ** 20);
}

/** @param {number} value */
function inside(value) {
    return Math.round(Math.min(1, Math.max(-1, value || 0)) * 100) / 100;
}

export class Picker {
    /** @param {{changed: () => void, told: (message: string) => void, account: () => string}} given */
    constructor({ changed, told, account }) {
        this.changed = changed;
        this.told = told;
        this.account = account;
        /** @type {Medium[]} */
        this.media = [];
        /** @type {Limits | null} */
        this.limits = null;
        this.countMax = 4;
        /** @type {Map<string, Tile>} */
        this.tiles = new Map();
        this.element = element(html`<ol class="tiles" aria-label=${named.list} hidden></ol>`);
    }

    /** Show the media of another draft. @param {Medium[]} media */
    take(media) {
        for (const tile of this.tiles.values()) this.let(tile);
        this.tiles.clear();
        this.media = media;
        this.draw();
        for (const medium of media) if (!medium.id) void this.bring(medium);
    }

    /** @param {Tile} tile */
    let(tile) {
        tile.element.remove();
        if (tile.address) URL.revokeObjectURL(tile.address);
    }

    /** Take files in that somebody picked, dropped or pasted. @param {Iterable<File>} files */
    async add(files) {
        for (const file of files) {
            if (this.media.length >= this.countMax) return this.told(words.problems.media(this.countMax));
            const refusal = this.limits ? await refusalOf(file, this.limits) : { kind: "", bound: 0 };
            if (refusal.kind) {
                this.told(refused(file.name, /** @type {any} */ (refusal)));
                continue;
            }
            /** @type {Medium} */
            const medium = {
                local: `file-${crypto.randomUUID()}`, id: "", kind: file.type.split("/")[0] || "unknown", name: file.name,
                preview: "", alt: "", focus: { x: 0, y: 0 }, said: "", up: 0, problem: "",
            };
            await write([["files", { local: medium.local, account: this.account(), file }]]);
            this.media.push(medium);
            this.draw();
            this.changed();
            void this.bring(medium);
        }
    }

    /** @param {Medium} medium */
    async bring(medium) {
        const kept = await read("files", medium.local);
        if (!kept) return this.failed(medium, named.expired);
        medium.problem = "";
        const wait = upload(medium.local, kept.file, { alt: medium.alt, name: medium.name });
        const bar = this.tiles.get(medium.local)?.element.querySelector("progress");
        const stop = watchUpload(medium.local, (share) => {
            if (bar) bar.value = share;
            this.say(medium, share < 1 ? named.uploading(percent.format(share)) : named.processing);
        });
        if (bar) bar.hidden = false;
        const answer = await wait;
        stop();
        if (bar) bar.hidden = true;
        if (!this.media.includes(medium)) return;
        if (!answer.ok) return this.failed(medium, answer.status ? answer.message || words.problems.uploads : named.waiting);
        Object.assign(medium, { id: answer.body.id, kind: answer.body.type, up: Date.now(), problem: "" });
        medium.said = saidOf(answer.body.description ?? "", { x: 0, y: 0 });
        this.say(medium, "");
        this.draw();
        this.changed();
    }

    /** @param {Medium} medium @param {string} problem */
    failed(medium, problem) {
        if (!this.media.includes(medium)) return;
        medium.problem = problem;
        this.say(medium, problem);
        this.draw();
    }

    /** Bring what failed for want of a network. */
    retry() {
        for (const medium of this.media) if (!medium.id && medium.problem) void this.bring(medium);
    }

    /** @param {Medium} medium @param {string} text */
    say(medium, text) {
        const spot = this.tiles.get(medium.local)?.element.querySelector(".tile-state");
        if (spot && spot.textContent !== text) spot.textContent = text;
    }

    /** @param {Medium} medium */
    remove(medium) {
        const n = this.media.indexOf(medium);
        cancelUpload(medium.local);
        this.media.splice(n, 1);
        void write([], [["files", medium.local]]);
        this.draw();
        this.changed();
        const next = this.media[Math.min(n, this.media.length - 1)];
        const textarea = next && this.tiles.get(next.local)?.element.querySelector("textarea");
        if (textarea) textarea.focus();
        else this.element.dispatchEvent(new Event("rk-emptied", { bubbles: true }));
    }

    /** @param {Medium} medium @param {number} step */
    move(medium, step) {
        const focused = document.activeElement;
        const n = this.media.indexOf(medium);
        this.media.splice(0, this.media.length, ...moved(this.media, n, n + step));
        this.draw();
        this.changed();
        if (focused instanceof HTMLButtonElement && focused.disabled) this.tiles.get(medium.local)?.element.querySelector("textarea")?.focus();
        else if (focused instanceof HTMLElement) focused.focus();
    }

    /** Put the focus to the first that says nothing yet. */
    askForAlt() {
        const silent = this.media.find((each) => !each.alt.trim());
        if (silent) this.tiles.get(silent.local)?.element.querySelector("textarea")?.focus();
    }

    draw() {
        for (const [local, tile] of this.tiles) {
            if (this.media.some((each) => each.local === local)) continue;
            this.let(tile);
            this.tiles.delete(local);
        }
        this.media.forEach((medium, n) => {
            const tile = this.tiles.get(medium.local) ?? this.make(medium);
            this.tiles.set(medium.local, tile);
            if (this.element.children[n] !== tile.element) this.element.insertBefore(tile.element, this.element.children[n] ?? null);
            tile.patch(n + 1, this.media.length);
        });
        this.element.hidden = !this.media.length;
    }

    /** @param {Medium} medium @returns {Tile} */
    make(medium) {
        const alt = element(html`<textarea dir="auto" rows="2" placeholder=${named.altPlaceholder} .value=${medium.alt} @input=${() => {
            medium.alt = /** @type {HTMLTextAreaElement} */ (alt).value;
            const over = countOf(medium.alt) - (this.limits?.description_limit ?? 1500);
            this.say(medium, over > 0 ? named.altOver(number.format(over)) : medium.problem);
            alt.setAttribute("aria-invalid", String(over > 0));
            this.changed();
        }}></textarea>`);
        /** @param {import("./sign.js").Sign} sign @param {() => void} act */
        const button = (sign, act) => /** @type {HTMLButtonElement} */ (element(signButton(sign, "", act, `tile-${sign}`)));
        const [earlier, later] = [button("earlier", () => this.move(medium, -1)), button("later", () => this.move(medium, 1))];
        const remove = button("close", () => this.remove(medium));
        const again = element(html`<button type="button" class="quiet" hidden @click=${() => void this.bring(medium)}>${named.retry}</button>`);
        const view = element(html`<div class="tile-view"></div>`);
        const at = element(html`<li class="tile">${view}<progress max="1" value="0" aria-label=${named.processing} hidden></progress>
            <div class="tile-words">${alt}<div class="tile-tools">${earlier}${later}${remove}${again}</div>
            <p class="tile-state faint" role="status">${medium.problem}</p></div></li>`);
        /** @type {Tile} */
        const tile = { element: at, medium, address: "", patch: (n, count) => {
            alt.setAttribute("aria-label", named.altOf(n));
            for (const [node, label] of /** @type {[HTMLElement, string][]} */ ([[earlier, named.earlier(n)], [later, named.later(n)], [remove, named.remove(n)]])) {
                node.setAttribute("aria-label", label);
                node.title = label;
            }
            earlier.disabled = n === 1;
            later.disabled = n === count;
            again.hidden = !medium.problem;
        } };
        void this.preview(tile, view);
        return tile;
    }

    /** Show what the file is. @param {Tile} tile @param {HTMLElement} view */
    async preview(tile, view) {
        const { medium } = tile;
        const kept = medium.preview ? null : await read("files", medium.local);
        if (kept) tile.address = URL.createObjectURL(kept.file);
        const source = medium.preview || (medium.kind === "image" ? tile.address : "");
        if (!source) return view.append(words.kinds[/** @type {keyof typeof words.kinds} */ (medium.kind)] ?? named.unknown, " ", medium.name);
        view.append(element(html`<img alt="" src=${source}>`));
        if (medium.kind === "image") this.focal(tile, view);
    }

    /** The point that stays visible: dragged, moved by arrow keys, or given in two numbers. @param {Tile} tile @param {HTMLElement} view */
    focal({ element: at, medium }, view) {
        const spot = element(html`<button type="button" class="spot"></button>`);
        const field = (/** @type {"x" | "y"} */ axis, /** @type {string} */ label) => element(html`<label>${label} <input type="number" min="-1" max="1" step="0.05" @input=${(/** @type {any} */ event) => set({ ...medium.focus, [axis]: event.target.valueAsNumber }, event.target)}></label>`);
        const [x, y] = [field("x", named.across), field("y", named.up)];
        const show = (/** @type {EventTarget | null} */ typed) => {
            const focus = medium.focus;
            spot.style.insetInlineStart = "auto";
            spot.style.left = `${(focus.x + 1) * 50}%`;
            spot.style.top = `${(1 - focus.y) * 50}%`;
            spot.setAttribute("aria-label", named.spot(number.format(focus.x), number.format(focus.y)));
            for (const [label, value] of /** @type {[HTMLElement, number][]} */ ([[x, focus.x], [y, focus.y]])) {
                const input = /** @type {HTMLInputElement} */ (label.querySelector("input"));
                if (input !== typed) input.value = String(value);
            }
        };
        const set = (/** @type {{x: number, y: number}} */ focus, /** @type {EventTarget | null} */ typed = null) => {
            medium.focus = { x: inside(focus.x), y: inside(focus.y) };
            show(typed);
            this.changed();
        };
        const dragged = (/** @type {PointerEvent} */ event) => {
            const box = view.getBoundingClientRect();
            set({ x: ((event.clientX - box.left) / box.width) * 2 - 1, y: 1 - ((event.clientY - box.top) / box.height) * 2 });
        };
        view.addEventListener("pointerdown", (event) => {
            if (event.button) return;
            view.setPointerCapture(event.pointerId);
            dragged(event);
        });
        view.addEventListener("pointermove", (event) => view.hasPointerCapture(event.pointerId) && dragged(event));
        spot.addEventListener("keydown", (event) => {
            const step = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] })[event.key];
            if (!step) return;
            event.preventDefault();
            set({ x: medium.focus.x + step[0], y: medium.focus.y + step[1] });
        });
        view.append(spot);
        at.querySelector(".tile-words")?.append(element(html`<details><summary>${named.focus}</summary><div class="pair">${x}${y}</div></details>`));
        show(null);
    }
}

/** @param {string} name @param {{kind: "type" | "size" | "pixels" | "empty", bound: number}} refusal */
function refused(name, { kind, bound }) {
    if (kind === "size") return words.file.size(name, megabytes(bound));
    if (kind === "pixels") return words.file.pixels(name, number.format(Math.floor(bound / 1e6)));
    return words.file[kind](name);
}
