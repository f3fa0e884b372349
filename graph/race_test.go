//go:build race

package graph

func init() { underRace = true }
