package labels

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

// The built-in schemas, a file each. The first line says what the schema is about.
//
//go:embed builtin/*.toml
var files embed.FS

// A BuiltIn is a schema that comes with galaxy.
type BuiltIn struct {
	Key    string // what a user calls it, such as "gz2"
	About  string // a line of text
	Text   string // the schema file
	Schema *Schema
}

const challengeKey = "challenge"

var builtin = func() []BuiltIn {
	entries, err := files.ReadDir("builtin")
	if err != nil {
		panic(err) // it is embedded
	}
	var all []BuiltIn
	for _, entry := range entries {
		text, err := files.ReadFile(path.Join("builtin", entry.Name()))
		if err != nil {
			panic(err)
		}
		s, err := Read(bytes.NewReader(text))
		if err != nil {
			panic(fmt.Sprintf("%s: %v", entry.Name(), err)) // every test shows it
		}
		about, _, _ := strings.Cut(string(text), "\n")
		all = append(all, BuiltIn{strings.TrimSuffix(entry.Name(), ".toml"), strings.TrimPrefix(about, "# "), string(text), s})
	}
	return all
}()

var galaxyZoo = func() *Schema {
	b, _ := Named(challengeKey)
	return b.Schema
}()

// GalaxyZoo returns the schema of the Kaggle competition "Galaxy Zoo - The Galaxy
// Challenge" (2014), with the columns "Class1.1" to "Class11.6" and five classes. See
// builtin/challenge.toml.
func GalaxyZoo() *Schema { return galaxyZoo }

// Builtin returns the built-in schemas by key: the challenge's, and those of twelve Galaxy
// Zoo campaigns.
func Builtin() []BuiltIn { return slices.Clone(builtin) }

// Named returns the built-in schema of a key, such as "challenge".
func Named(key string) (BuiltIn, bool) {
	i := slices.IndexFunc(builtin, func(b BuiltIn) bool { return b.Key == key })
	if i < 0 {
		return BuiltIn{}, false
	}
	return builtin[i], true
}
