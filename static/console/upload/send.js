// Sends an adapter's files and reports progress. `tus` is the global of tus-js-client, which the page loads first.

const WINDOW_MS = 4000;
const PIECE_BYTES = 16 << 20;
// Some minutes without a network are bridged; after that, the person decides.
const RETRY_AFTER_MS = [0, 1000, 3000, 5000, 10000, 20000, 30000, 60000, 60000];

export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// Speed over the last seconds, not since the start: a network that slows down shows.
function speedometer() {
  const marks = [];
  return (loaded) => {
    const now = performance.now();
    marks.push([now, loaded]);
    while (marks.length > 2 && now - marks[0][0] > WINDOW_MS) marks.shift();
    const [then, before] = marks[0];
    return now > then ? (1000 * (loaded - before)) / (now - then) : 0;
  };
}

// Sends files in pieces by tus: a lost connection is tried again, and the same files go on after a reload.
// `done` resolves to {ids}, or to {status, answer} of what went wrong; `cancel` deletes what has arrived.
// `selection` is {send: [{path, file}], ids: those of files that have arrived already}.
export function send(url, token, { send: items, ids: arrived }, onProgress) {
  const speedOf = speedometer();
  const total = items.reduce((sum, item) => sum + item.file.size, 0);
  const sent = new Map();
  let current = null;
  let cancelled = false;

  function tell(waiting) {
    const loaded = [...sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    const speed = speedOf(loaded);
    onProgress({ share: loaded / total, speed, left: speed ? (total - loaded) / speed : Infinity, waiting });
  }

  function sendOne(item) {
    return new Promise((resolve, reject) => {
      current = new tus.Upload(item.file, {
        endpoint: url,
        chunkSize: PIECE_BYTES,
        retryDelays: RETRY_AFTER_MS,
        removeFingerprintOnSuccess: true,
        metadata: { filename: item.path.split("/").pop() },
        // The session's cookie goes along by itself; the token shows that the page is ours.
        headers: { "X-CSRFToken": token },
        onProgress: (bytes) => {
          sent.set(item, bytes);
          tell(false);
        },
        onShouldRetry: (error) => {
          const status = error.originalResponse?.getStatus() ?? 0;
          const again = status === 0 || status === 409 || status === 423 || status >= 500;
          if (again) tell(true);
          return again;
        },
        onError: reject,
        onSuccess: () => resolve(current.url.split("/").pop()),
      });
      current.findPreviousUploads().then((previous) => {
        if (cancelled) return reject(new Error("cancelled"));
        if (previous.length) current.resumeFromPreviousUpload(previous[0]);
        current.start();
      }, reject);
    });
  }

  async function all() {
    if (arrived) return { ids: arrived };
    const ids = [];
    try {
      for (const item of items) ids.push(await sendOne(item));
      return { ids };
    } catch (error) {
      if (cancelled) return { status: "cancelled" };
      return { status: error.originalResponse?.getStatus() ?? 0, answer: parsed(error.originalResponse?.getBody()) };
    }
  }

  let stop;
  const stopped = new Promise((resolve) => (stop = () => resolve({ status: "cancelled" })));
  return {
    done: Promise.race([all(), stopped]),
    cancel: () => {
      cancelled = true;
      current?.abort(true);
      stop();
    },
  };
}

// Makes a version of files that have arrived; resolves to {status, answer}.
export async function finish(url, token, wish) {
  try {
    const headers = { "Content-Type": "application/json", "X-CSRFToken": token };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(wish) });
    return { status: answer.status, answer: parsed(await answer.text()) };
  } catch {
    return { status: 0, answer: null };
  }
}

// An error page of a proxy is no JSON: its status says enough.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
