/**
 * A stock TypeScript runtime with actors for the tests, on the engine that the environment names. See
 * ../harness/channel.mjs for the channel; its operation "ready" waits until the engine knows the runtime.
 */

import { actor, event, queue, setup, UserError } from "rivetkit";
import { serve } from "../harness/channel.mjs";
import { pack } from "./values.mjs";

const GIFTS = {
  bigint: 2n ** 70n,
  negativeBigint: -(2n ** 200n),
  date: new Date(Date.UTC(2024, 0, 1, 12, 30, 15, 250)),
  undefined: undefined,
  bytes: new Uint8Array([0, 1, 254, 255]),
  unicode: "grüße 漢字 🎲 \0",
  infinity: Infinity,
  holes: { present: 1, missing: undefined, list: [undefined, null] },
  nested: { deep: [{ bytes: new Uint8Array([7]), big: 2n ** 64n, "": null }] },
  set: new Set([1, "two"]),
};

/** Stopping takes long if hundreds of actors are awake. */
const options = { sleepTimeout: 2_000 };

const FAR_AWAY = Date.UTC(2100, 0, 1);

const tsEcho = actor({
  options,
  actions: {
    echo: (c, value) => value,
    /** What JavaScript made of the arguments, in the notation of values.mjs. */
    saw: (c, ...args) => JSON.stringify(pack(args)),
    give: (c, name) => GIFTS[name],
    key: (c) => c.key,
    refuse: () => {
      throw new UserError("bad thing", { code: "bad_thing", metadata: { field: "x", n: 3 } });
    },
    crash: () => {
      throw new Error("the password is swordfish");
    },
  },
});

const tsCounter = actor({
  options,
  createState: (c, input) => ({ count: input?.start ?? 0 }),
  events: { changed: event(), moved: event() },
  actions: {
    increment: (c, by = 1) => {
      c.state.count += by;
      c.broadcast("changed", c.state.count);
      c.broadcast("moved", by, by > 0 ? "up" : "down");
      return c.state.count;
    },
    count: (c) => c.state.count,
    destroy: (c) => c.destroy(),
  },
});

const tsRoom = actor({
  options,
  onBeforeConnect: (c, params) => {
    if (params?.name === "taken") {
      throw new UserError("choose another name", { code: "name_taken", metadata: { name: params.name } });
    }
  },
  createConnState: (c, params) => ({ name: params?.name, calls: 0 }),
  actions: {
    name: (c) => c.conn.params.name,
    countCalls: (c) => ++c.conn.state.calls,
    leave: (c) => c.conn.disconnect("bye"),
  },
});

/** Calls other actors, of any runtime. */
const tsRelay = actor({
  options,
  actions: {
    forward: async (c, name, key, action, args) => c.client()[name].get(key).action({ name: action, args }),
    saw: async (c, name, key, action, args) =>
      JSON.stringify(pack(await c.client()[name].get(key).action({ name: action, args }))),
    failure: async (c, name, key, action, args) => {
      try {
        await c.client()[name].get(key).action({ name: action, args });
      } catch ({ group, code, message, metadata }) {
        return { group, code, message, metadata };
      }
      return null;
    },
    nextEvent: async (c, name, key, event, action, args) => {
      const connection = c.client()[name].get(key).connect();
      try {
        const heard = new Promise((resolve) => connection.once(event, (...values) => resolve(values)));
        await connection.action({ name: action, args });
        return await heard;
      } finally {
        await connection.dispose();
      }
    },
  },
});

/** Moves from one runtime to the other and back; ``Nomad`` of app.py is the same actor there. */
const nomad = actor({
  options,
  createState: (c, input) => ({ origin: input, words: [], remembered: [] }),
  queues: { letters: queue() },
  actions: {
    write: async (c, word) => {
      c.state.words.push(word);
      await c.kv.put(word, `value of ${word}`);
      await c.queue.send("letters", { word, bytes: new Uint8Array([0, 255]) });
      await c.schedule.at(FAR_AWAY, "remember", word);
      await c.cron.every({ name: word, interval: 3_600_000, action: "remember", args: [word] });
      await c.cron.set({ name: `${word}, yearly`, expression: "0 0 1 1 *", action: "remember", args: [] });
      await c.saveState({ immediate: true });
    },
    read: async (c) => ({
      ...c.state,
      kv: await c.kv.list(""),
      planned: (await c.schedule.list()).map(({ runAt, action, args }) => [runAt, action, args]),
      recurring: (await c.cron.list()).map(({ name, action, args }) => [name, action, args]).sort(),
    }),
    take: async (c) => (await c.queue.tryNext({ names: ["letters"] }))?.body ?? null,
    forget: async (c, word) => {
      c.state.words = c.state.words.filter((other) => other !== word);
      await c.kv.delete(word);
      const [planned] = (await c.schedule.list()).filter(({ args }) => args[0] === word);
      await c.schedule.cancel(planned.id);
      await c.cron.delete(word);
    },
    soon: async (c, delay, word) => {
      await c.schedule.after(delay, "remember", word);
    },
    remember: (c, word) => {
      c.state.remembered.push(word);
    },
    grow: (c, size) => {
      c.state.words = ["x".repeat(size)];
    },
  },
});

const registry = setup({ use: { tsEcho, tsCounter, tsRoom, tsRelay, nomad }, noWelcome: true });

await serve(
  { ready: () => registry.startAndWait().then(() => true) },
  (failure) => ({ message: String(failure) }),
  () => registry.shutdown(),
);
