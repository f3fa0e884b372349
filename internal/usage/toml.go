package usage

import (
	"fmt"
	"strings"
)

// maxNesting is the depth of tables, arrays and dotted names in a TOML file. The files of galaxy have 4.
const maxNesting = 16

// CheckNesting returns an error with the line if a TOML text nests tables, arrays or dotted names more than
// 16 deep. It has to be called before the text is parsed: the parser keeps the whole name of each table, so its
// memory grows with the square of the depth, and 300 kB of "{a=" took 24 GB.
func CheckNesting(text string) error {
	line, depth, parts := 1, 0, 1
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '#':
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			end := endOfString(text, i)
			line += strings.Count(text[i:end], "\n")
			i = end - 1
		case '[', '{':
			depth, parts = depth+1, 1
		case ']', '}':
			depth, parts = max(0, depth-1), 1
		case '.':
			parts++
		case '\n':
			line, parts = line+1, 1
		case '=', ',':
			parts = 1
		}
		if depth > maxNesting || parts > maxNesting {
			return fmt.Errorf("toml: line %d: tables, arrays or dotted names are nested more than %d deep; expected a file of at most 4", line, maxNesting)
		}
	}
	return nil
}

// endOfString returns the index after the string of TOML that starts at i. A string on one line that is not
// closed ends with its line.
func endOfString(text string, i int) int {
	quote := text[i : i+1]
	multi := strings.HasPrefix(text[i:], strings.Repeat(quote, 3))
	if multi {
		quote = strings.Repeat(quote, 3)
	}
	for i += len(quote); i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote[0] == '"':
			i++
		case text[i] == '\n' && !multi:
			return i
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		}
	}
	return len(text)
}
