package report

import "galaxy/data"

// Data describes the cache.
type Data struct {
	data.Manifest
	data.Summary
	Balance *data.Balance // of a cache of classes, else nil
	Dir     string
}

func newData(c *data.Cache) *Data {
	return &Data{Manifest: c.Manifest(), Summary: c.Summary(), Balance: c.Balance(), Dir: c.Dir()}
}
