// What the server says of itself is what masto.js's types promise to those who read it, Elk among them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { client, refused, url } from "./clients.mjs";

test("the instance says what there is, in both forms", async () => {
  const { v1, v2 } = client();
  const [old, now] = await Promise.all([v1.instance.fetch(), v2.instance.fetch()]);
  assert.deepEqual([old.uri, now.domain], [new URL(url).host, new URL(url).host]);
  for (const instance of [old, now]) {
    const { statuses, polls, mediaAttachments } = instance.configuration;
    assert.ok(statuses.maxCharacters > 0 && statuses.charactersReservedPerUrl > 0);
    assert.ok(polls.maxOptions >= 2 && polls.minExpiration < polls.maxExpiration);
    assert.ok(Array.isArray(mediaAttachments.supportedMimeTypes));
  }
  assert.equal(now.configuration.urls.streaming, old.urls.streamingApi);
});

test("what is read without a token answers what its type says", async () => {
  const { v1, v2 } = client();
  assert.ok(Array.isArray(await v1.customEmojis.list()));
  assert.ok(Array.isArray(await v1.trends.tags.list()));
  assert.ok(Array.isArray(await v1.trends.statuses.list()));
  assert.ok(Array.isArray(await v1.trends.links.list()));
  assert.ok(Array.isArray(await v1.directory.list({ limit: 5, order: "new", local: true })));
  assert.ok(Array.isArray(await v1.timelines.public.list({ limit: 5 })));
  assert.ok(Array.isArray(await v1.instance.peers.list()));
  assert.ok(Array.isArray(await v1.instance.domainBlocks.fetch()));
  assert.equal(typeof (await v1.instance.extendedDescription.fetch()).content, "string");
  assert.deepEqual(await v1.instance.translationLanguages.list(), {});
  await refused(401, () => v2.search.list({ q: "only with a token" }));
  assert.equal((await refused(404, () => v1.instance.languages.list())).message, "Not found");
});
