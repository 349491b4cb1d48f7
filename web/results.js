import { clock, el, folderOf, nameOf } from "./dom.js";
import { waveform } from "./waveform.js";

const OTHERS = 6; // further places of one file that are shown
const LONG = 420; // characters of a passage that are shown at first
const LEAD = 80; // of them before the words that were asked for

/** One item per hit of what was asked for. */
export function item(hit, asked) {
  const [best, ...others] = hit.segments;
  const shown = { audio, video, image, document: pages }[hit.modality]?.(hit, best, others.slice(0, OTHERS)) ?? [];
  const facts = [folderOf(hit.key), hit.modality, place(best)].filter(Boolean).join(" · ");
  const head = el("div", {}, el("h3", { title: hit.key }, link(hit.url, nameOf(hit.key))), " ", el("small", {}, facts));
  const score = el("small", { title: "How near it is: 1 is the same" }, hit.scores.similarity.toFixed(3));
  return el(
    "li",
    { className: hit.modality },
    el("div", { className: "head" }, head, score),
    ...shown,
    best.text ? passage(best.text, asked) : "",
  );
}

function place({ page, start, end }) {
  if (page) return `page ${page}`;
  return start === undefined ? "" : `${clock(start)}–${clock(end)}`;
}

const link = (href, ...children) => el("a", { href, target: "_blank", rel: "noopener" }, ...children);

function audio(hit, best, others) {
  const player = media(hit, best);
  return [hit.peaks ? waveform(hit.peaks, player, best) : "", player, moments(player, others, hit)];
}

function video(hit, best, others) {
  const player = media(hit, best);
  player.poster = hit.thumbnail ?? "";
  return [player, moments(player, others, hit)];
}

/** It starts at the place, and goes on after it: the end in the link would stop it, wherever it has been moved to. */
function media({ modality, url, key, thumbnail }, { start = 0 }) {
  const src = `${url.split("#")[0]}#t=${start}`;
  const player = el(modality, { controls: true, preload: "metadata", src, ariaLabel: nameOf(key), playsInline: true });
  player.onerror = () => {
    const why = "It cannot be played here: the browser does not know the format, or the link is over an hour old.";
    const picture = thumbnail ? el("img", { src: thumbnail, alt: nameOf(key) }) : "";
    player.replaceWith(picture, el("p", { className: "trouble" }, why));
  };
  return player;
}

function moments(player, segments, { key }) {
  const buttons = segments.map(({ start = 0 }) => {
    const onclick = () => {
      player.currentTime = start;
      player.play();
    };
    const ariaLabel = `play ${nameOf(key)} at ${clock(start)}`;
    return el("button", { type: "button", onclick, ariaLabel }, clock(start));
  });
  return buttons.length ? el("p", { className: "row" }, "Also at ", ...buttons) : "";
}

function image({ url, thumbnail, key }) {
  return [link(url, el("img", { src: thumbnail ?? url, alt: nameOf(key) }))];
}

function pages(hit, ...segments) {
  const picture = ({ page, url, thumbnail }) => {
    const shown = thumbnail ? el("img", { src: thumbnail, alt: `${nameOf(hit.key)}, page ${page}` }) : "";
    return link(url, shown, el("small", {}, `page ${page}`));
  };
  const found = segments.flat().filter((segment) => segment.page);
  return [el("p", { className: "row" }, ...found.map(picture))];
}

function passage(text, asked) {
  if (text.length <= LONG) return el("blockquote", {}, text);
  const from = about(text, asked);
  const part = text.slice(from, from + LONG);
  const start = from ? `… ${part.replace(/^\S{0,30}\s+/, "")}` : part;
  const quote = el("blockquote", {}, from + LONG < text.length ? `${start.replace(/\s+\S*$/, "")} … ` : `${start} `);
  quote.append(el("button", { type: "button", onclick: () => (quote.textContent = text) }, "Show all"));
  return quote;
}

/** Where the part begins that holds the most letters of the words, close together; 0 where none is. */
function about(text, asked) {
  const words = new Set(asked.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu));
  if (!words.size) return 0;
  const places = [...text.matchAll(new RegExp(`(?<![\\p{L}\\p{N}])(${[...words].join("|")})`, "giu"))];
  let [best, from] = [0, 0];
  places.forEach(({ index }, first) => {
    const held = new Set();
    for (const place of places.slice(first)) {
      const apart = place.index - index;
      if (apart > LONG - 2 * LEAD) break;
      held.add(place[0].toLowerCase());
      const worth = [...held].join("").length - apart / LONG; // a letter more is worth any distance
      if (worth > best) [best, from] = [worth, index];
    }
  });
  return Math.max(0, Math.min(from - LEAD, text.length - LONG));
}
