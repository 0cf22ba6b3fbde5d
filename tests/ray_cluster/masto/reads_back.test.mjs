// What masto.js writes to a served cluster it reads back at once, whichever API worker answers.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import { everywhere, ids, pages, refused, signUp, twoFriends } from "./clients.mjs";

const HOUR_MS = 3_600_000;
const DELIVERED_MS = 20_000; // what is delivered or indexed behind the answer has come by then
const PAUSE_MS = 50;
const PICTURE = // a PNG of one point
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

describe("what masto.js writes it reads back at once", { concurrency: 4 }, () => {
  // All of these write at the same time: pages are as long as they can be, so that nothing falls off their ends.
  let ada, bob;
  before(async () => { [ada, bob] = await twoFriends(); });

  test("a picture, and the status that shows it", async () => {
    const file = new Blob([Buffer.from(PICTURE, "base64")], { type: "image/png" });
    const media = await ada.v2.media.create({ file, description: "a dot" });
    const made = await ada.v1.statuses.create({ status: "look", mediaIds: [media.id] });
    await everywhere(() => bob.v1.statuses.$select(made.id).fetch(), ({ mediaAttachments }) => assert.deepEqual(
      mediaAttachments.map(({ id, type, description }) => [id, type, description]), [[media.id, "image", "a dot"]]));
    assert.equal((await fetch(made.mediaAttachments[0].url)).status, 200);
  });

  test("a status, in every timeline that it belongs to", async () => {
    const made = await ada.v1.statuses.create({
      status: "says hello to @" + bob.username + " #masto", spoilerText: "greeting", sensitive: true, language: "en",
    });
    assert.equal(made.spoilerText, "greeting");
    assert.equal(made.sensitive, true);
    assert.deepEqual(made.mentions.map(({ id }) => id), [bob.id]);
    assert.deepEqual(made.tags.map(({ name }) => name), ["masto"]);
    await everywhere(() => bob.v1.statuses.$select(made.id).fetch(), (status) => assert.deepEqual(
      [status.content, status.account.id, status.language], [made.content, ada.id, "en"]));
    const isThere = (list) => assert.ok(ids(list).includes(made.id));
    await everywhere(() => ada.v1.timelines.home.list({ limit: 40 }), isThere);
    await everywhere(() => ada.v1.accounts.$select(ada.id).statuses.list({ limit: 40 }), isThere);
    await everywhere(() => bob.v1.timelines.public.list({ limit: 40, local: true }), isThere);
    assert.deepEqual(ids(await bob.v1.statuses.fetch({ id: [made.id] })), [made.id]);
    assert.equal((await ada.v1.statuses.$select(made.id).source.fetch()).spoilerText, "greeting");
  });

  test("the same status once, however often it is sent with one key", async () => {
    const meta = { requestInit: { headers: { "Idempotency-Key": `key ${ada.username}` } } };
    const twice = await Promise.all([1, 2].map(() => ada.v1.statuses.create({ status: "only once" }, meta)));
    assert.equal(twice[0].id, twice[1].id);
  });

  test("an answer, in the thread, until it is deleted", async () => {
    const asked = await ada.v1.statuses.create({ status: "who answers?" });
    const made = await bob.v1.statuses.create({ status: "I do", inReplyToId: asked.id });
    assert.equal(made.inReplyToAccountId, ada.id);
    await everywhere(() => ada.v1.statuses.$select(asked.id).context.fetch(),
      ({ descendants }) => assert.deepEqual(ids(descendants), [made.id]));
    await everywhere(() => ada.v1.statuses.$select(made.id).context.fetch(),
      ({ ancestors }) => assert.deepEqual(ids(ancestors), [asked.id]));
    assert.equal((await ada.v1.statuses.$select(asked.id).fetch()).repliesCount, 1);
    assert.equal((await bob.v1.statuses.$select(made.id).remove()).text, "I do");
    await everywhere(() => ada.v1.statuses.$select(asked.id).context.fetch(),
      ({ descendants }) => assert.deepEqual(descendants, []));
    await refused(404, () => ada.v1.statuses.$select(made.id).fetch());
  });

  test("a boost, and that it was taken back", async () => {
    const made = await ada.v1.statuses.create({ status: "worth a boost" });
    const boost = await bob.v1.statuses.$select(made.id).reblog();
    assert.equal(boost.reblog.id, made.id);
    await everywhere(() => ada.v1.statuses.$select(made.id).fetch(),
      (status) => assert.deepEqual([status.reblogsCount, status.reblogged], [1, false]));
    await everywhere(() => ada.v1.statuses.$select(made.id).rebloggedBy.list(),
      (list) => assert.deepEqual(ids(list), [bob.id]));
    await everywhere(() => bob.v1.statuses.$select(made.id).fetch(), ({ reblogged }) => assert.equal(reblogged, true));
    await bob.v1.statuses.$select(made.id).unreblog();
    await everywhere(() => ada.v1.statuses.$select(made.id).fetch(),
      ({ reblogsCount }) => assert.equal(reblogsCount, 0));
  });

  test("favourites, bookmarks and pins", async () => {
    const made = await ada.v1.statuses.create({ status: "liked and kept" });
    const asBob = bob.v1.statuses.$select(made.id);
    assert.equal((await asBob.favourite()).favourited, true);
    await everywhere(() => asBob.fetch(), (status) => assert.deepEqual(
      [status.favouritesCount, status.favourited], [1, true]));
    await everywhere(() => bob.v1.favourites.list(), (list) => assert.ok(ids(list).includes(made.id)));
    await everywhere(() => ada.v1.statuses.$select(made.id).favouritedBy.list(),
      (list) => assert.deepEqual(ids(list), [bob.id]));
    assert.equal((await asBob.unfavourite()).favourited, false);
    await everywhere(() => asBob.fetch(), ({ favouritesCount }) => assert.equal(favouritesCount, 0));
    await asBob.bookmark();
    await everywhere(() => bob.v1.bookmarks.list({ limit: 1 }), (list) => assert.deepEqual(ids(list), [made.id]));
    await asBob.unbookmark();
    await everywhere(() => bob.v1.bookmarks.list(), (list) => assert.ok(!ids(list).includes(made.id)));
    await ada.v1.statuses.$select(made.id).pin();
    await everywhere(() => bob.v1.accounts.$select(ada.id).statuses.list({ pinned: true }),
      (list) => assert.deepEqual(ids(list), [made.id]));
    assert.equal((await ada.v1.statuses.$select(made.id).unpin()).pinned, false);
  });

  test("a poll, and its votes", async () => {
    const poll = { options: ["this", "that", "neither"], expiresIn: 3600, multiple: true };
    const made = await ada.v1.statuses.create({ status: "which?", poll });
    const voted = await bob.v1.polls.$select(made.poll.id).votes.create({ choices: [0, 2] });
    const tallies = ({ options }) => options.map(({ votesCount }) => votesCount);
    assert.deepEqual(tallies(voted), [1, 0, 1]);
    await everywhere(() => ada.v1.polls.$select(made.poll.id).fetch(), (seen) => assert.deepEqual(
      [tallies(seen), seen.votesCount, seen.votersCount, seen.expired], [[1, 0, 1], 2, 1, false]));
    await everywhere(() => bob.v1.statuses.$select(made.id).fetch(), (status) => assert.deepEqual(
      [status.poll.ownVotes, status.poll.voted], [[0, 2], true]));
    await refused(422, () => bob.v1.polls.$select(made.poll.id).votes.create({ choices: [1] }));
    await refused(422, () => ada.v1.statuses.create({ status: "?", poll: { options: ["one"], expiresIn: 3600 } }));
  });

  test("an edit, with what it was before", async () => {
    const made = await ada.v1.statuses.create({ status: "frist" });
    const edited = await ada.v1.statuses.$select(made.id).update({ status: "first", spoilerText: "corrected" });
    assert.ok(edited.editedAt);
    await everywhere(() => bob.v1.statuses.$select(made.id).fetch(), (status) => {
      assert.match(status.content, /first/);
      assert.equal(status.spoilerText, "corrected");
    });
    await everywhere(() => bob.v1.statuses.$select(made.id).history.list(), (versions) => {
      assert.deepEqual(versions.map(({ content }) => content.replace(/<[^>]*>/g, "")), ["frist", "first"]);
    });
    await refused(404, () => bob.v1.statuses.$select(made.id).update({ status: "not mine" }));
  });

  test("a scheduled status, moved and called off", async () => {
    const at = new Date(Date.now() + HOUR_MS).toISOString(), later = new Date(Date.now() + 2 * HOUR_MS).toISOString();
    const made = await ada.v1.statuses.create({ status: "later", scheduledAt: at, visibility: "unlisted" });
    assert.equal(made.scheduledAt, at);
    assert.deepEqual([made.params.text, made.params.visibility], ["later", "unlisted"]);
    await everywhere(() => ada.v1.scheduledStatuses.list(), (list) => assert.ok(ids(list).includes(made.id)));
    const one = ada.v1.scheduledStatuses.$select(made.id);
    assert.equal((await one.update({ scheduledAt: later })).scheduledAt, later);
    await everywhere(() => one.fetch(), ({ scheduledAt }) => assert.equal(scheduledAt, later));
    await refused(404, () => bob.v1.scheduledStatuses.$select(made.id).fetch());
    await one.remove();
    await refused(404, () => one.fetch());
  });

  test("a quote", async () => {
    const made = await ada.v1.statuses.create({ status: "quotable" });
    const quoting = await bob.v1.statuses.create({ status: "as she says", quotedStatusId: made.id });
    await everywhere(() => ada.v1.statuses.$select(quoting.id).fetch(), ({ quote }) => assert.deepEqual(
      [quote.state, quote.quotedStatus.id], ["accepted", made.id]));
    await everywhere(() => ada.v1.statuses.$select(made.id).quotes.list(),
      (list) => assert.deepEqual(ids(list), [quoting.id]));
  });

  test("a list, its members and its timeline", async () => {
    const made = await ada.v1.lists.create({ title: "friends" });
    const list = ada.v1.lists.$select(made.id);
    assert.equal((await list.update({ title: "old friends", repliesPolicy: "none" })).title, "old friends");
    await list.accounts.create({ accountIds: [bob.id] });
    await everywhere(() => list.accounts.list(), (members) => assert.deepEqual(ids(members), [bob.id]));
    await everywhere(() => ada.v1.accounts.$select(bob.id).lists.list(),
      (lists) => assert.deepEqual(ids(lists), [made.id]));
    const said = await bob.v1.statuses.create({ status: "for those who list me" });
    await soon(() => ada.v1.timelines.list.$select(made.id).list(), (statuses) => ids(statuses).includes(said.id));
    await list.accounts.remove({ accountIds: [bob.id] });
    await everywhere(() => list.accounts.list(), (members) => assert.deepEqual(members, []));
    await list.remove();
    await everywhere(() => ada.v1.lists.list(), (lists) => assert.ok(!ids(lists).includes(made.id)));
  });

  test("filters of both kinds, and what they meet", async () => {
    const word = `w${Date.now()}`;
    const made = await ada.v2.filters.create({
      title: "no more", context: ["home", "public"], filterAction: "warn", expiresIn: 3600,
      keywordsAttributes: [{ keyword: word, wholeWord: true }, { keyword: "another", wholeWord: false }],
    });
    assert.deepEqual(made.keywords.map(({ keyword }) => keyword), [word, "another"]);
    const said = await ada.v1.statuses.create({ status: `it is ${word} again` });
    await everywhere(() => ada.v1.timelines.home.list({ limit: 40 }), (home) => {
      const [seen] = home.filter(({ id }) => id === said.id);
      assert.deepEqual(seen.filtered.map(({ filter, keywordMatches }) => [filter.id, keywordMatches]),
        [[made.id, [word]]]);
    });
    const filter = ada.v2.filters.$select(made.id);
    const changed = await filter.update({
      title: "never", keywordsAttributes: [{ id: made.keywords[0].id, _destroy: true }, { keyword: "third" }],
    });
    assert.deepEqual(changed.keywords.map(({ keyword }) => keyword), ["another", "third"]);
    const added = await filter.keywords.create({ keyword: "fourth", wholeWord: true });
    assert.equal((await ada.v2.filters.keywords.$select(added.id).update({ keyword: "4th" })).keyword, "4th");
    await ada.v2.filters.keywords.$select(added.id).remove();
    const onStatus = await filter.statuses.create({ statusId: said.id });
    await everywhere(() => filter.statuses.list(), (list) => assert.deepEqual(
      list.map(({ id, statusId }) => [id, statusId]), [[onStatus.id, said.id]]));
    await ada.v2.filters.statuses.$select(onStatus.id).remove();
    await everywhere(() => filter.fetch(), ({ title, statuses }) => assert.deepEqual([title, statuses], ["never", []]));
    await filter.remove();
    await refused(404, () => filter.fetch());
    const old = await ada.v1.filters.create({ phrase: "old kind", context: ["thread"], wholeWord: true });
    await everywhere(() => ada.v1.filters.list(), (list) => assert.ok(ids(list).includes(old.id)));
    await ada.v1.filters.$select(old.id).update({ phrase: "older kind", context: ["thread", "home"] });
    await everywhere(() => ada.v1.filters.$select(old.id).fetch(), ({ phrase }) => assert.equal(phrase, "older kind"));
    await ada.v1.filters.$select(old.id).remove();
  });

  test("markers", async () => {
    const { id } = await ada.v1.statuses.create({ status: "read up to here" });
    await ada.v1.markers.create({ home: { lastReadId: id } });
    await everywhere(() => ada.v1.markers.fetch({ timeline: ["home", "notifications"] }),
      ({ home, notifications }) => assert.deepEqual([home.lastReadId, notifications], [id, undefined]));
  });

  test("what is searched for", async () => {
    const word = `sought${Date.now()}`;
    const made = await ada.v1.statuses.create({ status: `${word} #${word}` });
    const hasIt = (list) => ids(list).includes(made.id);
    await soon(() => bob.v2.search.list({ q: word, type: "statuses" }), ({ statuses }) => hasIt(statuses));
    await soon(() => bob.v2.search.list({ q: `#${word}` }), ({ hashtags }) => hashtags[0]?.name === word);
    await soon(() => bob.v1.timelines.tag.$select(word).list(), hasIt);
    const found = await bob.v2.search.list({ q: ada.username, type: "accounts", limit: 5 });
    assert.ok(ids(found.accounts).includes(ada.id));
    assert.ok(ids(await bob.v1.accounts.search.list({ q: ada.username })).includes(ada.id));
    assert.equal((await bob.v1.accounts.lookup({ acct: ada.username })).id, ada.id);
  });
});

