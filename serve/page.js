(() => {
  const input = document.getElementById("images");
  if (!input) return;
  const send = (files) => {
    const images = new DataTransfer();
    for (const file of files) images.items.add(file);
    if (!images.files.length) return;
    input.files = images.files;
    input.form.requestSubmit();
  };
  const root = document.documentElement;
  addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("dropping"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("dropping"); });
  addEventListener("drop", (event) => { event.preventDefault(); root.classList.remove("dropping"); send(event.dataTransfer.files); });
  addEventListener("paste", (event) => send(event.clipboardData.files));
  const answer = document.getElementById("answer-heading");
  if (answer) { answer.tabIndex = -1; answer.focus(); }
})();
