// Package chart draws charts as SVG for the pages of reports, of a run that is still training, and of the
// service.
//
// Every kind of chart is a struct, whose HTML method returns one figure: a caption with the legend, the drawing,
// a table of the same numbers in a details element, and, in Lines and Curve, the points as JSON. A figure needs no
// script; the script of package page adds hover, keys and zoom. Colours and fonts come from package page's
// stylesheet through classes, so one drawing serves light, dark and print.
//
//	loss := chart.Lines{
//		Meta:   chart.Meta{ID: "loss", Title: "Loss", Text: "The loss falls from 0.31 to 0.12 in 20 epochs."},
//		X:      chart.Axis{Label: "epoch"},
//		Y:      chart.Axis{Label: "loss", Log: true},
//		Series: []chart.Series{{Name: "train", X: epochs, Y: train}, {Name: "validation", X: epochs, Y: validation}},
//	}
//	body := loss.HTML()
//
// No input is an error: numbers that cannot be drawn (NaN, infinite, beyond ±1e100, not positive on a
// logarithmic axis) leave a gap and are shown as "–" in the table, and a chart without numbers says so. Text is
// escaped, cut where the drawing has no room for it, and complete in the table.
package chart
