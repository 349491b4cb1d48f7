import { call } from "./api.js";
import { bytes, el, folderOf, nameOf, plural } from "./dom.js";

const SETTLED = ["indexed", "partial", "failed", "unsupported"];
const BUSY_MS = 2_000; // between two looks while something is on its way
const IDLE_MS = 20_000; // and while nothing is, or the server is in trouble
const APART_MS = 100; // between two requests

let free = 0; // when the next request may go out

async function page(query) {
  const wait = Math.max(0, free - performance.now());
  free = performance.now() + wait + APART_MS;
  await new Promise((resolve) => setTimeout(resolve, wait));
  return call("GET", `assets${query}`);
}

/** What all of them begin with; no letter is cut in half. */
function shared(texts) {
  let [start] = texts;
  while (!texts.every((text) => text.startsWith(start))) start = [...start].slice(0, -1).join("");
  return start;
}

/** One line: an upload (`isMine`) at first, then the asset that became of it. */
class Row {
  element = el("li");

  constructor(facts) {
    Object.assign(this, facts);
    this.bar = el("progress", { max: 1, value: 0, ariaLabel: `Upload of ${this.name}` });
    this.draw();
  }

  get status() {
    return this.error ? "not uploaded" : (this.asset?.status ?? (this.isSent ? "uploaded, not seen yet" : "uploading"));
  }

  get isOpen() {
    return Boolean(this.asset ?? this.isSent) && !SETTLED.includes(this.status);
  }

  draw(facts) {
    const { asset, status, error } = Object.assign(this, facts);
    const parts = asset?.segment_count && plural(asset.segment_count, "part");
    const small = [folderOf(this.key ?? ""), asset?.modality, parts, bytes(this.size)].filter(Boolean).join(" · ");
    const dropped = asset?.attributes_dropped?.join(", ");
    const problems = [
      error ?? asset?.reason,
      asset?.attributes_problem,
      dropped && `Attributes without room, or with a name or value that filters do not take: ${dropped}`,
    ];
    this.element.dataset.status = status;
    this.element.replaceChildren(
      el("span", { className: "name", title: this.key ?? this.name }, this.name),
      el("span", { className: "status" }, status),
      el("small", {}, small),
      ...problems.filter(Boolean).map((problem) => el("p", {}, problem)),
      status === "uploading" ? this.bar : "",
    );
  }
}

/** The list of files: those uploaded here first, then what the bucket holds, in the order of keys. */
export class Files {
  rows = [];

  constructor(list, more, told) {
    Object.assign(this, { list, more, told });
    more.onclick = () => this.page(this.next, true).catch((error) => (told.textContent = error.message));
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  /** A line for a file that is being uploaded. */
  add({ name, size }) {
    const row = new Row({ name, size, isMine: true });
    this.rows.unshift(row);
    this.show();
    return row;
  }

  /** Ask for what is new, now and then again: soon while something is on its way, and seldom or never while not. */
  async look() {
    clearTimeout(this.timer);
    if (this.isLooking) return;
    this.isLooking = true;
    let pause = BUSY_MS;
    try {
      await this.page();
      await this.narrow(this.rows.filter((row) => row.isOpen && !row.isFresh));
    } catch (error) {
      pause = IDLE_MS;
      this.told.textContent = error.message;
    }
    this.isLooking = false;
    const isBusy = this.rows.some((row) => row.isOpen);
    if (isBusy || !document.hidden) this.timer = setTimeout(() => this.look(), isBusy ? pause : IDLE_MS);
  }

  /** Up to a hundred assets: the first, which tells what is gone too, or those behind `next`. */
  async page(token = "", isMore = false) {
    const { assets, next } = await page(token && `?next=${encodeURIComponent(token)}`);
    if (isMore || !this.isLong) this.next = next;
    this.isLong ||= isMore;
    const keys = new Set(assets.map((asset) => asset.key));
    const isOver = (row) => !isMore && row.asset && !keys.has(row.key) && !(next && row.key > assets.at(-1).key);
    this.rows = this.rows.filter((row) => !isOver(row));
    for (const row of this.rows) row.isFresh = keys.has(row.key);
    assets.forEach((asset) => this.note(asset));
    this.show();
  }

  /** Look at files by pages of what their keys begin with; what lies behind a page is asked for more narrowly. */
  async narrow(rows) {
    if (!rows.length) return;
    const prefix = shared(rows.map(({ key }) => key));
    const { assets, next } = await page(`?prefix=${encodeURIComponent(prefix)}`);
    const found = new Map(assets.map((asset) => [asset.key, asset]));
    const others = rows.filter(({ key }) => !found.has(key));
    const behind = others.filter(({ key }) => next && key !== prefix);
    rows.filter(({ key }) => found.has(key)).forEach(({ key }) => this.note(found.get(key)));
    const gone = new Set(others.filter((row) => row.asset && !behind.includes(row)));
    this.rows = this.rows.filter((row) => !gone.has(row));
    this.show();
    for (const group of Map.groupBy(behind, ({ key }) => [...key.slice(prefix.length)][0]).values()) {
      await this.narrow(group);
    }
  }

  note(asset) {
    const row = this.rows.find((each) => each.key === asset.key);
    if (!row) this.rows.push(new Row({ key: asset.key, name: nameOf(asset.key), size: asset.size, asset }));
    else if (JSON.stringify(row.asset) !== JSON.stringify(asset)) row.draw({ asset });
  }

  /** The lines, and in one that screen readers say what became of the uploads. */
  show() {
    const mine = this.rows.filter((row) => row.isMine);
    const others = this.rows.filter((row) => !row.isMine).sort((one, other) => (one.key < other.key ? -1 : 1));
    const lines = [...mine, ...others].map((row) => row.element);
    if (lines.some((line, number) => line !== this.list.children[number]) || lines.length < this.list.children.length) {
      this.list.replaceChildren(...lines);
    }
    const counts = new Map();
    for (const { status } of mine) counts.set(status, (counts.get(status) ?? 0) + 1);
    const text = [...counts].map(([status, count]) => `${count} ${status}`).join(" · ");
    const said = text || (this.rows.length ? "" : "Nothing is in the bucket yet.");
    if (this.told.textContent !== said) this.told.textContent = said; // it would be said again
    this.more.hidden = !this.next;
  }
}
