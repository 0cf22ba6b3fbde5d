// masto.js's stream client hears over one WebSocket all that it has subscribed to, once and in order.

import assert from "node:assert/strict";
import { test } from "node:test";

import { streaming, twoFriends, url } from "./clients.mjs";

const POSTS = 5, HEARD_MS = 60_000, PAUSE_MS = 200;

/** Take the events of a subscription until told to stop: [event, id of what it is about]. */
function listen(subscription) {
  const heard = [];
  const ended = (async () => {
    for await (const { event, payload } of subscription) {
      heard.push([event, event === "conversation" ? payload.lastStatus.id : payload?.id ?? payload]);
    }
  })();
  return { heard, ended };
}

async function until(what, isSo) {
  const end = Date.now() + HEARD_MS;
  while (!isSo()) {
    assert.ok(Date.now() < end, `not yet: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

for (const [way, more] of [["a subprotocol", {}], ["the query", { useInsecureAccessToken: true }]]) {
  test(`over one WebSocket, its token as ${way}, each subscription hears its own once`, async () => {
    const [writer, reader] = await twoFriends();
    const list = await reader.v1.lists.create({ title: "friends" });
    await reader.v1.lists.$select(list.id).accounts.create({ accountIds: [writer.id] });
    const tag = `tag${process.pid}`;
    const client = streaming({ accessToken: reader.accessToken, ...more });
    const ears = {
      user: listen(client.user.subscribe()), public: listen(client.public.subscribe()),
      hashtag: listen(client.hashtag.subscribe({ tag })), list: listen(client.list.subscribe({ list: list.id })),
      direct: listen(client.direct.subscribe()), notification: listen(client.user.notification.subscribe()),
    };
    try {
      const post = (status, visibility = "public") => writer.v1.statuses.create({ status, visibility });
      const hello = async () => {
        await post(`is anybody there? #${tag}`);
        await post(`@${reader.username} are you?`, "direct");
      };
      for (let n = 0; Object.values(ears).some(({ heard }) => heard.length === 0); n++) {
        assert.ok(n < HEARD_MS / 1_000, `silent: ${Object.keys(ears).filter((name) => !ears[name].heard.length)}`);
        await hello();
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }
      const made = [];
      for (let n = 0; n < POSTS; n++) made.push((await post(`number ${n} #${tag}`)).id);
      await writer.v1.statuses.$select(made[1]).update({ status: `another text #${tag}` });
      await writer.v1.statuses.$select(made[0]).remove();
      const direct = (await post(`@${reader.username} between us`, "direct")).id;
      const expected = [...made.map((id) => ["update", id]), ["status.update", made[1]], ["delete", made[0]]];
      for (const name of ["user", "public", "hashtag", "list"]) {
        const { heard } = ears[name];
        await until(`${name} hears the delete`, () => heard.some(([event, id]) => event === "delete" && id === made[0]));
        assert.deepEqual(heard.filter(([, id]) => made.includes(id)), expected, name);
      }
      await until("the conversation", () => ears.direct.heard.some(([, id]) => id === direct));
      assert.equal(ears.direct.heard.filter(([, id]) => id === direct).length, 1);
      assert.ok(ears.notification.heard.every(([event]) => event === "notification"));
    } finally { // else this process would never end
      client.close();
    }
    await Promise.allSettled(Object.values(ears).map(({ ended }) => ended));
  });
}
