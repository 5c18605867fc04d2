/** The page of a chat room. Whatever people wrote reaches the document as text, never as markup. */
import { Connection } from "./actor.js";

const byId = (id) => document.getElementById(id);
let connection;

function roomName() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || "general";
  } catch {
    return location.hash.slice(1);
  }
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function messageItem({ author, text, at }, me) {
  const item = document.createElement("li");
  item.classList.toggle("mine", author === me);
  const heading = document.createElement("header");
  const time = element("time", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = at;
  heading.append(element("b", author), time);
  item.append(heading, element("p", text));
  return item;
}

/** Follow the conversation, unless the reader has scrolled up. */
function append(item) {
  const list = byId("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  list.append(item);
  if (atEnd || item.className === "mine") list.scrollTop = list.scrollHeight;
}

function showMembers(names) {
  byId("members").replaceChildren(...names.map((name) => element("li", name)));
}

function showStatus(state) {
  byId("status").textContent = state;
  byId("status").dataset.state = state;
  byId("send").disabled = state !== "connected";
}

function enter(me) {
  const room = roomName();
  byId("room").textContent = `#${room}`;
  document.title = `#${room}`;
  connection?.close();
  const opened = new Connection("chatRoom", room, { name: me }, {
    status(state) {
      showStatus(state);
      if (state === "connected") load(opened, me).catch(showError);
    },
    refused: (message) => ask(message),
    events: { posted: (message) => append(messageItem(message, me)), membersChanged: showMembers },
  });
  connection = opened;
  byId("text").focus();
}

/** Messages that arrive before the history are part of it; those after it are shown as they come. */
async function load(opened, me) {
  const members = opened.call("members").then(showMembers);
  const history = opened.call("history").then((messages) => {
    byId("messages").replaceChildren(...messages.map((message) => messageItem(message, me)));
    byId("messages").scrollTop = byId("messages").scrollHeight;
  });
  await Promise.all([members, history]);
}

function showError(failure) {
  byId("error").textContent = failure.message;
}

function ask(reason = "") {
  sessionStorage.removeItem("name");
  byId("refused").textContent = reason;
  byId("room-name").value = roomName();
  showStatus("not joined");
  byId("join").showModal();
}

byId("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("text");
  const text = field.value;
  field.value = "";
  try {
    await connection.call("post", text);
    byId("error").textContent = "";
  } catch (failure) {
    showError(failure);
    field.value ||= text;
  }
});

byId("join").addEventListener("cancel", (event) => event.preventDefault());
byId("join-form").addEventListener("submit", () => {
  const room = byId("room-name").value.trim() || "general";
  if (room !== roomName()) history.replaceState(null, "", `#${encodeURIComponent(room)}`);
  sessionStorage.setItem("name", byId("name").value.trim());
  enter(sessionStorage.getItem("name"));
});

byId("leave").addEventListener("click", () => {
  connection?.close();
  byId("messages").replaceChildren();
  showMembers([]);
  ask();
});

addEventListener("hashchange", () => {
  const known = sessionStorage.getItem("name");
  byId("messages").replaceChildren();
  byId("room-name").value = roomName();
  if (known) enter(known);
});

const known = sessionStorage.getItem("name");
if (known) enter(known);
else ask();
