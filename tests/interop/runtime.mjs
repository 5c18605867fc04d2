/**
 * A stock TypeScript runtime with actors for the tests, on the engine that the environment names. See
 * ../harness/channel.mjs for the channel; its operation "ready" waits until the engine knows the runtime.
 */

import { actor, event, setup, UserError } from "rivetkit";
import { serve } from "../harness/channel.mjs";
import { nomad } from "./nomad.mjs";
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

/** Answers raw requests and websockets. */
const tsWeb = actor({
  options,
  actions: {},
  onRequest: async (c, request) => {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/echo":
        return new Response(await request.text(), {
          status: 201,
          headers: { "x-told": JSON.stringify([request.method, url.search, request.headers.get("x-asked")]) },
        });
      case "/stream":
        return new Response(
          new ReadableStream({
            start(controller) {
              for (const part of ["one ", "two ", "three"]) {
                controller.enqueue(new TextEncoder().encode(part));
              }
              controller.close();
            },
          }),
        );
      case "/refuse":
        throw new UserError("bad thing", { code: "bad_thing" });
      default:
        return new Response(`nothing at ${url.pathname}`, { status: 404 });
    }
  },
  onWebSocket: (c, websocket) => {
    websocket.addEventListener("message", ({ data }) => {
      if (data === "close") {
        websocket.close(4001, "as you say");
      } else {
        websocket.send(data);
      }
    });
  },
});

const registry = setup({ use: { tsEcho, tsCounter, tsRoom, tsRelay, tsWeb, nomad }, noWelcome: true });

await serve(
  { ready: () => registry.startAndWait().then(() => true) },
  (failure) => ({ message: String(failure) }),
  () => registry.shutdown(),
);
