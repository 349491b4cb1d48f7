import { call } from "./api.js";
import { bytes } from "./dom.js";

const AT_ONCE = 3;
const LITTER = /^(\._.*|\.DS_Store|\.localized|Thumbs\.db|desktop\.ini)$/i; // what systems leave in folders
const waiting = [];
let running = 0;

/** Upload a file when there is room. Its line is told what becomes of it; `done` is called at the end. */
export async function upload(...one) {
  waiting.push(one);
  if (running === AT_ONCE) return;
  running += 1;
  while (waiting.length) {
    const [file, row, done] = waiting.shift();
    await put(file, row).catch((error) => row.draw({ error: error.message }));
    done();
  }
  running -= 1;
}

export const isUploading = () => running > 0;

async function put(file, row) {
  const form = await call("POST", "uploads", { name: file.name });
  if (file.size > form.max_bytes) {
    throw new Error(`The file has ${bytes(file.size)}; ${bytes(form.max_bytes)} is the most.`);
  }
  row.key = form.key;
  const data = new FormData();
  Object.entries(form.fields).forEach(([name, value]) => data.append(name, value));
  data.append("file", file);
  await send(form.url, data, (share) => (row.bar.value = share));
  row.draw({ isSent: true });
}

/** `fetch` does not tell how far an upload has come. */
function send(url, data, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () => (request.status < 300 ? resolve() : reject(new Error(said(request))));
    request.onerror = () => reject(new Error("The upload was cut off."));
    request.open("POST", url);
    request.send(data);
  });
}

/** S3 says in XML what is wrong. */
function said(request) {
  const answer = new DOMParser().parseFromString(request.responseText, "text/xml");
  return answer.querySelector("Message")?.textContent ?? `The upload was answered with ${request.status}.`;
}

/** The files of a drop, with those in its folders. What lies in it must be asked for before the event is over. */
export function filesOf(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  return Promise.all(items.map((item) => inside(item.webkitGetAsEntry(), item.getAsFile()))).then((all) => all.flat());
}

async function inside(entry, file) {
  if (!entry?.isDirectory) return [file ?? (await new Promise((found, lost) => entry.file(found, lost)))];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const some = await new Promise((found, lost) => reader.readEntries(found, lost)); // a hundred at a time
    if (!some.length) return files;
    const own = some.filter(({ name }) => !LITTER.test(name));
    files.push(...(await Promise.all(own.map((one) => inside(one)))).flat());
  }
}
