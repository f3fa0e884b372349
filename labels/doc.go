// Package labels defines what a row of labels means.
//
// A Schema is a value: the questions that volunteers were asked, each with its
// answers, and after which answers of earlier questions it is asked. Each answer is
// a column. From that follow the number of columns, the sum rules, the heads of a
// network and the scores; no other package knows how many questions there are.
//
//	schema := labels.GalaxyZoo()          // or Named("gz2"), or Read(file)
//	err := schema.CheckSums(row, labels.SumTolerance)
//	err = schema.Project(row)             // makes a prediction satisfy the sum rules
//	classes := schema.Classes()           // the schema derived from it by rules
//
// # Adding a schema
//
// A schema file (docs/schemas.md) is read by Read; one in the folder builtin comes with galaxy.
// Give the schema to data.Prepare. The cache's manifest, the run's config.json and the
// SavedModel's metadata then hold it as JSON; files without one are about GalaxyZoo.
//
// # Rows
//
// A row is float32 [Width]. Of Fractions, it holds the fraction of the volunteers who gave each
// answer, from 0 to 1, already multiplied down the path that leads to the question. The answers
// of a question sum to the sum of the columns that it is asked after (Question.Parents),
// or to 1; they always sum to 1 if they are fractions of those who were asked (Question.OfAsked).
//
// Of Counts, a row holds the number of volunteers who gave each answer. A question that nobody
// answered has N = 0 votes: nothing is known of its fractions, which are NaN (Conditional),
// and it has no weight in a loss or a score. Volunteers may leave before a question, so N may be smaller than
// the votes for the answers that lead to it, but not larger (CheckSums). A network predicts
// fractions, also of counts: Predicted is the schema of its outputs.
//
// # Classes
//
// A schema can have classes: galaxies on which the volunteers agree, by thresholds on
// their votes. Schema.Classes is a Schema with one question; Schema.Label turns a row
// of the first into a row of the second, 1 for the galaxy's class and 0 for the others.
//
// FromClasses makes a schema of a catalogue that has a class for each galaxy and no votes,
// Schema.WithClasses one with an order and texts of its own. Schema.OfClasses recognises both.
//
// A Schema never changes and is safe for concurrent use.
package labels
