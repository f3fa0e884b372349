package labels

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
	"sync"
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

// builtinKeys are the keys of the built-in schemas, in order. builtinReaders reads each at its first
// use: reading all takes several milliseconds of every start, and few commands need more than the challenge's.
var builtinKeys, builtinReaders = func() (builtinKeys []string, builtinReaders map[string]func() BuiltIn) {
	entries, err := files.ReadDir("builtin")
	if err != nil {
		panic(err) // it is embedded
	}
	builtinReaders = map[string]func() BuiltIn{}
	for _, entry := range entries {
		key := strings.TrimSuffix(entry.Name(), ".toml")
		builtinKeys = append(builtinKeys, key)
		builtinReaders[key] = sync.OnceValue(func() BuiltIn { return readBuiltin(key) })
	}
	return builtinKeys, builtinReaders
}()

func readBuiltin(key string) BuiltIn {
	text, err := files.ReadFile("builtin/" + key + ".toml")
	if err != nil {
		panic(err) // it is listed
	}
	s, err := Read(bytes.NewReader(text))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", key, err)) // every test of the built-in schemas shows it
	}
	about, _, _ := strings.Cut(string(text), "\n")
	return BuiltIn{key, strings.TrimPrefix(about, "# "), string(text), s}
}

// GalaxyZoo returns the schema of the Kaggle competition "Galaxy Zoo - The Galaxy
// Challenge" (2014), with the columns "Class1.1" to "Class11.6" and five classes. See
// builtin/challenge.toml.
func GalaxyZoo() *Schema { return builtinReaders[challengeKey]().Schema }

// Builtin returns the built-in schemas by key: the challenge's, and those of twelve Galaxy
// Zoo campaigns.
func Builtin() []BuiltIn {
	all := make([]BuiltIn, len(builtinKeys))
	for i, key := range builtinKeys {
		all[i] = builtinReaders[key]()
	}
	return all
}

// Named returns the built-in schema of a key, such as "challenge".
func Named(key string) (BuiltIn, bool) {
	if read, ok := builtinReaders[key]; ok {
		return read(), true
	}
	return BuiltIn{}, false
}
