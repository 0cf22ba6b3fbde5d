/*
 * What the page says of the server it comes from: title, how one signs in, limits.
 */

/** @typedef {{version: string, title: string, auth: string, registrations: string, mail: boolean, push: boolean, media: string[], chars: number}} Facts */

/** @returns {Facts} */
function read() {
    const said = document.querySelector('meta[name="rookery"]')?.getAttribute("content");
    const known = { version: "", title: "Rookery", auth: "token", registrations: "open", mail: false, push: false, media: [], chars: 500 };
    try {
        return { ...known, ...JSON.parse(said ?? "{}") };
    } catch {
        return known;
    }
}

export const facts = Object.freeze(read());
