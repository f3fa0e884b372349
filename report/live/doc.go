// Package live serves the page of a run while it trains: its state and its curves, which follow the run without a
// reload.
//
//	s := live.New("run")
//	err := s.Serve(ctx, listener)      // until ctx ends
//
// It reads what every run writes, metrics.jsonl, config.json and the state of the latest checkpoint, of a run on this
// machine or on a mounted disk. It looks at the files every two seconds, and only while somebody looks at the page: file
// systems of networks report no changes. If a look takes long, the next one is later, so that the training loses little. Lines that are cut off, when the run is resumed or rolls back, disappear from
// the page too.
//
//	GET /         the page, complete without scripts
//	GET /events   server-sent events: parts of the page that have changed
//
// Nothing that a client sends is kept or reaches the disk. On a loopback address, requests for the name of another host
// are rejected, which a page elsewhere could have directed here.
package live
