// Package report makes one HTML file of a training run: what was trained, how well, on what, and which galaxies it
// gets wrong.
//
//	r, err := report.Gather(ctx, report.Options{Runs: []string{"run"}, Open: open, Version: "0.1.0"})
//	page, err := r.HTML()
//	err = durable.WriteFile("report.html", page)
//
// Gather reads the run folder and the cache that the run was trained on, and evaluates the best checkpoint with
// train.Evaluate, so the report's metrics are those of galaxy eval. It fails only if the folder of a run cannot be
// read, or ctx ends. Everything else that is missing or damaged becomes a sentence of Report.Missing, and the report
// shows the rest.
//
// The page needs no network and no scripts: charts are SVG (package chart), images are JPEG inside the file. All
// texts, such as names of files and of classes, go through html/template, so HTML in them is shown as text.
package report
