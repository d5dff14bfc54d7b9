/** What survives a reload: texts and the address of the upload in localStorage, the file itself in IndexedDB.
  * Without a name, nothing is kept. */
export class Kept {
  constructor(name) {
    this.name = name;
  }

  get record() {
    try {
      return (this.name && JSON.parse(localStorage.getItem(this.name))) || {};
    } catch {
      return {};
    }
  }

  update(changes) {
    if (!this.name) return;
    try {
      localStorage.setItem(this.name, JSON.stringify({ ...this.record, ...changes }));
    } catch { /* a browser that keeps nothing: the upload works, but does not survive a reload */ }
  }

  clear() {
    try {
      localStorage.removeItem(this.name);
    } catch { /* as above */ }
    this.files("readwrite", (store) => store.delete(this.name));
  }

  /** Do something with the store of files; null where the browser does not let us. */
  files(mode, act) {
    if (!this.name) return Promise.resolve(null);
    return new Promise((resolve) => {
      const nothing = () => resolve(null);
      try {
        const opening = indexedDB.open("uploads", 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore("files");
        opening.onerror = nothing;
        opening.onsuccess = () => {
          const request = act(opening.result.transaction("files", mode).objectStore("files"));
          request.onsuccess = () => resolve(request.result ?? null);
          request.onerror = nothing;
        };
      } catch {
        nothing();
      }
    });
  }

  /** Only one tab continues an upload: true if it is this one. */
  async own() {
    if (!navigator.locks) return true;
    return new Promise((resolve) => {
      const hold = () => new Promise(() => resolve(true));
      navigator.locks.request(this.name, { signal: AbortSignal.timeout(1500) }, hold).catch(() => resolve(false));
    });
  }
}
