package data

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"galaxy/data/imagefile"
	"galaxy/data/table"
	"galaxy/internal/usage"
)

// A Layout says how the image files of galaxies are named. The zero value is one file per galaxy, named
// <id>.jpg, .png and so on.
type Layout struct {
	// ByPath takes files of any name, at any depth. They have no ids, and are in the order of
	// their names.
	ByPath bool
	// Bands are the bands of the images. If files have one of them in their names, a galaxy has one file
	// per band: "1_g.fits", "g/1.fits", "1/g.fits" and "g/survey_g_1.fits" have the band g. The id is what is
	// left of the file's name, or the folder's if nothing is: "1", "1", "1" and "survey_1".
	Bands imagefile.Bands
	// Pattern, if set, is what names look like: "survey_{id}_{band}" for survey_1_g.fits. An * stands for any
	// text. The extension may be left out, and so may folders.
	Pattern string
}

// A namer finds the id and the band, an index into bands or -1, of a file's path. ok is false if it has
// no id.
type namer struct {
	bands   []string
	pattern *regexp.Regexp
}

// newNamer returns the namer of a layout.
func newNamer(l Layout) (n namer, err error) {
	if !l.Bands.Picture() && !slices.ContainsFunc(l.Bands, imagefile.InFile) {
		n.bands = l.Bands
	}
	if l.Pattern == "" {
		return n, nil
	}
	text := l.Pattern
	if hasExtension(text) {
		text = withoutExtension(text)
	}
	text = regexp.QuoteMeta(text)
	id, band := regexp.QuoteMeta("{id}"), regexp.QuoteMeta("{band}")
	switch {
	case !strings.Contains(text, id):
		return n, fmt.Errorf("the pattern %q of file names has no {id}; expected one like {id}_{band}.fits", l.Pattern)
	case !strings.Contains(text, band):
		n.bands = nil
	case n.bands == nil:
		return n, usage.Errorf("the pattern %q of file names has a band; name the bands with {bands}, such as g,r,z", l.Pattern)
	}
	var any []string
	for _, name := range n.bands {
		any = append(any, regexp.QuoteMeta(name))
	}
	text = strings.NewReplacer(id, "(?P<id>[^/]+)", band, "(?P<band>"+strings.Join(any, "|")+")", `\*`, "[^/]*").Replace(text)
	n.pattern, err = regexp.Compile("(?:^|/)" + text + "$")
	return n, err
}

// deep reports whether files of any depth count.
func (n namer) deep() bool { return n.bands != nil || n.pattern != nil }

// name returns the id and the band of a file. The band is an index into bands, or -1.
func (n namer) name(file string) (id string, band int, ok bool) {
	file = withoutExtension(file)
	if n.pattern != nil {
		return n.match(file)
	}
	folders := strings.Split(file, "/")
	last := len(folders) - 1
	id, band = cutWord(folders[last], n.bands)
	for i := last - 1; i >= 0 && band < 0; i-- {
		band = slices.Index(n.bands, folders[i])
	}
	if id == "" && band >= 0 && last > 0 {
		id = folders[last-1]
	}
	return id, band, true
}

// match is name with a pattern.
func (n namer) match(file string) (id string, band int, ok bool) {
	band = -1
	parts := n.pattern.FindStringSubmatch(file)
	if parts == nil {
		return "", band, false
	}
	for i, group := range n.pattern.SubexpNames() {
		switch group {
		case "id":
			if id != "" && parts[i] != id {
				return "", band, false
			}
			id = parts[i]
		case "band":
			k := slices.Index(n.bands, parts[i])
			if band >= 0 && k != band {
				return "", band, false
			}
			band = k
		}
	}
	return id, band, true
}

// separators are the characters between the words of a file's name.
const separators = "_-. "

// cutWord removes the last of some words from a name, with the separator before it, or the one
// after it at the start of the name. It returns the word's index, -1 if the name has none of them.
func cutWord(name string, words []string) (rest string, word int) {
	for end := len(name); ; {
		start := strings.LastIndexAny(name[:end], separators) + 1
		if word = slices.Index(words, name[start:end]); word >= 0 {
			if start == 0 {
				return name[min(end+1, len(name)):], word
			}
			return name[:start-1] + name[end:], word
		}
		if start == 0 {
			return name, -1
		}
		end = start - 1
	}
}

// group names the files of m and puts them in order: by id, and of one galaxy by band. A band that a galaxy
// lacks is a file without a name.
func (m *Images) group(n namer) error {
	several := false
	named := m.files[:0]
	for _, f := range m.files {
		id, band, ok := n.name(f.name)
		if !ok {
			m.other.add("an image of another name", f.name)
			continue
		}
		if err := table.CheckID(id); err != nil {
			return fmt.Errorf("%q is not named after a galaxy (%w); rename or remove it", clip(path.Base(f.name)), err)
		}
		f.id, f.band = ID(id), band
		several = several || band >= 0
		named = append(named, f)
	}
	m.files = named
	if several {
		m.bands = n.bands
		m.files = slices.DeleteFunc(named, func(f imageFile) bool {
			if f.band < 0 {
				m.other.add("an image of no band", f.name)
			}
			return f.band < 0
		})
	}
	slices.SortFunc(m.files, func(a, b imageFile) int {
		return cmp.Or(CompareIDs(a.id, b.id), cmp.Compare(a.band, b.band), strings.Compare(a.name, b.name))
	})
	for i, f := range m.files {
		if i == 0 || f.id != m.files[i-1].id {
			m.ids = append(m.ids, f.id)
		} else if before := m.files[i-1]; f.band == before.band {
			of := ""
			if several {
				of = " of band " + m.bands[f.band]
			}
			return usage.Errorf("galaxy %s has two images%s (%s, %s); remove or rename one, or tell images apart by their paths with {path_column} or {paths}", f.id, of, clip(before.name), clip(f.name))
		}
	}
	if several {
		m.fill()
	}
	return nil
}

// fill gives every galaxy a file for each band.
func (m *Images) fill() {
	complete := make([]imageFile, 0, len(m.ids)*len(m.bands))
	rest := m.files
	for _, id := range m.ids {
		for band := range m.bands {
			if len(rest) > 0 && rest[0].id == id && rest[0].band == band {
				complete, rest = append(complete, rest[0]), rest[1:]
			} else {
				complete = append(complete, imageFile{id: id, band: band})
			}
		}
	}
	m.files = complete
}

// dropIncomplete removes the galaxies that lack a band.
func (m *Images) dropIncomplete() {
	if m.bands == nil {
		return
	}
	files, ids := m.files[:0], m.ids[:0]
	for galaxy := range slices.Chunk(m.files, len(m.bands)) {
		if !slices.ContainsFunc(galaxy, imageFile.absent) {
			files, ids = append(files, galaxy...), append(ids, galaxy[0].id)
		}
	}
	m.files, m.ids = files, ids
}

func (f imageFile) absent() bool { return f.name == "" }

// withoutExtension returns the path of an image file without its extension; of "1.fits.gz" it is "1".
// Digits after a point are no extension, but a part of names such as J000411.19+020924.05.
func withoutExtension(name string) string {
	name = uncompressed(name)
	ext := path.Ext(name)
	if strings.Trim(ext, ".0123456789") == "" {
		return name
	}
	return strings.TrimSuffix(name, ext)
}
