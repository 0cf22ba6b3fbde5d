/*
 * Templates: markup of our own, with holes for values.
 *
 *   html`<p class=${name}>${text}</p>` -> Template -- element(), fragment() --> nodes
 *
 * Rules of this file
 * - Only the frozen literal parts of a template are ever parsed as markup; values enter as text nodes, attributes,
 *   properties and listeners.
 * - Addresses are ours or http(s); what isn't is left out.
 * - A template is parsed once, and cloned. Nothing is compared afterwards: parts patch their own spots.
 *
 * In a place for children: text, number, Node, Template, lists of these; null, undefined and booleans are nothing.
 * Attributes: name=${text} ?flag=${boolean} .property=${value} @event=${listener}; null leaves an attribute out.
 */

/** @typedef {{strings: TemplateStringsArray, values: unknown[]}} Template */

const MARK = "rk-hole-";
const ADDRESSES = new Set(["href", "src", "action", "poster", "formaction", "srcset"]);

/** @type {{createHTML(text: string): any}} */
const policy =
    "trustedTypes" in window
        ? /** @type {any} */ (window).trustedTypes.createPolicy("rk-template", { createHTML: (/** @type {string} */ text) => text })
        : { createHTML: (text) => text };

/** @type {WeakMap<TemplateStringsArray, HTMLTemplateElement>} */
const parsed = new WeakMap();

/**
 * @param {TemplateStringsArray} strings
 * @param {...unknown} values
 * @returns {Template}
 */
export function html(strings, ...values) {
    return { strings, values };
}

/** @param {unknown} value @returns {value is Template} */
function isTemplate(value) {
    return typeof value === "object" && value !== null && Array.isArray(/** @type {any} */ (value).strings) && Object.isFrozen(/** @type {any} */ (value).strings);
}

/** @param {TemplateStringsArray} strings */
function templateOf(strings) {
    let made = parsed.get(strings);
    if (!made) {
        if (!Object.isFrozen(strings) || !Array.isArray(strings.raw)) throw new TypeError("a template is made of literal parts only");
        let text = strings[0];
        for (let i = 1; i < strings.length; i++) {
            const inTag = text.lastIndexOf("<") > text.lastIndexOf(">");
            text += (inTag ? `"${MARK}${i - 1}"` : `<!--${MARK}${i - 1}-->`) + strings[i];
        }
        made = document.createElement("template");
        made.innerHTML = policy.createHTML(text.trim());
        parsed.set(strings, made);
    }
    return made;
}

/** Whether an address may stand in a page. @param {string} address */
export function isSafeAddress(address) {
    if (address.startsWith("/") || address.startsWith("#") || address.startsWith("?")) return true;
    try {
        return ["http:", "https:", "blob:"].includes(new URL(address, location.origin).protocol);
    } catch {
        return false;
    }
}

/** @param {Element} target @param {string} name @param {unknown} value */
function setAttribute(target, name, value) {
    if (name[0] === "@") {
        if (value) target.addEventListener(name.slice(1), /** @type {EventListener} */ (value));
    } else if (name[0] === ".") {
        /** @type {any} */ (target)[name.slice(1)] = value;
    } else if (name[0] === "?") {
        target.toggleAttribute(name.slice(1), Boolean(value));
    } else if (value !== null && value !== undefined && value !== false) {
        const text = String(value);
        if (!ADDRESSES.has(name) || isSafeAddress(text)) target.setAttribute(name, text);
    }
}

/** @param {unknown} value @param {(node: Node) => void} put */
function eachNode(value, put) {
    if (value === null || value === undefined || typeof value === "boolean") return;
    if (Array.isArray(value)) for (const each of value) eachNode(each, put);
    else if (value instanceof Node) put(value);
    else if (isTemplate(value)) put(fragment(value));
    else put(document.createTextNode(String(value)));
}

/** Return the nodes of a template, not yet in a document. @param {Template} template @returns {DocumentFragment} */
export function fragment({ strings, values }) {
    const made = document.importNode(templateOf(strings).content, true);
    const walker = document.createTreeWalker(made, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_COMMENT);
    /** @type {[Comment, unknown][]} */
    const holes = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (node instanceof Comment) {
            if (node.data.startsWith(MARK)) holes.push([node, values[Number(node.data.slice(MARK.length))]]);
            continue;
        }
        const target = /** @type {Element} */ (node);
        for (const { name, value } of [...target.attributes]) {
            if (!value.startsWith(MARK)) continue;
            target.removeAttribute(name);
            setAttribute(target, name, values[Number(value.slice(MARK.length))]);
        }
    }
    for (const [hole, value] of holes) {
        eachNode(value, (node) => hole.before(node));
        hole.remove();
    }
    return made;
}

/** Return the one element of a template. @param {Template} template @returns {HTMLElement} */
export function element(template) {
    const made = fragment(template).firstElementChild;
    if (!made) throw new TypeError("this template has no element");
    return /** @type {HTMLElement} */ (made);
}

/** Fill a place anew. @param {Element} place @param {...unknown} values */
export function fill(place, ...values) {
    place.textContent = "";
    eachNode(values, (node) => place.append(node));
}

/**
 * Have a parent's children be those of some items, each by its key, and move none that needn't be.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make
 * @param {(node: HTMLElement, item: T) => void} [patch]
 */
export function reconcile(parent, items, keyOf, make, patch) {
    /** @type {Map<string, HTMLElement>} */
    const known = new Map();
    for (const child of /** @type {HTMLElement[]} */ ([...parent.children])) known.set(child.dataset.key ?? "", child);
    let place = parent.firstElementChild;
    for (const item of items) {
        const key = keyOf(item);
        let node = known.get(key);
        if (node) {
            known.delete(key);
            patch?.(node, item);
        } else {
            node = make(item);
            node.dataset.key = key;
        }
        if (node === place) place = place.nextElementSibling;
        else parent.insertBefore(node, place);
    }
    for (const left of known.values()) left.remove();
}
