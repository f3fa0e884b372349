package labels

import "fmt"

// checkExclusive returns an error if one volunteer may give two of the answers after which a question is asked: the
// volunteer would be counted twice.
func (s *Schema) checkExclusive() error {
	known := map[[2]int]bool{}
	for i := range s.definition.Questions {
		q := &s.definition.Questions[i]
		for k, a := range q.AfterColumns {
			for m, b := range q.AfterColumns[:k] {
				if s.compatible(a, b, known) {
					return fmt.Errorf("question %d: it is asked after %s and %s, and one volunteer can give both and would count twice: expected answers of which each excludes the others, such as those to one question, or an earlier question in their place", q.Number, q.After[m], q.After[k])
				}
			}
		}
	}
	return nil
}

// compatible reports whether one volunteer may give the answers in both columns. Each of them is given at the end of a
// chain of answers, from a question that everybody is asked. They are compatible if there are two chains that give no
// question two answers. known holds what was found before.
func (s *Schema) compatible(a, b int, known map[[2]int]bool) bool {
	if s.question[a] < s.question[b] {
		a, b = b, a
	}
	if s.question[a] == s.question[b] {
		return a == b
	}
	key := [2]int{a, b}
	found, ok := known[key]
	if ok {
		return found
	}
	// The chain of b has no answer to a's question, which is the later one, so that only the earlier part of a's chain matters.
	after := s.definition.Questions[s.question[a]].AfterColumns
	found = len(after) == 0
	for _, c := range after {
		found = found || s.compatible(c, b, known)
	}
	known[key] = found
	return found
}
