/*
 * What others have written: their HTML, copied by a closed list into nodes of ours.
 *
 *     a status' HTML --parsed into a document that runs nothing--> a walk --> p br a span em strong code pre lists
 *
 * Rules of this file
 * - What the list doesn't name is left out and its text kept; scripts and styles with their text. No attribute but
 *   `href` to http(s), and `class` of six names.
 * - A link out says so by `rel` and opens beside us; one to our own pages stays here.
 */

const TAGS = new Set(["P", "BR", "A", "SPAN", "EM", "STRONG", "B", "I", "DEL", "CODE", "PRE", "BLOCKQUOTE", "UL", "OL", "LI"]);
const CLASSES = new Set(["mention", "hashtag", "u-url", "h-card", "ellipsis", "invisible"]);
const DEPTH_MAX = 40;

/** @type {{createHTML: (text: string) => any}} */
const policy = (/** @type {any} */ (globalThis).trustedTypes ?? { createPolicy: (/** @type {string} */ _, /** @type {any} */ rules) => rules })
    .createPolicy("rk-content", { createHTML: (/** @type {string} */ text) => text });

/** @param {Element} from @param {HTMLElement} to */
function attributes(from, to) {
    const names = [...from.classList].filter((each) => CLASSES.has(each));
    if (names.length) to.className = names.join(" ");
    const href = from.getAttribute("href") ?? "";
    if (!(to instanceof HTMLAnchorElement) || !/^https?:\/\//i.test(href)) return;
    to.href = href;
    if (to.origin === location.origin) return;
    to.rel = "noopener noreferrer nofollow ugc";
    to.target = "_blank";
}

/** @param {Node} from @param {Node} to @param {number} depth */
function copy(from, to, depth) {
    for (const child of from.childNodes) {
        if (child instanceof Text || child.nodeType === Node.TEXT_NODE) to.appendChild(new Text(child.nodeValue ?? ""));
        else if (child.nodeType === Node.ELEMENT_NODE && depth < DEPTH_MAX) {
            const node = /** @type {Element} */ (child);
            if (/^(script|style|template|iframe|object|noscript)$/i.test(node.localName)) continue;
            if (!TAGS.has(node.tagName)) copy(node, to, depth + 1);
            else {
                const made = document.createElement(node.localName);
                attributes(node, made);
                copy(node, made, depth + 1);
                to.appendChild(made);
            }
        }
    }
}

/** @param {string} html @returns {DocumentFragment} */
export function content(html) {
    const made = document.createDocumentFragment();
    if (html) copy(new DOMParser().parseFromString(policy.createHTML(html), "text/html").body, made, 0);
    return made;
}

/** The plain text of such HTML. @param {string} html @returns {string} */
export function plain(html) {
    const text = html.replace(/<\/p>|<br ?\/?>/gi, (end) => `${end}\n`);
    return (content(text).textContent ?? "").trim();
}
export { plain as plainText };
