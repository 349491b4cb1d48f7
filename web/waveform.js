import { el } from "./dom.js";

/** A sound drawn from its peaks, a byte each. The place that was found stands out; a click goes anywhere else. */
export function waveform(url, player, { start = 0, end = Infinity }) {
  const canvas = el("canvas", { ariaHidden: "true" }); // the player's own controls do the same for the keyboard
  let peaks = [];

  function draw() {
    const [scale, width, height] = [devicePixelRatio, canvas.clientWidth, canvas.clientHeight];
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const { color, accentColor, outlineColor } = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const bar = (left, wide, tall, fill) => {
      context.fillStyle = fill;
      context.fillRect(left, (height - tall) / 2, wide, tall);
    };
    const second = width / player.duration; // no number before that is known: nothing stands out then
    const step = Math.max(3, width / peaks.length);
    for (let left = 0; left < width; left += step) {
      const loudest = Math.max(...peaks.slice((left / width) * peaks.length, ((left + step) / width) * peaks.length));
      const isFound = left + step / 2 >= start * second && left + step / 2 < end * second;
      bar(left, step - 1, Math.max(1, (loudest / 255) * height), isFound ? accentColor : color);
    }
    bar(player.currentTime * second, 1.5, height, outlineColor);
  }

  canvas.onclick = (event) => (player.currentTime = (event.offsetX / canvas.clientWidth) * (player.duration || 0));
  for (const name of ["loadedmetadata", "timeupdate", "seeked"]) player.addEventListener(name, draw);
  fetch(url)
    .then(async (response) => {
      peaks = response.ok ? new Uint8Array(await response.arrayBuffer()) : [];
      new ResizeObserver(draw).observe(canvas);
    })
    .catch(() => canvas.remove());
  return canvas;
}
