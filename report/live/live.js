
// The page of a run that trains: parts of it are exchanged as the server's events bring them.
(() => {
  const connection = document.getElementById("connection"), state = document.getElementById("run-state"), grid = document.getElementById("curve-grid");
  let source = null, ended = false;
  const say = (text) => { if (connection.textContent !== text) connection.textContent = text; };

  function receive(event) {
    const m = JSON.parse(event.data), known = [...grid.children].map((e) => e.id);
    document.title = m.title;
    state.innerHTML = m.state;
    if (m.ids.length === known.length && m.ids.every((id, i) => id === known[i])) {
      for (const c of m.curves) galaxy.replace(c.id, c.html);
    } else {
      grid.innerHTML = m.curves.map((c) => c.html).join("");
      galaxy.enhance(grid);
    }
    say("This page follows the run.");
  }
  function open() {
    if (source || ended) return;
    source = new EventSource("events");
    source.onmessage = receive;
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) close();
      say(source ? "No connection to the server; trying again." : "The server takes no more visitors. Reload the page to try again.");
    };
    source.addEventListener("end", () => {
      ended = true;
      close();
      say("The server has ended. This is the last state of the run that it knew.");
    });
  }
  function close() {
    if (source) source.close();
    source = null;
  }
  // A browser has few connections to one server: a tab in the background needs none.
  document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
  addEventListener("pagehide", close);
  if (!document.hidden) open();
})();
