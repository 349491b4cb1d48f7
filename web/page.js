import { call } from "./api.js";
import { plural } from "./dom.js";
import { Files } from "./files.js";
import { item } from "./results.js";
import { filesOf, isUploading, upload } from "./uploads.js";

const at = (id) => document.getElementById(id);
const [query, said, results, rest, veil] = ["query", "said", "results", "rest", "veil"].map(at);
const files = new Files(at("files"), at("more"), at("told"));
let asked = new AbortController();

at("ask").onsubmit = (event) => {
  event.preventDefault();
  search(query.value.trim());
};

async function search(text) {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  results.replaceChildren();
  rest.textContent = "";
  said.textContent = text && "Searching …";
  if (!text) return;
  try {
    const { hits, complete } = await call("POST", "search", { query: { text } }, signal);
    said.textContent = hits.length ? plural(hits.length, "file") : "Nothing was found. Only files that are indexed can be.";
    results.replaceChildren(...hits.map((hit) => item(hit, text)));
    if (!complete) rest.textContent = "There may be more files, hidden by a long one: narrow the search, say more.";
  } catch (error) {
    if (!signal.aborted) said.textContent = error.message;
  }
}

function take(chosen) {
  for (const file of chosen) {
    upload(file, files.add(file), () => {
      files.show();
      files.look();
    });
  }
}

at("chosen").onchange = ({ target }) => {
  take(target.files);
  target.value = ""; // so that the same file can be chosen again
};

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

for (const name of ["dragenter", "dragover"]) {
  addEventListener(name, (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
}
addEventListener("dragleave", (event) => (veil.hidden = veil.hidden || !event.relatedTarget));
addEventListener("drop", async (event) => {
  veil.hidden = true;
  if (!holdsFiles(event)) return;
  event.preventDefault();
  take(await filesOf(event.dataTransfer));
});
addEventListener("beforeunload", (event) => isUploading() && event.preventDefault());

files.look();
