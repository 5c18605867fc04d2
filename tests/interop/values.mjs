/**
 * JavaScript values on the channel between a test and the driver.
 *
 * JSON carries what it can. Everything else is an object {"@": kind, "v": payload}, including a plain object
 * that happens to have a key "@". This is the tests' own notation: it has nothing to do with any encoding
 * under test, so that a mistake in one cannot hide a mistake in the other. values.py is its twin.
 */

export function pack(value) {
  switch (typeof value) {
    case "undefined":
      return { "@": "undefined" };
    case "bigint":
      return { "@": "bigint", v: value.toString() };
    case "number":
      return Number.isFinite(value) ? value : { "@": "number", v: String(value) };
    case "object":
      return value === null ? null : packObject(value);
    case "string":
    case "boolean":
      return value;
    default:
      return { "@": "other", v: String(value) };
  }
}

function packObject(value) {
  if (Array.isArray(value)) {
    return value.map(pack);
  }
  if (value instanceof Uint8Array) {
    return { "@": "bytes", v: Buffer.from(value).toString("base64") };
  }
  if (value instanceof Date) {
    return { "@": "date", v: value.getTime() };
  }
  if (value instanceof Set) {
    return { "@": "set", v: [...value].map(pack) };
  }
  if (value instanceof Map) {
    return { "@": "map", v: packPairs(value) };
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    return { "@": "other", v: `${value.constructor?.name}: ${String(value)}` };
  }
  if ("@" in value) {
    return { "@": "object", v: packPairs(Object.entries(value)) };
  }
  return Object.fromEntries(packPairs(Object.entries(value)));
}

function packPairs(pairs) {
  return [...pairs].map(([key, entry]) => [pack(key), pack(entry)]);
}

export function unpack(value) {
  if (Array.isArray(value)) {
    return value.map(unpack);
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  return "@" in value ? unpackTagged(value) : Object.fromEntries(unpackPairs(Object.entries(value)));
}

function unpackTagged({ "@": kind, v: payload }) {
  switch (kind) {
    case "undefined":
      return undefined;
    case "bigint":
      return BigInt(payload);
    case "number":
      return Number(payload);
    case "bytes":
      return new Uint8Array(Buffer.from(payload, "base64"));
    case "date":
      return new Date(payload);
    case "set":
      return new Set(payload.map(unpack));
    case "map":
      return new Map(unpackPairs(payload));
    case "object":
      return Object.fromEntries(unpackPairs(payload));
    default:
      throw new Error(`unknown kind of value ${kind}`);
  }
}

function unpackPairs(pairs) {
  return pairs.map(([key, entry]) => [unpack(key), unpack(entry)]);
}
