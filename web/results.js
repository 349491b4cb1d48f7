import { clock, el, folderOf, nameOf } from "./dom.js";
import { waveform } from "./waveform.js";

const OTHERS = 6; // further places of one file that are shown
const LONG = 420; // characters of a passage that are shown at first

/** One item per hit. */
export function item(hit) {
  const [best, ...others] = hit.segments;
  const shown = { audio, video, image, document: pages }[hit.modality]?.(hit, best, others.slice(0, OTHERS)) ?? [];
  const facts = [folderOf(hit.key), hit.modality, place(best)].filter(Boolean).join(" · ");
  const head = el("div", {}, el("h3", {}, link(hit.url, nameOf(hit.key))), " ", el("small", {}, facts));
  const score = el("small", { title: "How near it is: 1 is the same" }, hit.scores.similarity.toFixed(3));
  return el(
    "li",
    { className: hit.modality },
    el("div", { className: "head" }, head, score),
    ...shown,
    best.text ? passage(best.text) : "",
  );
}

function place({ page, start, end }) {
  if (page) return `page ${page}`;
  return start === undefined ? "" : `${clock(start)}–${clock(end)}`;
}

const link = (href, ...children) => el("a", { href, target: "_blank", rel: "noopener" }, ...children);

function audio(hit, best, others) {
  const player = media(hit, best);
  return [hit.peaks ? waveform(hit.peaks, player, best) : "", player, moments(player, others)];
}

function video(hit, best, others) {
  const player = media(hit, best);
  player.poster = hit.thumbnail ?? "";
  return [player, moments(player, others)];
}

/** It starts at the place, and goes on after it: the end in the link would stop it, wherever it has been moved to. */
function media({ modality, url, key }, { start = 0 }) {
  const src = `${url.split("#")[0]}#t=${start}`;
  const player = el(modality, { controls: true, preload: "metadata", src, ariaLabel: nameOf(key), playsInline: true });
  player.onerror = () => {
    const why = "It cannot be played here: the browser does not know the format, or the link is over an hour old.";
    player.replaceWith(el("p", { className: "trouble" }, why));
  };
  return player;
}

function moments(player, segments) {
  const buttons = segments.map(({ start = 0 }) => {
    const onclick = () => {
      player.currentTime = start;
      player.play();
    };
    return el("button", { type: "button", onclick }, clock(start));
  });
  return buttons.length ? el("p", { className: "row" }, "Also at ", ...buttons) : "";
}

function image({ url, thumbnail, key }) {
  return [link(url, el("img", { src: thumbnail ?? url, alt: nameOf(key) }))];
}

function pages(hit, ...segments) {
  const picture = ({ page, url, thumbnail }) => {
    const shown = thumbnail ? el("img", { src: thumbnail, alt: "" }) : "";
    return link(url, shown, el("small", {}, `page ${page}`));
  };
  const found = segments.flat().filter((segment) => segment.page);
  return [el("p", { className: "row" }, ...found.map(picture))];
}

function passage(text) {
  if (text.length <= LONG) return el("blockquote", {}, text);
  const quote = el("blockquote", {}, `${text.slice(0, LONG).replace(/\s+\S*$/, "")} … `);
  quote.append(el("button", { type: "button", onclick: () => (quote.textContent = text) }, "Show all"));
  return quote;
}
