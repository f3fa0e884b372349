package labels

// unlabelled is the name of None.
const unlabelled = "unlabelled"

var none = func() *Schema {
	s := &Schema{definition: Definition{Name: unlabelled}}
	if err := s.build(); err != nil {
		panic("labels: " + err.Error()) // every test meets it
	}
	return s
}()

// None returns the schema of galaxies without labels: it has no questions, and its rows have no
// columns. Every galaxy has such a row, whatever else is known about it.
func None() *Schema { return none }

// IsNone reports whether s is None.
func (s *Schema) IsNone() bool { return s != nil && s.Equal(none) }
