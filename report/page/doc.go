// Package page makes the pages of reports, of a run that is still training, and of the service: one HTML file
// with its stylesheet, its script and its images, which asks no network for anything.
//
// A Page is made of sections, whose bodies come from package chart, from Gallery, and from the templates of the
// package that makes the page. It is complete without scripts; the script adds values under the pointer, keys, zoom,
// sorting, and the dialog of a gallery.
//
// The classes that bodies may use:
//
//	grid      children side by side, as many as the width holds
//	scroll    a box that scrolls sideways; give it tabindex="0", role="region" and aria-label
//	facts     a dl of names and values
//	verdict   a sentence in large letters
//	note      a remark; warning, a remark that needs attention
//	hidden    text for screen readers only
//	scripted  hidden unless the script runs
package page
