// Clips play while they are in view, unless the reader asked for less motion; a click or a key stops one, the
// button all of them. Without this file they have the browser's own controls.
const videos = [...document.querySelectorAll("video")];
const button = document.querySelector("#pause");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
let stopped = calm || !videos.length;
const visible = new Set();
const refresh = () => {
  for (const video of videos) {
    if (!stopped && visible.has(video) && !video.dataset.stopped) video.play().catch(() => {});
    else video.pause();
  }
  button.textContent = stopped ? "Play clips" : "Pause clips";
};
const toggle = (video) => {
  if (video.paused) { delete video.dataset.stopped; video.play().catch(() => {}); }
  else { video.dataset.stopped = "yes"; video.pause(); }
};
if (videos.length) {
  button.hidden = false;
  button.addEventListener("click", () => { stopped = !stopped; refresh(); });
  const watch = new IntersectionObserver((seen) => {
    for (const one of seen) one.isIntersecting ? visible.add(one.target) : visible.delete(one.target);
    refresh();
  });
  for (const video of videos) {
    watch.observe(video);
    video.controls = false;  // they would cover clips this small
    video.tabIndex = 0;
    video.setAttribute("role", "button");
    video.addEventListener("click", () => toggle(video));
    video.addEventListener("keydown", (event) => {
      if (event.key === " " || event.key === "Enter") { event.preventDefault(); toggle(video); }
    });
  }
}
