package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"galaxy/data"
)

// prepareCache makes the cache to train on, unless it exists, and sets
// s.cache.
func (s *settings) prepareCache(ctx context.Context) (m data.Manifest, err error) {
	if s.cache == "" {
		if err := s.makeCache(ctx); err != nil {
			return m, err
		}
	}
	cache, err := data.Open(s.cache)
	if err != nil {
		return m, err
	}
	return cache.Manifest(), cache.Close()
}

// makeCache runs galaxy prepare, which checks whether OUT/cache exists and was made from
// the same files.
func (s *settings) makeCache(ctx context.Context) error {
	s.cache = filepath.Join(s.out, "cache")
	folder := s.data
	if folder == "" {
		folder = filepath.Join(s.out, fmt.Sprintf("galaxies-%d", s.galaxies))
		if _, err := os.Stat(folder); err != nil {
			if err := show(ctx, s.galaxy, "synth", "--out", folder, "--count", strconv.Itoa(s.galaxies)); err != nil {
				return err
			}
		}
	}
	labels, err := first(folder, "training_solutions_rev1.csv", "training_solutions_rev1.zip")
	if err != nil {
		return err
	}
	images, err := first(folder, "images_training_rev1", "images_training_rev1.zip")
	if err != nil {
		return err
	}
	return show(ctx, s.galaxy, "prepare", "--labels", labels, "--images", images, "--out", s.cache, "--size", strconv.Itoa(s.size))
}

// first returns the path of the first of the names that is in folder.
func first(folder string, names ...string) (string, error) {
	for _, name := range names {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s holds neither of %v: give the folder with the files of the Galaxy Challenge as Kaggle ships them", folder, names)
}
