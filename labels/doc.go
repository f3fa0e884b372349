// Package labels defines what a row of labels means.
//
// A Schema is a value: the questions that volunteers were asked, each with its
// answers, and after which answers of earlier questions it is asked. Each answer is
// a column. From that follow the number of columns, the sum rules, the heads of a
// network and the scores; no other package knows how many questions there are.
//
//	schema := labels.GalaxyZoo()          // the built-in one
//	err := schema.CheckSums(row, labels.SumTolerance)
//	err = schema.Project(row)             // makes a prediction satisfy the sum rules
//	classes := schema.Classes()           // the schema derived from it by rules
//
// # Adding a schema
//
// Write its Definition in a file of this package, as galaxyzoo.go does; the tests of all
// packages find it by Builtin. Give it to data.Prepare. The cache's manifest, the run's config.json and the
// SavedModel's metadata then hold it as JSON; files without one are about GalaxyZoo.
//
// # Rows
//
// A row is float32 [Width]: the fraction of the volunteers who gave each answer, from
// 0 to 1, already multiplied down the path that leads to the question. The answers of
// a question sum to the sum of the columns that it is asked after (Question.Parents),
// or to 1.
//
// # Classes
//
// A schema can have classes: galaxies on which the volunteers agree, by thresholds on
// their votes. Schema.Classes is a Schema with one question; Schema.Label turns a row
// of the first into a row of the second, 1 for the galaxy's class and 0 for the others.
//
// A Schema never changes and is safe for concurrent use. The package imports no
// other package of galaxy.
package labels
