/**
 * Runs the unmodified TypeScript client on behalf of a Python test. See ../harness/channel.mjs for the
 * channel and values.mjs for how values travel on it.
 *
 * Every request names its client ({endpoint, namespace, encoding}); operations on an actor add {name, method, key,
 * actorId, params, input}. Connections and their listeners are numbered here. Pushed lines:
 *   {"event": connection, "name", "args"}    {"status": connection, "value"}    {"failure": connection, "error"}
 */

import { createClient } from "rivetkit/client";
import { push, serve } from "../harness/channel.mjs";
import { pack, unpack } from "./values.mjs";

const clients = new Map();
const connections = new Map();
const listeners = new Map();

function clientOf({ endpoint, namespace, encoding }) {
  const name = `${encoding} ${namespace} ${endpoint}`;
  let client = clients.get(name);
  if (client === undefined) {
    client = createClient({ endpoint, namespace, encoding });
    clients.set(name, client);
  }
  return client;
}

/** Options that hold only what the request gave, since the client tells absent from undefined. */
function given(request, names) {
  const present = Object.entries(names).filter(([field]) => field in request);
  return Object.fromEntries(present.map(([field, option]) => [option, unpack(request[field])]));
}

function handleOf(request) {
  const accessor = clientOf(request)[request.name];
  switch (request.method) {
    case "get":
      return accessor.get(request.key, given(request, { params: "params" }));
    case "getOrCreate":
      return accessor.getOrCreate(request.key, given(request, { params: "params", input: "createWithInput" }));
    case "getForId":
      return accessor.getForId(request.actorId, given(request, { params: "params" }));
    default:
      throw new Error(`unknown method ${request.method}`);
  }
}

function connect(request) {
  const connection = handleOf(request).connect();
  const number = connections.size + 1;
  connections.set(number, connection);
  connection.onStatusChange((value) => push({ status: number, value }));
  connection.onError((failure) => push({ failure: number, error: describe(failure) }));
  return number;
}

function listen(request, subscribe) {
  const { connection: number, event } = request;
  const unsubscribe = subscribe.call(connections.get(number), event, (...args) =>
    push({ event: number, name: event, args: args.map(pack) }),
  );
  const listener = listeners.size + 1;
  listeners.set(listener, unsubscribe);
  return listener;
}

async function fetchThrough(request) {
  const { path, httpMethod, headers, body } = request;
  const response = await handleOf(request).fetch(path, {
    method: httpMethod,
    headers,
    body: body === undefined ? undefined : unpack(body),
  });
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: pack(new Uint8Array(await response.arrayBuffer())),
  };
}

/** A promise with the function that resolves it. */
function pending() {
  let resolve;
  const promise = new Promise((given) => {
    resolve = given;
  });
  return { promise, resolve };
}

/** Opens a raw websocket, says everything, hears a number of messages, closes if told to, and waits for the end. */
async function converse(request) {
  const { path, say, hear, closing } = request;
  const socket = await handleOf(request).webSocket(path);
  socket.binaryType = "arraybuffer";
  const heard = [];
  const [opened, enough, ended] = [pending(), pending(), pending()];
  const listen = () => heard.length >= hear && enough.resolve();
  socket.addEventListener("message", ({ data }) => {
    heard.push(pack(typeof data === "string" ? data : new Uint8Array(data)));
    listen();
  });
  socket.addEventListener("close", ({ code, reason }) => {
    ended.resolve({ code, reason });
    opened.resolve();
    enough.resolve();
  });
  if (socket.readyState === 1) {
    opened.resolve();
  } else {
    socket.addEventListener("open", () => opened.resolve());
  }
  await opened.promise;
  for (const message of say) {
    socket.send(unpack(message));
  }
  listen();
  await enough.promise;
  if (closing !== undefined) {
    socket.close(...closing);
  }
  return { heard, ...(await ended.promise) };
}

const operations = {
  call: async (request) =>
    pack(await handleOf(request).action({ name: request.action, args: request.args.map(unpack) })),
  send: async (request) => {
    const { queue, body, wait, patience } = request;
    return pack(await handleOf(request).send(queue, unpack(body), wait ? { wait, timeout: patience } : undefined));
  },
  resolve: (request) => handleOf(request).resolve(),
  gatewayUrl: (request) => handleOf(request).getGatewayUrl(),
  create: async (request) => {
    const options = given(request, { params: "params", input: "input" });
    return (await clientOf(request)[request.name].create(request.key, options)).resolve();
  },
  fetch: fetchThrough,
  converse,
  connect,
  connReady: async ({ connection }) => {
    await connections.get(connection).ready;
  },
  connCall: async ({ connection, action, args }) =>
    pack(await connections.get(connection).action({ name: action, args: args.map(unpack) })),
  connOn: (request) => listen(request, connections.get(request.connection).on),
  connOnce: (request) => listen(request, connections.get(request.connection).once),
  connOff: ({ listener }) => {
    listeners.get(listener)();
  },
  connStatus: ({ connection }) => connections.get(connection).connStatus,
  dispose: ({ connection }) => connections.get(connection).dispose(),
};

function describe(failure) {
  if (!(failure instanceof Error)) {
    return { kind: typeof failure, message: String(failure) };
  }
  const { group, code, statusCode, metadata, actor, message } = failure;
  return {
    kind: failure.constructor.name,
    group,
    code,
    message,
    statusCode,
    metadata: pack(metadata),
    actor: pack(actor),
  };
}

async function finish() {
  await Promise.allSettled([...clients.values()].map((client) => client.dispose()));
}

await serve(operations, describe, finish);
