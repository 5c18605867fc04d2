/**
 * A live connection to an actor, by hand: the client protocol in its JSON form needs no library.
 *
 * It reconnects with a growing delay and subscribes again. Calls in flight when the socket breaks are
 * rejected, since nobody can know whether they ran.
 */
export class Connection {
  #socket;
  #timer;
  #actor;
  #key;
  #protocols;
  #handlers;
  #calls = new Map();
  #nextId = 0;
  #delay = 250;
  #closed = false;

  /** `handlers`: `status(text)`, `refused(message)`, and `events`, a function for each event name. */
  constructor(actor, key, params, handlers) {
    this.#actor = actor;
    this.#key = key;
    this.#protocols = ["rivet", "rivet_encoding.json", `rivet_conn_params.${tokenSafe(JSON.stringify(params))}`];
    this.#handlers = handlers;
    this.#connect();
  }

  call(name, ...args) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error("not connected"));
    const id = String(this.#nextId++);
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#write("ActionRequest", { id: ["$BigInt", id], name, args });
    });
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  /** The server says where its actors are: here, or on an engine. */
  async #connect() {
    try {
      const { clientEndpoint, clientNamespace } = await (await fetch("/metadata")).json();
      if (!this.#closed) this.#open(clientEndpoint ?? location.origin, clientNamespace ?? "default");
    } catch {
      this.#lost();
    }
  }

  #open(endpoint, namespace) {
    const query = new URLSearchParams({
      "rvt-namespace": namespace,
      "rvt-method": "getOrCreate",
      "rvt-runner": "default",
      "rvt-key": this.#key,
      "rvt-crash-policy": "sleep",
    });
    const url = `${endpoint.replace(/^http/, "ws").replace(/\/$/, "")}/gateway/${this.#actor}/connect?${query}`;
    this.#socket = new WebSocket(url, this.#protocols);
    this.#socket.onmessage = (frame) => this.#receive(JSON.parse(frame.data).body);
    this.#socket.onclose = () => this.#lost();
  }

  #lost() {
    for (const { reject } of this.#calls.values()) reject(new Error("connection lost"));
    this.#calls.clear();
    if (this.#closed) return;
    this.#handlers.status("reconnecting");
    this.#timer = setTimeout(() => this.#connect(), this.#delay);
    this.#delay = Math.min(this.#delay * 2, 5000);
  }

  #write(tag, val) {
    this.#socket.send(JSON.stringify({ body: { tag, val } }));
  }

  #receive({ tag, val }) {
    switch (tag) {
      case "Init":
        this.#delay = 250;
        for (const eventName of Object.keys(this.#handlers.events)) {
          this.#write("SubscriptionRequest", { eventName, subscribe: true });
        }
        this.#handlers.status("connected");
        break;
      case "Event":
        this.#handlers.events[val.name]?.(...val.args);
        break;
      case "ActionResponse":
        this.#settle(val.id)?.resolve(val.output);
        break;
      case "Error":
        if (val.actionId) this.#settle(val.actionId)?.reject(new Error(val.message));
        else if (val.group === "actor" && val.code === "validation_error") this.#refuse(val);
    }
  }

  /** The actor does not accept these parameters; trying again would not help. */
  #refuse({ message, metadata }) {
    this.close();
    this.#handlers.refused(metadata?.issues?.[0]?.message ?? message);
  }

  #settle([, id]) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }
}

/** Subprotocols are HTTP tokens, which are stricter than encodeURIComponent. */
function tokenSafe(text) {
  return encodeURIComponent(text).replace(/[()]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`);
}
