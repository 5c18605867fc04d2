/** An actor that both runtimes know: ours is in nomad.py. It moves from one to the other and back. */

import { actor, event, queue } from "rivetkit";
import { db } from "rivetkit/db";

const FAR_AWAY = Date.UTC(2100, 0, 1);

export const nomad = actor({
  options: { sleepTimeout: 2_000 },
  createState: (c, input) => ({ origin: input, words: [], remembered: [] }),
  connState: { calls: 0 },
  db: db({ onMigrate: (database) => database.execute("CREATE TABLE IF NOT EXISTS notes (word TEXT)") }),
  events: { wrote: event() },
  queues: { letters: queue() },
  actions: {
    write: async (c, word) => {
      c.state.words.push(word);
      await c.kv.put(word, `value of ${word}`);
      await c.queue.send("letters", { word, bytes: new Uint8Array([0, 255]) });
      await c.db.execute("INSERT INTO notes VALUES (?)", word);
      await c.schedule.at(FAR_AWAY, "remember", word);
      await c.cron.every({ name: word, interval: 3_600_000, action: "remember", args: [word] });
      await c.cron.set({ name: `${word}, yearly`, expression: "0 0 1 1 *", action: "remember", args: [] });
      await c.saveState({ immediate: true });
      c.broadcast("wrote", word);
    },
    /** Which connection this is, and how often it asked. */
    me: (c) => [c.conn.id, ++c.conn.state.calls],
    nap: (c) => c.sleep(),
    read: async (c) => ({
      ...c.state,
      kv: await c.kv.list(""),
      notes: (await c.db.execute("SELECT word FROM notes")).map(({ word }) => word),
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
