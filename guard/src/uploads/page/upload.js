// Uploads files in parts by tus 1.0, one after another, as the person who is signed in to Immich in this browser.
"use strict";

const main = document.querySelector("main");
const MAX_FILE = Number(main.dataset.max);
const MAX_PART = Number(main.dataset.part);
const MIN_PART = Math.min(1024 * 1024, MAX_PART);
const MIB = 1024 * 1024;
// A small file is hashed, to ask Immich whether it has it. `crypto.subtle` needs all of it in memory.
const MAX_HASHED = 128 * MIB;
// Without a byte for so long, a request is given up and the offset is asked for.
const STALLED_MS = 60000;

const byId = (id) => document.getElementById(id);
const files = [];
let paused = false;
let signedIn = false;
let running = false;
let part = Math.min(8 * MIB, MAX_PART);
let wakeLock = null;

const size = (bytes) => {
  for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= factor) return (bytes / factor).toFixed(bytes >= 10 * factor ? 0 : 1) + " " + unit;
  }
  return bytes + " bytes";
};
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// What stops a file, and whether trying again can help.
class Trouble extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind; // "retry": the network or the server; "signin"; "gone": begin again; "final"
  }
}

// One request. XMLHttpRequest, because fetch does not tell how much of a body was sent.
function request(method, url, headers, body, onProgress) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let watchdog;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => xhr.abort(), STALLED_MS + (body ? 0 : STALLED_MS));
    };
    const lost = () => {
      clearTimeout(watchdog);
      reject(new Trouble("no connection", "retry"));
    };
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => { alive(); if (onProgress) onProgress(event.loaded); };
    xhr.upload.onload = alive;
    xhr.onload = () => { clearTimeout(watchdog); resolve(xhr); };
    xhr.onerror = xhr.onabort = xhr.ontimeout = lost;
    current = xhr;
    alive();
    xhr.send(body || null);
  });
}
let current = null;

function tus(method, url, headers, body, onProgress) {
  const all = { "Tus-Resumable": "1.0.0", "X-Requested-With": "XMLHttpRequest", ...headers };
  return request(method, url, all, body, onProgress).then((xhr) => {
    const ours = xhr.getResponseHeader("Tus-Resumable") === "1.0.0";
    const refusal = xhr.getResponseHeader("Guard-Refusal");
    const said = (() => {
      try {
        const message = JSON.parse(xhr.responseText).message;
        return Array.isArray(message) ? message.join(", ") : message;
      } catch { return ""; }
    })();
    if (xhr.status === 401) throw new Trouble("Your sign-in has ended.", "signin");
    if (xhr.status === 403 && refusal) throw new Trouble(said || "This account may not upload here.", "final");
    if (xhr.status === 423 || xhr.status >= 500 || xhr.status === 429 || xhr.status === 408) throw new Trouble(said || "the server is busy", "retry");
    if (xhr.status === 404 || xhr.status === 410) throw new Trouble(said, "gone");
    if (xhr.status === 409) throw new Trouble(said, "retry");
    if (!ours) throw new Trouble("An answer that is not from this server (status " + xhr.status + "). Sign in again, or try another network.", "signin");
    if (xhr.status >= 400) throw new Trouble(said || "refused with status " + xhr.status, "final");
    return xhr;
  });
}

async function account() {
  try {
    const xhr = await request("GET", "/api/users/me", { Accept: "application/json", "X-Requested-With": "XMLHttpRequest" });
    if (xhr.status === 200) {
      const me = JSON.parse(xhr.responseText);
      byId("account").textContent = "Uploading as " + (me.name || me.email) + ".";
      signedIn = true;
    } else {
      signedIn = false;
      byId("account").replaceChildren("First ", link("/", "sign in to Immich"), " in this browser. Then come back to this page.");
    }
  } catch {
    byId("account").textContent = "No connection.";
    signedIn = false;
  }
  byId("drop").classList.toggle("off", !signedIn);
  return signedIn;
}

