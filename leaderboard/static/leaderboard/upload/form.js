// The form and the words of its upload.

export const form = document.querySelector("form[data-upload]");
export const MEGABYTE = 1048576;

export function size(bytes) {
  return bytes < MEGABYTE ? `${(bytes / 1024).toFixed(0)} kB` : `${(bytes / MEGABYTE).toFixed(1)} MB`;
}

export function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Bytes per second over the last ten seconds. */
export class Rate {
  constructor() {
    this.samples = [];
  }

  add(bytes) {
    const now = performance.now();
    this.samples.push([now, bytes]);
    while (this.samples.length > 2 && now - this.samples[0][0] > 10000) this.samples.shift();
  }

  get value() {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    return first && last[0] - first[0] > 500 ? (1000 * (last[1] - first[1])) / (last[0] - first[0]) : null;
  }
}

/** The CSRF token as it is now: signing in or out in another tab changes it. */
export function token() {
  const cookie = document.cookie.match(/(?:^|; )(?:__Host-)?csrftoken=([^;]+)/);
  return cookie ? cookie[1] : form.elements.csrfmiddlewaretoken.value;
}

export function parsed(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}

/** Put sentences beside a field; false where the form has no place for them. */
export function showErrors(name, ...sentences) {
  const place = form.querySelector(`[data-errors="${name}"]`);
  if (!place) return false;
  const list = document.createElement("ul");
  list.className = "errorlist";
  list.append(...sentences.filter(Boolean).map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  place.setAttribute("role", "alert");
  place.replaceChildren(...(list.childElementCount ? [list] : []));
  place.closest(".field")?.classList.toggle("has-errors", Boolean(list.childElementCount));
  return true;
}

/** The problem with the chosen file, found before anything is sent, or "". */
export function fileProblem(chosen) {
  if (chosen.size === 0) return `${chosen.name} is empty. Choose the ZIP archive of your masks.`;
  const most = Number(form.dataset.mostBytes);
  if (chosen.size > most) {
    return `${chosen.name} is ${size(chosen.size)}, but the limit is ${size(most)}. `
      + "Write the masks as uint8 and compress the ZIP.";
  }
  return "";
}
