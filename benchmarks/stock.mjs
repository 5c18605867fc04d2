/**
 * The stock TypeScript runtime with the same actor as ours, on the engine and pool of the environment.
 *
 *   node stock.mjs FOLDER    the folder whose node_modules have rivetkit
 *
 * Prints 0 once it was asked to connect; whether it is connected, the engine says.
 */

import { createRequire } from "node:module";

const packages = createRequire(`${process.argv[2]}/package.json`);
const { actor, setup } = packages("rivetkit");

const throttled = actor({
  state: { count: 0 },
  actions: {
    increment(context, by = 1) {
      context.state.count += by;
      return context.state.count;
    },
  },
});

setup({ use: { throttled }, noWelcome: true, logging: { level: "error" } }).startEnvoy();
console.log(0);
