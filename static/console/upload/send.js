// Sends a form with its files and reports progress; XMLHttpRequest, since fetch tells nothing of an upload's progress.

const WINDOW_MS = 4000;

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

// Resolves to {status, answer}; `request` can be aborted.
export function send(url, form, onProgress) {
  const request = new XMLHttpRequest();
  const speedOf = speedometer();
  const done = new Promise((resolve) => {
    request.upload.addEventListener("progress", (event) => {
      const speed = speedOf(event.loaded);
      onProgress({ share: event.loaded / event.total, speed, left: speed ? (event.total - event.loaded) / speed : Infinity });
    });
    for (const end of ["error", "abort", "timeout"]) request.addEventListener(end, () => resolve({ status: 0, answer: null }));
    request.addEventListener("load", () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // An error page of a proxy: its status says enough.
      }
      resolve({ status: request.status, answer });
    });
  });
  request.open("POST", url);
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("X-CSRFToken", form.get("csrfmiddlewaretoken"));
  request.send(form);
  return { request, done };
}
