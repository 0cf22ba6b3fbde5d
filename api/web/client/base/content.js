/*
 * What people wrote, as HTML of the server, into nodes of ours: only what a closed list names is copied.
 *
 * Rules of this file
 * - Markup is parsed into a document that runs nothing and loads nothing; nodes are made anew from what is known.
 * - Links are http(s) alone, open by themselves, and tell nobody where they were followed.
 */

/** @type {Record<string, string[]>} what may be there, with the attributes that are kept */
const KNOWN = {
    P: [], BR: [], A: ["href"], SPAN: [], EM: [], STRONG: [], B: [], I: [], CODE: [], PRE: [], BLOCKQUOTE: [], UL: [], OL: [], LI: [], DEL: [],
};
const CLASSES = new Set(["mention", "hashtag", "invisible", "ellipsis", "h-card", "u-url"]);
const DEPTH_MAX = 32;

/** @type {{createHTML(text: string): any}} */
const policy =
    "trustedTypes" in window
        ? /** @type {any} */ (window).trustedTypes.createPolicy("rk-content", { createHTML: (/** @type {string} */ text) => text })
        : { createHTML: (text) => text };

/** @param {string} address @returns {string} an http(s) address, or nothing */
function linkTarget(address) {
    try {
        const url = new URL(address, location.origin);
        return url.protocol === "http:" || url.protocol === "https:" ? url.href : "";
    } catch {
        return "";
    }
}

/** @param {Node} from @param {Node} to @param {number} depth */
function copy(from, to, depth) {
    for (const node of from.childNodes) {
        if (node.nodeType === Node.TEXT_NODE) {
            to.appendChild(document.createTextNode(node.textContent ?? ""));
            continue;
        }
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        const source = /** @type {Element} */ (node);
        const kept = KNOWN[source.tagName];
        if (!kept || depth > DEPTH_MAX) {
            if (!["SCRIPT", "STYLE", "TEMPLATE"].includes(source.tagName) && depth <= DEPTH_MAX) copy(source, to, depth + 1);
            continue;
        }
        const made = document.createElement(source.tagName);
        for (const name of source.classList) if (CLASSES.has(name)) made.classList.add(name);
        if (made instanceof HTMLAnchorElement) {
            const target = linkTarget(source.getAttribute("href") ?? "");
            if (target) {
                made.href = target;
                made.rel = "noopener noreferrer nofollow";
                if (new URL(target).origin !== location.origin) made.target = "_blank";
            }
        }
        copy(source, made, depth + 1);
        to.appendChild(made);
    }
}

/**
 * Return what a status or a note says. Links to our own pages are followed by the router.
 * @param {string} markup of the server
 * @returns {DocumentFragment}
 */
export function content(markup) {
    const read = new DOMParser().parseFromString(policy.createHTML(markup), "text/html");
    const made = document.createDocumentFragment();
    copy(read.body, made, 0);
    return made;
}

/** Return the text alone of what somebody wrote. @param {string} markup */
export function plainText(markup) {
    return content(markup).textContent ?? "";
}
