"use strict";
// Light, dark or the system's: chosen by a button that also works where a browser keeps nothing for files.
(() => {
  const root = document.documentElement, button = document.getElementById("theme");
  const name = document.getElementById("theme-name"), order = ["", "light", "dark"];
  const show = () => { name.textContent = root.dataset.theme || "system" };
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(root.dataset.theme || "") + 1) % order.length];
    if (next) root.dataset.theme = next; else delete root.dataset.theme;
    try { localStorage.setItem("earthsignals-theme", next) } catch { /* it lasts as long as the page */ }
    show();
  });
  show();
})();

// Views: packed until they come near, then the library once and each view's own data.
(() => {
  const views = [...document.querySelectorAll("[data-view]")];
  if (!views.length) return;
  const unpack = id => {
    const packed = atob(document.getElementById(id).textContent.trim());
    const bytes = Uint8Array.from(packed, letter => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };
  const run = text => {
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
  };
  let library = null;
  const draw = async place => {
    if (place.dataset.drawn) return;
    place.dataset.drawn = "soon";
    try {
      library ??= unpack("packed-library").then(run);
      await library;
      const [markup, script] = JSON.parse(await unpack(place.dataset.view));
      place.innerHTML = markup;
      run(script);
      place.dataset.drawn = "yes";
    } catch (error) {
      place.textContent = `This browser cannot draw the view (${error.message}); the figures below show the same data.`;
    }
  };
  for (const place of views) place.querySelector("button").addEventListener("click", () => draw(place));
  if (!("IntersectionObserver" in window)) return;
  const watch = new IntersectionObserver(seen => {
    for (const entry of seen) if (entry.isIntersecting) { watch.unobserve(entry.target); draw(entry.target) }
  }, { rootMargin: "300px" });
  for (const place of views) watch.observe(place);
})();
