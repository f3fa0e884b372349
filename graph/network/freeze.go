package network

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"galaxy/internal/usage"
)

// Freeze says which layers training leaves as they are: "" (none), "stem", a number N (the stem
// and the first N blocks) or "all" (everything below the head). A frozen layer has no gradients,
// and its batch norm uses its moving averages and does not move them.
type Freeze string

// Values of Freeze that are not numbers.
const (
	FreezeNone Freeze = ""
	FreezeStem Freeze = "stem"
	FreezeAll  Freeze = "all"
)

var errFreeze = errors.New("expected none, stem, the number of blocks above the stem (1 or more), or all")

// UnmarshalText reads none, stem, a number or all.
func (f *Freeze) UnmarshalText(text []byte) error {
	switch t := string(text); t {
	case "", "none":
		*f = FreezeNone
	case string(FreezeStem), string(FreezeAll):
		*f = Freeze(t)
	default:
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 {
			return errFreeze
		}
		*f = Freeze(strconv.Itoa(n))
	}
	return nil
}

// String returns the text that UnmarshalText reads.
func (f Freeze) String() string {
	if f == FreezeNone {
		return "none"
	}
	return string(f)
}

// About describes the frozen layers for people; "" if there are none.
func (f Freeze) About() string {
	switch f {
	case FreezeNone:
		return ""
	case FreezeStem:
		return "stem frozen"
	case FreezeAll:
		return "everything below the head frozen"
	}
	blocks, err := strconv.Atoi(string(f))
	if err != nil {
		return string(f) // Layers returns an error
	}
	return "stem and " + usage.Count(blocks, "block") + " frozen"
}

// Layers returns the number of n's layers that f freezes, from the images up: the stem is one,
// and so is every block.
func (f Freeze) Layers(n Network) (int, error) {
	switch f {
	case FreezeNone:
		return 0, nil
	case FreezeStem:
		return 1, nil
	case FreezeAll:
		return 1 + len(n.blocks), nil
	}
	blocks, err := strconv.Atoi(string(f))
	if err != nil || blocks < 1 || blocks > len(n.blocks) {
		return 0, &usage.Field{Name: "freeze", Got: string(f), Expected: fmt.Sprintf("none, stem, 1 to %d blocks (of %s), or all", len(n.blocks), n.Name)}
	}
	return 1 + blocks, nil
}

// Head is the number of layers below the head: the depth of the head's variables.
func (n Network) Head() int { return 1 + len(n.blocks) }

// Depth returns the layer that a variable belongs to: 0 for the stem, k for the k-th block, Head
// for the head.
func (n Network) Depth(variable string) int {
	if strings.HasPrefix(variable, "stem/") {
		return 0
	}
	if i := slices.IndexFunc(n.blocks, func(block string) bool { return strings.HasPrefix(variable, block+"/") }); i >= 0 {
		return 1 + i
	}
	return n.Head()
}
