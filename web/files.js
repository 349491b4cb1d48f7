import { call } from "./api.js";
import { bytes, el, folderOf, nameOf, plural } from "./dom.js";

const SETTLED = ["indexed", "partial", "failed", "unsupported"];
const BUSY_MS = 2_000; // between two looks while something is on its way
const IDLE_MS = 20_000; // and while nothing is, or the server is in trouble
const LOOKS = 5; // at single files, each time

/** One line: an upload (`isMine`) at first, then the asset that became of it. */
class Row {
  element = el("li");
  seen = 0;

  constructor(facts) {
    Object.assign(this, facts);
    this.bar = el("progress", { max: 1, value: 0, ariaLabel: `Upload of ${this.name}` });
    this.draw();
  }

  get status() {
    return this.error ? "not uploaded" : (this.asset?.status ?? (this.isSent ? "uploaded" : "uploading"));
  }

  get isOpen() {
    return Boolean(this.asset ?? this.isSent) && !SETTLED.includes(this.status);
  }

  draw(facts) {
    const { asset, status, error } = Object.assign(this, facts);
    const parts = asset?.segment_count && plural(asset.segment_count, "part");
    const small = [folderOf(this.key ?? ""), asset?.modality, parts, bytes(this.size)].filter(Boolean).join(" · ");
    this.element.dataset.status = status;
    this.element.replaceChildren(
      el("span", { className: "name", title: this.key ?? this.name }, this.name),
      el("span", { className: "status" }, status),
      el("small", {}, small),
      el("p", {}, error ?? asset?.reason ?? ""),
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
      const others = this.rows.filter((row) => row.isOpen && !row.isFresh).sort((one, other) => one.seen - other.seen);
      for (const row of others.slice(0, LOOKS)) await this.single(row);
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
    const { assets, next } = await call("GET", token ? `assets?next=${encodeURIComponent(token)}` : "assets");
    if (isMore || !this.isLong) this.next = next;
    this.isLong ||= isMore;
    const keys = new Set(assets.map((asset) => asset.key));
    const isOver = (row) => !isMore && row.asset && !keys.has(row.key) && !(next && row.key > assets.at(-1).key);
    this.rows = this.rows.filter((row) => !isOver(row));
    for (const row of this.rows) row.isFresh = keys.has(row.key);
    assets.forEach((asset) => this.note(asset));
    this.show();
  }

  async single(row) {
    const { assets } = await call("GET", `assets?prefix=${encodeURIComponent(row.key)}`);
    const asset = assets.find(({ key }) => key === row.key);
    row.seen = performance.now(); // the next time it is another's turn
    if (asset) this.note(asset);
    else if (row.asset) this.rows = this.rows.filter((other) => other !== row);
    this.show();
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
