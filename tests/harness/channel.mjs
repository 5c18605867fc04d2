/**
 * The Node end of the channel between a Python test and a program it steers.
 *
 * One JSON object a line. Python sends {"id", "op", ...}; the answer is {"id", "ok"} or {"id", "error"}, in
 * whatever order operations finish. Lines without an id are pushed by the program on its own account. The
 * program ends when its input does. Nothing else may be written to standard output.
 */

import { createInterface } from "node:readline";

for (const level of ["log", "info", "debug", "warn"]) {
  console[level] = console.error;
}

/** Sends a line that answers nothing. */
export function push(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/**
 * Answers requests until standard input ends.
 *
 * @param {Record<string, (request: object) => unknown>} operations what each op does; may be async
 * @param {(failure: unknown) => object} describe turns what an operation threw into JSON
 * @param {() => unknown} finish runs once after the last request
 */
export async function serve(operations, describe, finish) {
  for await (const line of createInterface({ input: process.stdin })) {
    void answer(operations, describe, JSON.parse(line));
  }
  await finish();
  process.exit(0);
}

async function answer(operations, describe, request) {
  try {
    const operation = operations[request.op];
    if (operation === undefined) {
      throw new Error(`unknown operation ${request.op}`);
    }
    push({ id: request.id, ok: (await operation(request)) ?? null });
  } catch (failure) {
    push({ id: request.id, error: describe(failure) });
  }
}
