/** One request of the API. Where it refuses, an Error with its own words. */
export async function call(method, path, body, signal) {
  let response;
  try {
    const headers = body && { "Content-Type": "application/json" };
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("The server cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(answer.error?.message ?? answer.message ?? `The server answered ${response.status}.`);
  }
  return answer;
}