describe("whom masto.js's accounts know", { concurrency: 4 }, () => {
  test("follows, and what is said of them", async () => {
    const [carl, dora] = await Promise.all([signUp(), signUp()]);
    const her = carl.v1.accounts.$select(dora.id);
    const followed = await her.follow({ reblogs: false, notify: true, languages: ["en", "de"] });
    assert.deepEqual([followed.following, followed.showingReblogs, followed.notifying, followed.languages],
      [true, false, true, ["en", "de"]]);
    await everywhere(() => dora.v1.accounts.relationships.fetch({ id: [carl.id, dora.id] }),
      ([him]) => assert.deepEqual([him.id, him.followedBy, him.following], [carl.id, true, false]));
    await everywhere(() => her.followers.list(), (list) => assert.deepEqual(ids(list), [carl.id]));
    await everywhere(() => carl.v1.accounts.$select(carl.id).following.list(),
      (list) => assert.deepEqual(ids(list), [dora.id]));
    await her.note.create({ comment: "met her here" });
    await everywhere(() => carl.v1.accounts.relationships.fetch({ id: [dora.id] }),
      ([she]) => assert.equal(she.note, "met her here"));
    await her.endorse();
    await everywhere(() => carl.v1.endorsements.list(), (list) => assert.deepEqual(ids(list), [dora.id]));
    await dora.v1.accounts.$select(carl.id).removeFromFollowers();
    await everywhere(() => carl.v1.accounts.relationships.fetch({ id: [dora.id] }),
      ([she]) => assert.equal(she.following, false));
  });

  test("requests to a locked account", async () => {
    const [eve, fay, gus] = await Promise.all([signUp(), signUp(), signUp()]);
    const credentials = await eve.v1.accounts.updateCredentials({
      locked: true, displayName: "Eve", note: "asks first", fieldsAttributes: [{ name: "site", value: "none" }],
      source: { privacy: "private", language: "de", sensitive: true },
    });
    assert.deepEqual([credentials.locked, credentials.displayName, credentials.source.privacy, credentials.source.fields
      .map(({ name, value }) => [name, value])], [true, "Eve", "private", [["site", "none"]]]);
    for (const each of [fay, gus]) {
      const asked = await each.v1.accounts.$select(eve.id).follow();
      assert.deepEqual([asked.requested, asked.following], [true, false]);
    }
    await everywhere(() => eve.v1.followRequests.list(), (list) => assert.deepEqual(ids(list), [gus.id, fay.id]));
    await eve.v1.followRequests.$select(fay.id).authorize();
    await eve.v1.followRequests.$select(gus.id).reject();
    await everywhere(() => eve.v1.followRequests.list(), (list) => assert.deepEqual(list, []));
    await everywhere(() => fay.v1.accounts.relationships.fetch({ id: [eve.id] }),
      ([she]) => assert.deepEqual([she.following, she.requested], [true, false]));
    await everywhere(() => eve.v1.preferences.fetch(),
      (preferences) => assert.equal(preferences["posting:default:visibility"], "private"));
    await eve.v1.profile.update({ note: "asked often" });
    await everywhere(() => fay.v1.accounts.$select(eve.id).fetch(), ({ note }) => assert.match(note, /asked often/));
  });

  test("blocks and mutes", async () => {
    const [hal, ida] = await twoFriends();
    const her = hal.v1.accounts.$select(ida.id);
    const muted = await her.mute({ notifications: false, duration: 3600 });
    assert.deepEqual([muted.muting, muted.mutingNotifications], [true, false]);
    await everywhere(() => hal.v1.mutes.list(), (list) => assert.deepEqual(ids(list), [ida.id]));
    assert.equal((await her.unmute()).muting, false);
    assert.deepEqual(await her.block().then(({ blocking, following }) => [blocking, following]), [true, false]);
    await everywhere(() => hal.v1.blocks.list(), (list) => assert.deepEqual(ids(list), [ida.id]));
    await everywhere(() => ida.v1.accounts.relationships.fetch({ id: [hal.id] }),
      ([he]) => assert.deepEqual([he.blockedBy, he.following], [true, false]));
    assert.equal((await her.unblock()).blocking, false);
  });

  test("hashtags, followed and featured, conversations and reports", async () => {
    const [jon, kim] = await twoFriends();
    const name = `tag${Date.now()}`;
    assert.equal((await jon.v1.tags.$select(name).follow()).following, true);
    await everywhere(() => jon.v1.followedTags.list(), (list) => assert.deepEqual(list.map((tag) => tag.name), [name]));
    const featured = await jon.v1.featuredTags.create({ name });
    await everywhere(() => kim.v1.accounts.$select(jon.id).featuredTags.list(),
      (list) => assert.deepEqual(ids(list), [featured.id]));
    await jon.v1.featuredTags.$select(featured.id).remove();
    const direct = await jon.v1.statuses.create({ status: `@${kim.username} between us`, visibility: "direct" });
    await everywhere(() => kim.v1.conversations.list(), ([first]) => assert.deepEqual(
      [first.unread, first.lastStatus.id, ids(first.accounts)], [true, direct.id, [jon.id]]));
    const [{ id }] = await kim.v1.conversations.list();
    assert.equal((await kim.v1.conversations.$select(id).read()).unread, false);
    await kim.v1.conversations.$select(id).remove();
    await everywhere(() => kim.v1.conversations.list(), (list) => assert.deepEqual(list, []));
    const about = { accountId: jon.id, statusIds: [direct.id], comment: "spam", category: "spam" };
    const report = await kim.v1.reports.create(about);
    assert.deepEqual([report.category, report.targetAccount.id], ["spam", jon.id]);
  });
});

