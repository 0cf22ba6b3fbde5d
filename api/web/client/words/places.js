/*
 * The words of the screens beside home, public and the composer. English.
 *
 * Rules of this file
 * - A text, or a function that makes one; numbers and times come ready from `times.js`, counts as numbers.
 */

/** @param {number} n @param {string} one @param {string} many */
const of = (n, one, many) => `${n.toLocaleString()} ${n === 1 ? one : many}`;

/** @type {any} */
export const words = Object.freeze({
    // everywhere
    retry: "Try again", undo: "Undo", done: "Done", send: "Send", keep: "Save", kept: "Saved", remove: "Remove", add: "Add", end: "End", loading: "Loading…",
    or: "or", then: "then", order: "Order", search: "Search", explore: "Explore", nothingYet: "Nothing here yet.", nobodyYet: "Nobody yet.",
    copied: "Link copied", notCopied: "The link couldn't be copied", dropped: "Dropped", allow: "Allow", deny: "Deny", asItIs: "As it is",
    until: (/** @type {string} */ day) => `until ${day}`,

    // accounts
    accountOf: (/** @type {string} */ name, /** @type {string} */ acct) => `${name}, @${acct}`,
    follow: "Follow", followBack: "Follow back", following: "Following", requested: "Requested", unblock: "Unblock", unfollow: "Unfollow", unmute: "Unmute",
    unfollowed: (/** @type {string} */ acct) => `You don't follow @${acct} any more`,
    blocksYou: "Blocks you", youBlock: "You block this account", youMute: "You mute this account", mutedUntil: (/** @type {string} */ day) => `You mute this account until ${day}`,
    youAsked: "You asked to follow", followsYou: "Follows you", asksYou: "Asks to follow you",
    locked: "Approves followers", bot: "Automated", joined: (/** @type {string} */ day) => `Here since ${day}`,
    ownNote: "Your note, for yourself alone", noteKept: "Note saved", editProfile: "Edit profile", yourProfile: "See your profile",
    moreOf: (/** @type {string} */ acct) => `More about @${acct}`, partsOf: (/** @type {string} */ acct) => `Parts of @${acct}`,
    noSuchAccount: (/** @type {string} */ acct) => `There is no account @${acct} here, or it can't be shown to you.`,
    hidesThese: (/** @type {string} */ acct) => `@${acct} doesn't show these.`,
    pinned: "Pinned",
    parts: { posts: "Posts", replies: "Replies", media: "Media", likes: "Likes", followers: "Followers", following: "Following", reposts: "Reposts", quotes: "Quotes" },
    emptyParts: { media: "No pictures, videos or sounds yet.", replies: "No replies yet.", likes: "You have liked nothing yet.", followers: "Nobody follows yet.", following: "Follows nobody yet." },
    mention: "Mention", bellOn: "Tell me when they post", bellOff: "Don't tell me when they post", repostsOn: "Show their reposts", repostsOff: "Hide their reposts",
    onLists: "Lists…", onListsOf: (/** @type {string} */ acct) => `Your lists with @${acct}`, endorse: "Show on my profile", endorseNot: "Don't show on my profile",
    removeFollower: "Remove this follower", removeFollowerText: (/** @type {string} */ acct) => `@${acct} won't follow you any more. They aren't told, and may follow you again.`,
    copyLink: "Copy link", mute: "Mute", muteMore: "Mute…", muteOf: (/** @type {string} */ acct) => `Mute @${acct}`,
    muteText: "Their posts are left out of your timelines. They aren't told, and can still see yours.", muteFor: "For how long", muteNotices: "Their notifications, too",
    muted: (/** @type {string} */ acct) => `@${acct} is muted`, block: "Block", blockOf: (/** @type {string} */ acct) => `Block @${acct}?`,
    blockText: "Neither of you sees the other, and neither follows the other any more.", blocked: (/** @type {string} */ acct) => `@${acct} is blocked`,
    durations: /** @type {[number, string][]} */ ([[0, "Until I undo it"], [1800, "30 minutes"], [3600, "1 hour"], [21600, "6 hours"], [86400, "1 day"], [604800, "1 week"], [2592000, "30 days"]]),
    reportMore: "Report…", reportOf: (/** @type {string} */ acct) => `Report @${acct}`, reportHint: "Who runs this server reads it. The account isn't told who reported it.",
    reportWhy: "What is wrong", reportWhys: { spam: "Spam or a fraud", violation: "Breaks a rule", legal: "Against the law", other: "Something else" },
    reportRules: "Which rules", reportComment: "What the operator should know", reported: "Thank you. The report was sent.",
    reportedMore: (/** @type {string} */ acct) => `If you don't want to see @${acct} meanwhile:`,

    // conversation
    conversation: "Conversation", before: "What was said before", answers: "Answers", backToPost: "Back to the post", openThere: "Go there",
    postGone: "This post was deleted, or isn't for you to see.",
    hiddenAbove: "What this answers can't be shown: it was deleted, or isn't for you to see.", moreAbove: "The conversation began earlier.",
    hiddenBelow: (/** @type {number} */ n) => `${of(n, "answer isn't", "answers aren't")} shown: deleted, from somebody blocked or muted, or not for you to see.`,
    moreBelow: "There may be more answers: open one of these to go on.", moreBelowSigned: "There may be more answers: sign in to see more of them.",

    // explore, hashtags, search
    trends: { posts: "Posts", tags: "Hashtags", links: "Links", everyone: "Everyone", people: "For you to follow", directory: "Directory" },
    nothingRises: "Nothing is written about more than usual just now.", noSuggestions: "Nobody to suggest just now. The directory has everybody who wants to be found.",
    notSuggested: (/** @type {string} */ acct) => `Don't suggest @${acct}`, byActive: "Wrote last", byNew: "Came last",
    usedBy: (/** @type {string} */ uses, /** @type {string} */ people) => `${uses} posts by ${people} people today`,
    followTag: "Follow hashtag", feature: "Show on my profile", featureNot: "Don't show on my profile", onlyMedia: "Only posts with media",
    noneTagged: (/** @type {string} */ name) => `Nobody has said anything with #${name} yet.`,
    searchOf: (/** @type {string} */ asked) => `Search: ${asked}`, searched: { all: "All", posts: "Posts", people: "People", tags: "Hashtags" },
    searchHelp: "What you can write", searchedInstead: "Nothing was found as written. Shown is:", suggestions: "Suggestions",
    noneFound: "None found.", noPostsFound: "No post was found. Fewer words find more.",
    finds: {
        words: "posts with both words, in any form", phrase: "these words next to each other", or: "posts with either", not: "the first word without the second", group: "parentheses group",
        prefix: "words that begin so", tag: "a hashtag", cash: "a cashtag", mention: "posts that mention @ada", from: "posts by @ada", to: "answers to @ada", lang: "posts in a language",
        since: "that day or later", until: "that day or before", media: "with media", links: "with links", image: "with pictures", video: "with videos", audio: "with sound",
        alt: "with described media", reply: "answers", repost: "reposts", likes: "with at least 10 likes", follows: "by people you follow",
    },

    // notifications
    notifications: "Notifications", kindsOf: "Kinds of notifications", noNotices: "Nothing has happened yet. Whoever answers, likes or follows you is shown here.",
    kinds: { all: "All", mentions: "Mentions", follows: "Follows", likes: "Likes", reposts: "Reposts", polls: "Polls", posts: "Posts", requests: "Requests", policy: "Whose are let through" },
    did: {
        mention: "mentioned you", quote: "quoted you", status: "posted", reblog: "reposted you", follow: "followed you", follow_request: "asks to follow you",
        favourite: "liked your post", poll: "ended: a poll that you voted on or made", update: "edited a post that you reposted", other: "did something",
    },
    andOthers: (/** @type {number} */ n) => ` and ${of(n, "other", "others")}`, aPost: "a post",
    noticePlain: (/** @type {string} */ type, /** @type {string} */ name, others = 0) => `${name}${others > 0 ? words.andOthers(others) : ""} ${words.did[type] ?? words.did.other}`,
    newNotices: (/** @type {number} */ n) => `Show ${of(n, "new notification", "new notifications")}`, dismiss: "Dismiss",
    clearAll: "Clear all", clearText: "All notifications are removed, for good.",
    noRequests: "Nobody waits.", waiting: (/** @type {number} */ n) => `${of(n, "notification waits", "notifications wait")}`,
    letThrough: (/** @type {string} */ acct) => `@${acct}'s notifications come through from now on`,
    policyText: "What comes from these accounts may wait among the requests, or be dropped.", verdicts: { accept: "Let through", filter: "Let wait", drop: "Drop" },
    policies: {
        for_not_following: "From people you don't follow", for_not_followers: "From people who don't follow you", for_new_accounts: "From new accounts",
        for_private_mentions: "Messages from people you don't follow", for_limited_accounts: "From accounts limited by the operator",
    },

    // messages, bookmarks, likes, lists
    messages: "Messages", noMessages: "No messages yet. What you say to named accounts alone stands here.", writeMessage: "Write a message", noMessage: "The last message was deleted.",
    messageWith: (/** @type {string} */ names, /** @type {boolean} */ isUnread) => `${isUnread ? "Unread message" : "Message"} with ${names}`,
    forgetMessage: "Forget this conversation?", forgetMessageText: "It leaves this list. Its posts stay, and the next one brings it back.", forget: "Forget",
    forgetMessageWith: (/** @type {string} */ names) => `Forget the conversation with ${names}`,
    bookmarks: "Bookmarks", noBookmarks: "No bookmarks yet. What you bookmark is shown to you alone.", likes: "Likes", noLikes: "You have liked nothing yet.",
    lists: "Lists", list: "List", noLists: "No lists yet. A list is a timeline of some of those whom you follow.", makeList: "Make a list", yourLists: "Your lists",
    listParts: { posts: "Posts", members: "Members", rules: "Settings" }, emptyList: "Nothing yet. Put people on this list:", noMembers: "Nobody is on this list yet.",
    listTitle: "Name", listReplies: "Answers shown", replies: { list: "To members of the list", followed: "To anybody you follow", none: "None" },
    listExclusive: "Leave its members out at home", listExclusiveShort: "left out at home", deleteList: "Delete this list", deleteListText: "Its members stay followed.",
    findMember: "Find among those you follow", noneFollowedFound: "Nobody whom you follow is called so.",
    takeOff: (/** @type {string} */ acct) => `Take @${acct} off the list`, putOn: (/** @type {string} */ acct) => `Put @${acct} on the list`,

    // settings
    settings: "Settings",
    settingsOf: {
        look: "Look", reading: "Reading", keys: "Keys", notifications: "Notifications", profile: "Profile", filters: "Filters", muted: "Muted", blocked: "Blocked",
        requests: "Follow requests", tags: "Hashtags", account: "Account",
    },
    sets: {
        theme: "Colours", size: "Size of text", motion: "Motion", start: "Home opens", live: "Show new posts at once while at the top", autoplay: "Play moving pictures by themselves",
        expand: "Open content warnings", keep: "Keep the newest of home on this device", keys: "Single keys act", popups: "Pop-ups while this page is open, but not looked at",
    },
    setTo: {
        theme: { auto: "As the device", light: "Light", dark: "Dark", contrast: "High contrast" }, size: { 100: "100 %", 115: "115 %", 130: "130 %", 150: "150 %", 200: "200 %" },
        motion: { auto: "As the device", less: "Less" }, start: { marker: "Where you stopped", newest: "With the newest" },
    },
    hints: {
        live: "Otherwise they are counted, and nothing moves by itself.", keep: "For starts without a network. It is gone when you sign out.",
        keys: "Such as j and l. Switched off, only keys with Ctrl and Esc act.", popups: "Your browser asks you first.",
    },
    allKeys: "All keys", keys: "Keys", keysPage: "This list as a page, and how to switch single keys off", key: "Key", does: "What it does",
    keysText: "None of these act while you type. Page up, Page down, Home, End and space are your browser's.", singleKeys: "Single keys act", singleKeysHint: "Off: only keys with Ctrl, and Esc.",
    push: "Push to this browser", pushOn: "Push notifications to this browser", pushHint: "They come while no page is open, through your browser's maker, encrypted.",
    noPushHere: "This browser can't be pushed to.", noPushThere: "This server pushes nothing.", popupsDenied: "Your browser doesn't allow notifications of this page.", pushRefused: "The browser refused:",
    pushWhose: "Of whom", pushPolicies: { all: "Anybody", followed: "Whom you follow", follower: "Who follows you", none: "Nobody" },
    alerts: {
        mention: "Mentions", follow: "Follows", follow_request: "Follow requests", favourite: "Likes", reblog: "Reposts", quote: "Quotes", status: "Posts of those with a bell",
        update: "Edited posts", poll: "Polls that ended",
    },
    displayName: "Name", bio: "About you", fields: "Fields", fieldName: "Label", fieldValue: "Content", isLocked: "I approve who follows me", isBot: "This account is automated",
    isDiscoverable: "Suggest me, and show me in the directory", isIndexable: "My public posts may be found by search", hidesCollections: "Hide whom I follow, and who follows me",
    postsAre: "New posts are", postsSensitive: "My media are sensitive as a rule", visibilities: { public: "Public", unlisted: "Unlisted", private: "For followers", direct: "For named accounts" },
    pictures: { avatar: "Picture", header: "Picture above the profile" }, pickPicture: "Choose a picture", removePicture: "Remove the picture",
    filterTitle: "Name", filterWords: "Words, one a line", wholeWords: "Whole words only", filterWhere: "Where", filterAction: "What happens", filterFor: "For how long",
    actions: { warn: "Say that it is filtered", hide: "Leave it out", blur: "Blur its media" }, contexts: { home: "Home and lists", notifications: "Notifications", public: "Public timelines", thread: "Conversations", account: "Profiles" },
    noFilters: "No filters yet. A filter hides or covers posts with words that you name.", makeFilter: "Make a filter", deleteFilter: "Delete this filter",
    nobodyMuted: "You mute nobody.", nobodyBlocked: "You block nobody.", nobodyAsks: "Nobody asks to follow you.", noTags: "You follow no hashtag.",
    unfollowTag: (/** @type {string} */ name) => `Unfollow #${name}`,
    signOut: "Sign out", logins: "Where you are signed in", unnamed: "A log-in without a name", thisLogin: "this one", endOthers: "End all others",
    endLogin: (/** @type {string} */ name) => `End ${name}`, ended: (/** @type {number} */ n) => `${of(n, "log-in", "log-ins")} ended`,
    yourData: "Your data", export: "Take your data along", import: "Bring data in", mail: "E-mail", drafts: "Drafts, and what waits to be sent",
    deleteAccount: "Delete the account", deleteText: "For good: all that you wrote goes, and your name is given to nobody else.", deleteSure: (/** @type {string} */ acct) => `@${acct} will be gone in a moment. Nothing brings it back.`,
    password: "Your password",
});
