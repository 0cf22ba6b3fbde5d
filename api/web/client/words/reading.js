/*
 * The words of what one reads: the shell, lists, statuses. English.
 */

/** @param {number} n @param {string} one @param {string} many */
const of = (n, one, many) => `${n.toLocaleString()} ${n === 1 ? one : many}`;

/** @type {any} */
export const words = Object.freeze({
    skip: "Skip to content", navigation: "Main", home: "Home", explore: "Explore", notifications: "Notifications", messages: "Messages",
    bookmarks: "Bookmarks", likes: "Likes", lists: "Lists", profile: "Profile", settings: "Settings", search: "Search", write: "Write", more: "More",
    drafts: "Drafts", keys: "Shortcuts", docs: "API documents", unread: (/** @type {number} */ n) => of(n, "unread", "unread"),
    about: "This is a home timeline cluster: people post, follow each other, and read what those they follow say. What you see below is what everybody here may read.",
    openMode: "This server checks nobody: it is in the mode “open”, for experiments on this machine. So nobody signs in here.",
    insecure: "Signing in needs https or localhost, so this address shows what is public.",
    signIn: "Sign in", signUp: "Make an account", lookAround: "Look around", signOut: "Sign out", waiting: (/** @type {number} */ n) => `${of(n, "post waits", "posts wait")} to be sent from this device, and will be lost.`,
    goOnAs: (/** @type {string} */ acct) => `Go on as @${acct}?`, goOn: "Go on", notNow: "Not now",
    goOnWhy: "Go on only if this link is from your own terminal: it signs you in with its token.",
    badLink: "This link doesn't work any more.",
    signInFailed: (/** @type {string} */ why) => (why === "access_denied" ? "You haven't signed in." : "Signing in didn't work. Please try once more."),
    publicTimeline: "Everybody", homeEmpty: "You follow nobody yet, or they haven't said anything.", someToFollow: "Some to begin with",
    publicEmpty: "Nobody has said anything yet.",

    loading: "Loading…", retry: "Try again",
    offline: "You are offline.", offlineAsOf: (/** @type {string} */ time) => `Offline, as of ${time}`, broken: "The server didn't answer this.",
    overloaded: (/** @type {number} */ s) => `Busy. Trying again in ${s} s…`, stillOverloaded: "The server is busy.",
    requestId: (/** @type {string} */ id) => `Request ${id}`, copyId: "Copy", copiedId: "Copied",
    partial: (/** @type {number} */ answered, /** @type {number} */ of) => `${answered} of ${of} parts of the cluster answered; something may be missing.`,
    gap: (/** @type {string} */ from, /** @type {string} */ to) => `Posts between ${from} and ${to} aren't loaded`,
    loadOlder: "Load older ones", loadNewer: "Load newer ones", end: "This is the beginning.", endAt: "Only the newest 800 are kept for home; older ones are on profiles.",
    fresh: (/** @type {number} */ n, /** @type {boolean} */ more) => `${n}${more ? "+" : ""} new`, backWhere: "Back to where you were",
    newPosts: (/** @type {number} */ n) => of(n, "new post", "new posts"),
    posts: "Posts", deleted: "This post was deleted.",

    by: (/** @type {string} */ name, /** @type {string} */ time) => `${name}, ${time}`, reposted: (/** @type {string} */ name) => `${name} reposted`,
    answers: (/** @type {string} */ name) => `Answers @${name}`, answersSomebody: "Answers somebody", pinned: "Pinned",
    reply: "Reply", repost: "Repost", unrepost: "Take repost back", quote: "Quote", like: "Like", bookmark: "Bookmark", share: "Share", moreActions: "More",
    reposts: (/** @type {number} */ n) => of(n, "repost", "reposts"), likesOf: (/** @type {number} */ n) => of(n, "like", "likes"), quotesOf: (/** @type {number} */ n) => of(n, "quote", "quotes"),
    edit: "Edit", remove: "Delete", redraft: "Delete and write anew", pin: "Pin to profile", unpin: "Unpin", muteConversation: "Mute conversation", unmuteConversation: "Unmute conversation",
    muteAccount: (/** @type {string} */ acct) => `Mute @${acct}`, blockAccount: (/** @type {string} */ acct) => `Block @${acct}`, report: "Report", copyLink: "Copy link", copied: "Link copied", open: "Open",
    removeSure: "Delete this post?", removeText: "It is gone for everybody.", yesRemove: "Delete", cancel: "Cancel",

    removed: "Deleted",
    noAnswer: "No answer from the server. Are you offline?", failed: "That didn't work", signInFirst: "Sign in to do that",
    edited: (/** @type {string} */ time) => `Edited ${time}`, history: "Earlier versions",
    show: "Show", hide: "Hide", sensitive: "Sensitive media", filteredBy: (/** @type {string} */ title) => `Filtered: ${title}`, showAnyway: "Show anyway",
    visibility: { public: "Everybody", unlisted: "Unlisted", private: "Followers", direct: "Those mentioned" },
    quoteGone: "The quoted post isn't available.", quoteHidden: "You can't see the quoted post.",
    media: (/** @type {number} */ i, /** @type {number} */ n) => `Picture ${i} of ${n}`, noAlt: "no description", alt: "ALT", description: "Description", close: "Close", previous: "Previous", next: "Next", openMedia: "Open",
    vote: "Vote", votes: (/** @type {number} */ n) => of(n, "vote", "votes"), closed: "Closed", closes: (/** @type {string} */ time) => `Open until ${time}`, yourVote: "your vote",
    notHere: "There is nothing at this address.", toHome: "To the timeline", newVersion: "There is a newer version of this page.", reload: "Load it",
});