describe("masto.js's iterators", { concurrency: 4 }, () => {
  const COUNT = 7, LIMIT = 3; // pages of 3, 3 and 1

  test("go through a timeline, forwards and backwards, and end", async () => {
    const lea = await signUp();
    const said = [];
    for (let n = 0; n < COUNT; n++) said.unshift((await lea.v1.statuses.create({ status: `number ${n}` })).id);
    const lists = {
      home: lea.v1.timelines.home, account: lea.v1.accounts.$select(lea.id).statuses,
    };
    for (const [name, list] of Object.entries(lists)) {
      const found = await pages(list.list({ limit: LIMIT }));
      const lengths = found.map((page) => page.length);
      assert.deepEqual(lengths, name === "home" ? [3, 3, 1, 0] : [3, 3, 1], name); // home goes on until nothing comes
      assert.deepEqual(ids(found.flat()), said, name);
      const newer = await pages(list.list({ limit: LIMIT, minId: said.at(-1) }).setDirection("prev"));
      assert.deepEqual(newer.map((page) => page.length), [3, 3, 0], `${name}, backwards, until nothing is newer`);
      assert.deepEqual(ids(newer.reverse().flat()), said.slice(0, -1), `${name}, backwards`);
    }
  });

  test("go through lists whose cursors are none of ids", async () => {
    const max = await signUp();
    const said = [];
    for (let n = 0; n < COUNT; n++) said.unshift((await max.v1.statuses.create({ status: `number ${n}` })).id);
    for (const id of said) {
      await max.v1.statuses.$select(id).favourite();
      await max.v1.statuses.$select(id).bookmark();
    }
    for (const [name, list] of Object.entries({ favourites: max.v1.favourites, bookmarks: max.v1.bookmarks })) {
      const found = await pages(list.list({ limit: LIMIT }));
      assert.deepEqual(ids(found.flat()), [...said].reverse(), name);
    }
  });

  test("go through followers", async () => {
    const followed = await signUp();
    const followers = await Promise.all(Array.from({ length: 5 }, signUp));
    for (const each of followers) await each.v1.accounts.$select(followed.id).follow();
    const found = await pages(followed.v1.accounts.$select(followed.id).followers.list({ limit: 2 }));
    assert.deepEqual(found.map((page) => page.length), [2, 2, 1]);
    assert.deepEqual(ids(found.flat()), ids(followers).reverse());
  });
});

/** Repeat a read until it has what comes behind the answer to a write. */
async function soon(read, hasCome) {
  const end = Date.now() + DELIVERED_MS;
  for (;;) {
    const answer = await read();
    if (hasCome(answer)) return answer;
    assert.ok(Date.now() < end, `not there yet: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
