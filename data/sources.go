package data

import (
	"cmp"
	"errors"
	"slices"

	"galaxy/internal/usage"
	"galaxy/labels"
)

// validateLabels checks the settings of the labels and splits. Schema stays nil if the classes decide on it.
func (c *PrepareConfig) validateLabels() (err error) {
	c.Split.Folders = false // until there are some
	switch columns := c.Keys; {
	case c.Labels != "" && c.Schema.IsNone():
		return usage.Errorf("{unlabelled} takes the images alone: leave {labels} out, or {unlabelled}")
	case c.Labels == "" && (columns.ID != "" || columns.Path != "" || columns.Class != "" || c.Split.Column != "" || c.Split.Group != ""):
		return usage.Errorf("{id_column}, {path_column}, {class_column}, {split_column} and {split_by_group} are about a table; give it as {labels}, or leave them out")
	case c.Labels != "" && columns.Class == "":
		c.Schema = cmp.Or(c.Schema, labels.GalaxyZoo())
	case c.Schema != nil && !c.Schema.IsNone():
		if c.Schema, err = c.Schema.WithClasses(); err != nil {
			return usage.Errorf("{schema}: %w", err)
		}
	}
	if c.Files != "" && c.byPath() {
		return usage.Errorf("{files} is where the images' names hold the ids of the rows, and here {path_column} or folders of classes say which image is whose: leave it out")
	}
	return c.Split.validate(c.SplitSeed)
}

// byPath reports whether galaxies are told apart by the paths of their images.
func (c *PrepareConfig) byPath() bool {
	return c.Labels == "" && !c.Schema.IsNone() || c.Keys.Path != ""
}

// sources reads the labels and lists the images. It completes Schema and Split.
func (c *PrepareConfig) sources() (catalog *Catalog, images *Images, err error) {
	if c.Labels != "" {
		keys := c.Keys
		keys.split, keys.group = c.Split.Column, c.Split.Group
		if catalog, err = ReadCatalog(c.Labels, c.Schema, keys); err != nil {
			return nil, nil, err
		}
	}
	layout := Layout{ByPath: c.byPath(), Bands: c.Bands, Pattern: c.Files}
	if images, err = OpenImagesAs(c.Images, TrainingImages, layout); err != nil {
		return nil, nil, err
	}
	if c.AllowMissing {
		images.dropIncomplete()
	}
	switch {
	case c.Schema.IsNone():
		catalog = &Catalog{Path: images.Path(), IDs: slices.Clone(images.ids), Schema: c.Schema}
	case c.Labels == "":
		catalog, c.Split.Folders, err = readFolders(images, c.Schema, c.AllowMissing)
		if err == nil {
			err = c.Split.validate(c.SplitSeed)
		}
	}
	if err == nil && c.Split.Stratify && catalog.Schema.Classes().Width() == 0 {
		err = usage.Errorf("{stratify}: the schema %v has no classes; leave it out", catalog.Schema)
	}
	if err != nil {
		return nil, nil, errors.Join(err, images.Close())
	}
	images.MaxBytes, images.Side = c.MaxBytes, c.side
	c.Schema, c.Split = catalog.Schema, c.Split.normal()
	return catalog, images, nil
}

// noticeSources reports what is odd about the files and makes no difference.
func (p *preparer) noticeSources() {
	if other := p.images.PassedOver(); len(other) > 0 {
		p.notice("passed over %v", other)
	}
	if p.catalog.classes == nil {
		return
	}
	if empty := p.images.empty(); p.config.Labels == "" && len(empty) > 0 {
		p.notice("passed over %s without any image: %s", usage.Count(len(empty), "folder"), some(empty, ", "))
	}
	if alike := p.catalog.classes.alike(); alike != "" {
		p.notice("%s", alike)
	}
}