function link(href, text) {
  const a = document.createElement("a");
  a.href = href;
  a.textContent = text;
  a.target = "_blank";
  a.rel = "noopener";
  return a;
}

function add(chosen) {
  for (const file of chosen) {
    const item = document.createElement("li");
    const top = document.createElement("div");
    const name = document.createElement("span");
    const much = document.createElement("span");
    const bar = document.createElement("progress");
    const say = document.createElement("span");
    name.className = "name";
    name.textContent = file.name;
    much.textContent = size(file.size);
    bar.max = file.size || 1;
    bar.value = 0;
    bar.setAttribute("aria-label", file.name);
    say.className = "say";
    top.append(name, much);
    item.append(top, bar, say);
    byId("list").append(item);
    const entry = { file, item, bar, say, url: null, sent: 0, state: "waiting" };
    tell(entry, "waits");
    if (file.size === 0) finish(entry, "failed", "This file is empty.");
    if (file.size > MAX_FILE) finish(entry, "failed", "Larger than " + size(MAX_FILE) + ", which is the limit here.");
    files.push(entry);
  }
  show();
  run();
}

function tell(entry, text) { entry.say.replaceChildren(text); }

function finish(entry, state, text, extra) {
  entry.state = state;
  entry.item.className = state;
  entry.say.replaceChildren(text, ...(extra ? [" ", extra] : []));
  if (state === "done") entry.bar.value = entry.bar.max;
  if (state === "failed") {
    const retry = document.createElement("button");
    retry.type = "button";
    retry.textContent = "Try again";
    retry.onclick = () => { retry.remove(); entry.item.className = ""; entry.state = "waiting"; entry.url = null; entry.sent = 0; tell(entry, "waits"); run(); };
    if (entry.file.size > 0 && entry.file.size <= MAX_FILE) entry.item.append(retry);
  }
  show();
}

function show() {
  const all = files.filter((entry) => entry.state !== "failed");
  const total = all.reduce((sum, entry) => sum + entry.file.size, 0);
  const sent = all.reduce((sum, entry) => sum + (entry.state === "done" ? entry.file.size : entry.sent), 0);
  byId("all").hidden = files.length === 0;
  byId("pause").hidden = files.every((entry) => entry.state === "done" || entry.state === "failed");
  byId("total").max = total || 1;
  byId("total").value = sent;
  const done = files.filter((entry) => entry.state === "done").length;
  const failed = files.filter((entry) => entry.state === "failed").length;
  byId("summary").textContent = done + " of " + files.length + " done" + (failed ? ", " + failed + " failed" : "") + ", " + size(sent) + " of " + size(total);
}

// Whether Immich has the file already; null where that is not known.
async function duplicate(entry) {
  if (entry.file.size > MAX_HASHED || !crypto.subtle) return null;
  tell(entry, "looks whether Immich has it");
  try {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", await entry.file.arrayBuffer()));
    entry.checksum = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const body = JSON.stringify({ assets: [{ id: "0", checksum: entry.checksum }] });
    const xhr = await request("POST", "/api/assets/bulk-upload-check", { "Content-Type": "application/json", "X-Requested-With": "XMLHttpRequest" }, body);
    if (xhr.status >= 300) return null;
    const result = JSON.parse(xhr.responseText).results[0];
    return result.action === "reject" && result.reason === "duplicate" ? result.assetId : null;
  } catch { return null; }
}

function metadata(file) {
  const modified = new Date(file.lastModified || Date.now()).toISOString();
  const pairs = { filename: file.name, filetype: file.type, fileCreatedAt: modified, fileModifiedAt: modified, isFavorite: "false" };
  return Object.entries(pairs).filter(([, value]) => value).map(([key, value]) => key + " " + base64(value)).join(",");
}

async function begin(entry) {
  const xhr = await tus("POST", "/.guard/uploads", { "Upload-Length": String(entry.file.size), "Upload-Metadata": metadata(entry.file) });
  entry.url = xhr.getResponseHeader("Location");
  entry.sent = 0;
}

