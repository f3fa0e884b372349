package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"galaxy/data"
	"galaxy/internal/usage"
)

// printCounts prints the number of galaxies of each class and split. header names the first column.
func printCounts(w io.Writer, header string, classes []data.ClassSummary, all data.Counts) {
	nameOf := func(class data.ClassSummary) string { return strings.TrimSpace(class.Name + " " + class.Text) }
	width := len("clean class ")
	for _, class := range classes {
		width = max(width, utf8.RuneCountInString(nameOf(class)))
	}
	fmt.Fprintf(w, "%-*s %8s %10s %8s %8s\n", width, header, "train", "validation", "test", "all")
	row := func(name string, n data.Counts) {
		fmt.Fprintf(w, "%-*s %8d %10d %8d %8d\n", width, name, n.Train, n.Validation, n.Test, n.Train+n.Validation+n.Test)
	}
	for _, class := range classes {
		row(nameOf(class), class.Counts)
	}
	row("all", all)
}

// printBalance prints what is to be known about the classes of a catalogue before training.
func printBalance(w io.Writer, b *data.Balance, all data.Counts) {
	printCounts(w, "class", b.Classes, all)
	var largest, smallest data.ClassSummary // of those that can be learned
	var unknown []string
	for _, class := range b.Classes {
		switch n := class.Counts.Train; {
		case n == 0:
			unknown = append(unknown, class.Name)
			continue
		case n < smallest.Counts.Train || smallest.Name == "":
			smallest = class
		}
		if class.Counts.Train > largest.Counts.Train {
			largest = class
		}
	}
	if largest.Counts.Train > smallest.Counts.Train {
		fmt.Fprintf(w, "imbalance %.1f: %d train galaxies are of %s, %d of %s\n", b.Imbalance, largest.Counts.Train, largest.Name, smallest.Counts.Train, smallest.Name)
	}
	for _, l := range []struct {
		names []string
		what  string
	}{{unknown, "without a train galaxy, so nothing is learned about them"}, {b.Absent, "not in every split"}} {
		if len(l.names) > 0 {
			fmt.Fprintf(w, "%s %s: %s\n", usage.Count(len(l.names), "class"), l.what, firstOf(l.names))
		}
	}
	var pairs []string
	for _, pair := range b.Contradictions {
		pairs = append(pairs, fmt.Sprintf("%s and %s", pair[0], pair[1]))
	}
	if len(pairs) > 0 {
		fmt.Fprintf(w, "%s with the same pixels as one of another class: %s\n", usage.Count(len(pairs), "image"), firstOf(pairs))
	}
}

// firstOf lists the first of many.
func firstOf(items []string) string {
	text := strings.Join(items[:min(len(items), brokenShown)], ", ")
	if len(items) > brokenShown {
		text += ", …"
	}
	return text
}

// printEmpty warns of splits without a galaxy.
func printEmpty(w io.Writer, n data.Counts, rule data.SplitRule) {
	for _, split := range []data.Split{data.Validation, data.Test} {
		if n.Of(split) > 0 {
			continue
		}
		why := "there are too few galaxies to evaluate on"
		switch {
		case rule.Column == "" && !rule.Folders && rule.Shares != (data.Shares{}) && rule.Shares[split] == 0:
			why = fmt.Sprintf("as asked by --split %v", rule.Shares)
			if split == data.Validation {
				why += "; train needs some"
			}
		case rule.Column != "" || rule.Folders:
			why = "the catalogue has no galaxy for it"
			if split == data.Validation {
				why += ", and train needs some: --split 75/25/0 takes them from the train split"
			}
		}
		fmt.Fprintf(w, "the %v split is empty: %s\n", split, why)
	}
}
