// Masks over images without reloading: the masks come once, bit by bit, and are drawn on a canvas. Without this script
// the page shows the same as pictures and links.
"use strict";

(() => {
  const stage = document.getElementById("stage");
  if (!stage) return;
  const tools = document.querySelector(".viewer-tools");
  const { height, width } = stage.dataset;
  const pixels = height * width;
  const order = stage.dataset.order.split(",").map(Number);
  const scores = stage.dataset.scores?.split(",");
  const colours = stage.dataset.overlay.split(";").map((colour) => colour.split(",").map(Number));
  const ground = stage.querySelector(".ground");
  const picture = stage.querySelector(".overlay");
  const canvas = Object.assign(document.createElement("canvas"), { className: "overlay", width, height });
  let at = order.indexOf(Number(stage.querySelector(".stage-number").textContent));
  let masks, other;

  const field = (name) => tools.elements.namedItem(name);
  const show = field("show")?.value ?? "mask";

  async function bits(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address} answered ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  }

  function bit(packed, patch, pixel) {
    return (packed[((patch - 1) * pixels + pixel) >> 3] >> (7 - (pixel & 7))) & 1;
  }

  function count(packed, patch, against) {
    const bytes = pixels >> 3;
    let sum = 0;
    for (let k = (patch - 1) * bytes; k < patch * bytes; k += 1) {
      for (let byte = against ? packed[k] ^ against[k] : packed[k]; byte; byte &= byte - 1) sum += 1;
    }
    return sum;
  }

  function draw(patch) {
    const context = canvas.getContext("2d");
    const drawn = context.createImageData(Number(width), Number(height));
    const pair = show === "mask" ? null : other;
    for (let pixel = 0; pixel < pixels; pixel += 1) {
      const value = bit(masks, patch, pixel) + (pair ? 2 * bit(pair, patch, pixel) : 0);
      if (!value) continue;
      drawn.data.set([...colours[[1, 2, 0][value - 1]], 255], 4 * pixel);
    }
    context.putImageData(drawn, 0, 0);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Mask of patch ${patch}`);
  }

  function facts(patch) {
    const marked = count(masks, patch);
    const parts = [`${(100 * marked / pixels).toFixed(1)} % marked`];
    const changed = other && stage.dataset.against && show !== "errors" ? count(masks, patch, other) : 0;
    if (changed) parts.push(`${changed.toLocaleString("en")} changed`);
    if (scores?.[at]) parts.push(`F1 ${scores[at]}`);
    if (show === "errors" && other) {
      const wrong = count(masks, patch, other);
      if (wrong) parts.push(`${wrong.toLocaleString("en")} wrong`);
    }
    const spans = parts.map((text) => Object.assign(document.createElement("span"), { textContent: text }));
    stage.querySelector(".stage-facts").replaceChildren(...spans.flatMap((span) => [span, " "]));
    const oddity = stage.querySelector(".stage-oddity");
    oddity.textContent = marked === 0 ? "empty" : "full";
    oddity.hidden = marked !== 0 && marked !== pixels;
  }

  function go(to) {
    at = (to + order.length) % order.length;
    const patch = order[at];
    stage.querySelector(".stage-number").textContent = patch;
    if (ground) ground.src = imageOf(patch);
    draw(patch);
    facts(patch);
    stage.querySelector(".stage-counts")?.remove();
    for (const link of document.querySelectorAll(".thumbs a")) {
      if (Number(link.dataset.patch) === patch) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const address = new URL(location.href);
    address.searchParams.set("patch", patch);
    history.replaceState(null, "", address);
  }

  function imageOf(patch) {
    return stage.dataset.image.replace("/0/kind.png", `/${patch}/${field("ground").value}.png`);
  }

  function listen() {
    canvas.style.opacity = picture.style.opacity;
    picture.replaceWith(canvas);
    stage.querySelector(".keys").hidden = false;
    stage.querySelector("[rel=prev]").addEventListener("click", (event) => { event.preventDefault(); go(at - 1); });
    stage.querySelector("[rel=next]").addEventListener("click", (event) => { event.preventDefault(); go(at + 1); });
    document.querySelector(".thumbs").addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go(order.indexOf(Number(link.dataset.patch)));
      stage.scrollIntoView({ block: "nearest" });
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea, button")) return;
      if (event.key === "ArrowLeft") go(at - 1);
      else if (event.key === "ArrowRight") go(at + 1);
      else if (event.key === " " && !event.target.matches("a, summary")) canvas.classList.toggle("hidden-overlay");
      else return;
      event.preventDefault();
    });
    field("ground")?.addEventListener("change", () => {
      const kind = field("ground").value;
      for (const image of document.querySelectorAll(".ground")) image.src = image.src.replace(/[^/]+\.png$/, `${kind}.png`);
      const address = new URL(location.href);
      address.searchParams.set("ground", kind);
      history.replaceState(null, "", address);
    });
    go(at);
  }

  const opacity = tools.querySelector(".opacity");
  opacity.hidden = false;
  opacity.querySelector("input").addEventListener("input", (event) => {
    for (const overlay of document.querySelectorAll(".overlay")) overlay.style.opacity = event.target.value / 100;
  });

  const second = show === "errors" ? stage.dataset.labels : stage.dataset.against;
  Promise.all([bits(stage.dataset.bits), second ? bits(second).catch(() => null) : null])
    .then(([first, pair]) => { masks = first; other = pair; listen(); })
    .catch(() => {});  // the pictures stay
})();
