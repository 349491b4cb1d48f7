/** An element with properties and children. Texts go in as texts: nothing is ever read as HTML. */
export function el(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const nameOf = (key) => key.slice(key.lastIndexOf("/") + 1);

/** The folder of a key; what only makes an upload's key unlike all others is none. */
export const folderOf = (key) => key.slice(0, key.lastIndexOf("/") + 1).replace(/^uploads\/[0-9a-f]{16}\//, "");

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

export function bytes(size) {
  const power = size < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(size) / 3));
  const value = size / 1000 ** power;
  return `${power && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** 75 as 1:15. */
export function clock(seconds) {
  const [whole, pad] = [Math.floor(seconds), (number) => String(number).padStart(2, "0")];
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}
