/*
 * Markup: templates of literal parts, into which values enter as text and attributes, never as markup.
 *
 *     html`<p class=${c}>${text}</p>` --once a place in the code--> a <template> --a clone, filled--> nodes
 *
 * Rules of this file
 * - What is parsed is the frozen parts of a literal in our code, by the one policy that may (Trusted Types).
 * - `name=${x}`: null and undefined leave it out, false too but for aria-*; `?flag`, `.property`, `@event`. Values stand
 *   for a whole attribute, without quotes.
 * - Addresses (href, src, action, poster) lead to http(s), to our own paths, or to a blob; others are left out.
 * - Blanks round a line's end beside a tag are none, so that lists hold no empty texts.
 */

/** @typedef {{strings: TemplateStringsArray, values: unknown[]}} Template */
/** @typedef {{at: number, name: string}} Place  at: which node of the walk; name: of an attribute, "" for a child */

const ADDRESSES = new Set(["href", "src", "action", "poster", "formaction"]);
const ALLOWED = /^(https?:\/\/|blob:|\/(?!\/)|[?#])/i;
const ATTRIBUTE = /\s([.?@]?[\w:-]+)=$/;
/** @type {WeakMap<TemplateStringsArray, {template: HTMLTemplateElement, places: Place[]}>} */
const compiled = new WeakMap();

/** @param {TemplateStringsArray} strings @returns {string} */
function joined(strings) {
    if (!Object.isFrozen(strings) || !Object.isFrozen(strings.raw)) throw new TypeError("not a literal");
    let text = "";
    for (const [index, part] of strings.entries()) {
        text += part;
        if (index === strings.length - 1) break;
        if (text.lastIndexOf("<") <= text.lastIndexOf(">")) text += "<!--rk-->";
        else {
            const name = ATTRIBUTE.exec(text)?.[1];
            if (!name) throw new TypeError(`a value stands for a whole attribute or a child: ${part}`);
            text = `${text.slice(0, -name.length - 1)}rk:${index}="${name}"`;
        }
    }
    return text.replace(/>\s*\n\s*/g, ">").replace(/\s*\n\s*</g, "<").trim();
}

/** @type {{createHTML: (text: string, strings: TemplateStringsArray) => any, createScriptURL: (address: string) => any}} */
const policy = (/** @type {any} */ (globalThis).trustedTypes ?? { createPolicy: (/** @type {string} */ _, /** @type {any} */ rules) => rules })
    .createPolicy("rk-template", {
        createHTML: (/** @type {string} */ _, /** @type {TemplateStringsArray} */ strings) => joined(strings),
        createScriptURL: (/** @type {string} */ address) => (address === "/sw.js" ? address : ""),
    });

/** The one script that is loaded by its address. @returns {string} */
export const workerAddress = () => policy.createScriptURL("/sw.js");

/** @param {Node} root */
const walk = (root) => document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_COMMENT);

/** @param {TemplateStringsArray} strings */
function compile(strings) {
    const template = document.createElement("template");
    template.innerHTML = policy.createHTML("", strings);
    /** @type {Place[]} */
    const places = [];
    const walker = walk(template.content);
    for (let at = 0; walker.nextNode(); at += 1) {
        const node = walker.currentNode;
        if (node instanceof Comment) places.push({ at, name: "" });
        else if (node instanceof Element) {
            for (const { name, value } of [...node.attributes]) {
                if (!name.startsWith("rk:")) continue;
                places.push({ at, name: value });
                node.removeAttribute(name);
            }
        }
    }
    const made = { template, places };
    compiled.set(strings, made);
    return made;
}

/** @param {TemplateStringsArray} strings @param {...unknown} values @returns {Template} */
export const html = (strings, ...values) => ({ strings, values });

/** @param {unknown} value */
export const safeAddress = (value) => (typeof value === "string" && ALLOWED.test(value) ? value : null);

/** Set an attribute as a template does. @param {Element} node @param {string} name @param {unknown} value */
export function setAttribute(node, name, value) {
    if (ADDRESSES.has(name)) value = safeAddress(value);
    if (value === null || value === undefined || (value === false && !name.startsWith("aria-"))) node.removeAttribute(name);
    else node.setAttribute(name, String(value));
}

/** @param {Element} node @param {string} name @param {unknown} value */
function put(node, name, value) {
    const rest = name.slice(1);
    if (name[0] === "@") {
        if (value) node.addEventListener(rest, /** @type {EventListener} */ (value));
    } else if (name[0] === "?") node.toggleAttribute(rest, !!value);
    else if (name[0] === ".") /** @type {any} */ (node)[rest] = value;
    else setAttribute(node, name, value);
}

/** What a child value becomes. @param {unknown} value @returns {(Node | string)[]} */
export function nodes(value) {
    if (value === null || value === undefined || value === false || value === true || value === "") return [];
    if (value instanceof Node) return [value];
    if (Array.isArray(value)) return value.flatMap(nodes);
    if (typeof value === "object" && "strings" in value) return [fragment(/** @type {Template} */ (value))];
    return [String(value)];
}

/** @param {Template} template @returns {DocumentFragment} */
export function fragment({ strings, values }) {
    const { template, places } = compiled.get(strings) ?? compile(strings);
    const made = document.importNode(template.content, true);
    const walker = walk(made);
    /** @type {Node[]} */
    const found = [];
    let at = -1;
    for (const place of places) {
        while (at < place.at && walker.nextNode()) at += 1;
        found.push(walker.currentNode);
    }
    for (const [index, place] of places.entries()) {
        if (place.name) put(/** @type {Element} */ (found[index]), place.name, values[index]);
        else /** @type {Comment} */ (found[index]).replaceWith(...nodes(values[index]));
    }
    return made;
}

/** @param {Template} template @returns {HTMLElement} its one root */
export function element(template) {
    return /** @type {HTMLElement} */ (fragment(template).firstElementChild);
}

/** @type {WeakMap<Element, Map<string, HTMLElement>>} */
const lists = new WeakMap();

/**
 * Make a parent's children those of a list, each kept as long as its key is there.
 * @template T
 * @param {Element} parent @param {T[]} items @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make @param {(node: HTMLElement, item: T) => void} [patch] for those that stay
 */
export function reconcile(parent, items, keyOf, make, patch) {
    const before = lists.get(parent) ?? new Map();
    /** @type {Map<string, HTMLElement>} */
    const now = new Map();
    for (const item of items) {
        const key = keyOf(item);
        const known = before.get(key);
        if (known) patch?.(known, item);
        now.set(key, known ?? make(item));
    }
    for (const [key, node] of before) if (!now.has(key)) node.remove();
    let at = parent.firstChild;
    for (const node of now.values()) {
        if (node === at) at = at.nextSibling;
        else parent.insertBefore(node, at);
    }
    lists.set(parent, now);
}