// Where the server is; the whole length once Immich has the file.
async function look(entry) {
  const xhr = await tus("HEAD", entry.url, {});
  return took(entry, xhr);
}

function took(entry, xhr) {
  const offset = Number(xhr.getResponseHeader("Upload-Offset"));
  if (!xhr.getResponseHeader("Upload-Offset") || !Number.isSafeInteger(offset)) throw new Trouble("an answer without an offset", "retry");
  entry.sent = offset;
  entry.bar.value = offset;
  show();
  if (offset < entry.file.size) return false;
  const asset = xhr.getResponseHeader("Guard-Asset-Id");
  const was = xhr.getResponseHeader("Guard-Asset-Status") === "duplicate";
  finish(entry, "done", was ? "Immich had it already." : "Done.", asset ? link("/photos/" + asset, "Show") : null);
  return true;
}

async function send(entry) {
  const from = entry.sent;
  const blob = entry.file.slice(from, Math.min(from + part, entry.file.size));
  const began = performance.now();
  const headers = { "Upload-Offset": String(from), "Content-Type": "application/offset+octet-stream" };
  try {
    const xhr = await tus("PATCH", entry.url, headers, blob, (loaded) => {
      entry.bar.value = from + loaded;
      tell(entry, size(from + loaded) + " of " + size(entry.file.size));
    });
    const seconds = (performance.now() - began) / 1000;
    if (seconds < 10 && blob.size === part) part = Math.min(part * 2, MAX_PART);
    if (seconds > 40) part = Math.max(part / 2, MIN_PART);
    return took(entry, xhr);
  } catch (error) {
    if (error instanceof Trouble && error.kind === "retry") part = Math.max(Math.floor(part / 2), MIN_PART);
    throw error;
  }
}

async function upload(entry) {
  entry.state = "running";
  let pause = 1000;
  let begunAgain = 0;
  let isNew = !entry.url;
  if (isNew) {
    const asset = await duplicate(entry);
    if (asset) return finish(entry, "done", "Immich had it already.", link("/photos/" + asset, "Show"));
  }
  for (;;) {
    while (paused) { tell(entry, "paused"); await sleep(200); }
    try {
      if (!entry.url) await begin(entry);
      else if (!isNew && await look(entry)) return;
      isNew = true;
      while (!paused) {
        if (await send(entry)) return;
        pause = 1000;
      }
    } catch (error) {
      isNew = false;
      if (!(error instanceof Trouble)) return finish(entry, "failed", "The file cannot be read. It was moved or changed: choose it again.");
      if (error.kind === "final") return finish(entry, "failed", error.message);
      if (error.kind === "gone") {
        if (++begunAgain > 5) return finish(entry, "failed", "It broke off again and again. Try later, or at home.");
        entry.url = null;
        continue;
      }
      if (error.kind === "signin") {
        tell(entry, "");
        entry.say.replaceChildren(error.message, " ", link("/", "Sign in"), ", then this goes on by itself.");
        await sleep(5000);
        continue;
      }
      if (paused) continue;
      tell(entry, navigator.onLine === false ? "waits for the network" : "waits: " + (error.message || "the server is busy"));
      await Promise.race([sleep(pause), new Promise((resolve) => addEventListener("online", resolve, { once: true }))]);
      pause = Math.min(pause * 2, 30000);
    }
  }
}

async function run() {
  if (running || !(await account())) return;
  running = true;
  try { wakeLock = await navigator.wakeLock?.request("screen"); } catch { wakeLock = null; }
  for (let entry; (entry = files.find((entry) => entry.state === "waiting"));) await upload(entry);
  try { await wakeLock?.release(); } catch { /* it was lost already */ }
  running = false;
}

byId("files").onchange = (event) => { add([...event.target.files]); event.target.value = ""; };
byId("pause").onclick = () => {
  paused = !paused;
  byId("pause").textContent = paused ? "Go on" : "Pause";
  if (paused && current) current.abort();
};
for (const kind of ["dragover", "dragleave", "drop"]) {
  byId("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") add([...event.dataTransfer.files]);
  });
}
addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && !running) account(); });
account();
