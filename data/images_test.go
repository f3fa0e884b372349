package data

import (
	"archive/zip"
	"bytes"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestOpenImages(t *testing.T) {
	dir := t.TempDir()
	want := []int64{7, 100008, 999967}
	members := func(prefix string) []member {
		return []member{
			{prefix + "100008.jpg", galaxyJPEG(100008)},
			{prefix + "999967.JPG", galaxyJPEG(999967)},
			{prefix + "7.jpeg", galaxyJPEG(7)},
			{prefix + "readme.txt", []byte("hello")},
			{prefix + ".hidden.jpg", nil},
		}
	}
	folder := func(name, prefix string) string {
		for _, m := range members(prefix) {
			writeFile(t, filepath.Join(dir, name, m.name), m.body)
		}
		return filepath.Join(dir, name)
	}
	pack := func(name string, method uint16, prefix string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, zipBytes(t, method, append(members(prefix), member{"__MACOSX/._7.jpg", nil})...))
		return path
	}
	// The one outer zip of the whole competition.
	kaggle := func(name string, method uint16) string {
		path := filepath.Join(dir, name)
		inner := zipBytes(t, zip.Store, members("images_training_rev1/")...)
		test := zipBytes(t, zip.Store, member{"images_test_rev1/1.jpg", galaxyJPEG(1)})
		writeFile(t, path, zipBytes(t, method, member{"images_test_rev1.zip", test}, member{"images_training_rev1.zip", inner}, member{"training_solutions_rev1.zip", nil}))
		return path
	}
	// A download of several files, of which one is the zip of images.
	other := func(name string, method uint16) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, zipBytes(t, method, member{"labels.csv", []byte("a,b\n")}, member{"data/galaxies.zip", zipBytes(t, zip.Store, members("")...)}))
		return path
	}
	t.Setenv("TMPDIR", t.TempDir())
	for _, path := range []string{
		folder("flat", ""),
		folder("nested", "images_training_rev1/"),
		folder("deep", "train/images/sdss/"),
		pack("flat.zip", zip.Store, ""),
		pack("nested.zip", zip.Store, "images_training_rev1/"),
		pack("deflated.zip", zip.Deflate, "./images_training_rev1/"),
		pack("windows.zip", zip.Deflate, `C:\galaxies\train\`),
		pack("absolute.zip", zip.Store, "/images/"),
		pack("up.zip", zip.Store, "../../images/"),
		pack("latin.zip", zip.Store, "\xe4/"),
		other("other.zip", zip.Deflate),
		kaggle("outer stored.zip", zip.Store),
		kaggle("outer deflated.zip", zip.Deflate),
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			m, err := OpenImages(path, TrainingImages)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}()
			onlyEntries(t, os.Getenv("TMPDIR")) // what is unpacked has no name
			if !slices.Equal(m.IDs(), numberedAll(want...)) {
				t.Errorf("IDs() = %v, want %v", m.IDs(), want)
			}
			var buf []byte
			for _, id := range want {
				i, ok := m.Find(string(numbered(id)))
				if !ok {
					t.Fatalf("galaxy %d is not there", id)
				}
				buf, err = m.Read(i, buf)
				if err != nil || !bytes.Equal(buf, galaxyJPEG(id)) {
					t.Errorf("Read(%d): %v, or other bytes", id, err)
				}
			}
			if i, ok := m.Find("8"); ok {
				t.Errorf("galaxy 8 is image %d", i)
			}
		})
	}
}

func TestOpenImagesByPath(t *testing.T) {
	dir := t.TempDir()
	want := []string{"7.jpg", "a,b/NGC 1300.JPG", "a,b/c/d/M101.jpeg", "b.jpg"}
	small := encodeJPEG(flatPicture(color.White, 100))
	members := []member{{"notes.txt", nil}, {".thumbs/x.jpg", small}, {"a,b/.x.jpg", small}}
	for _, name := range want {
		members = append(members, member{name, small})
	}
	for _, m := range members {
		writeFile(t, filepath.Join(dir, "folder", m.name), m.body)
	}
	packed := filepath.Join(dir, "packed.zip")
	writeFile(t, packed, zipBytes(t, zip.Deflate, members...))
	sums := map[uint64]bool{}
	for _, path := range []string{filepath.Join(dir, "folder"), packed} {
		m, err := OpenImagesByPath(path, TestImages)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if m.IDs() != nil || m.Len() != len(want) {
			t.Fatalf("ids %v, %d images", m.IDs(), m.Len())
		}
		for i, name := range want {
			if m.Name(i) != name {
				t.Errorf("%s: image %d is %s, want %s", path, i, m.Name(i), name)
			}
			body, err := m.Read(i, nil)
			if err != nil || !bytes.Equal(body, small) {
				t.Errorf("%s: Read(%d): %v, or other bytes", path, i, err)
			}
			if _, err := m.Decode(make([]byte, 12), i, hashDecoder{}, nil); err != nil {
				t.Errorf("%s: Decode(%d): %v", path, i, err)
			}
		}
		sum, err := m.Checksum()
		if err != nil {
			t.Fatal(err)
		}
		sums[sum] = true
	}
	if len(sums) != 1 {
		t.Error("the folder and the zip of it have different checksums")
	}

	for _, c := range []struct {
		name string
		zip  []byte
		want string
	}{
		{"empty", zipBytes(t, zip.Store), "expected files of JPEG, PNG"},
		{"twice", zipBytes(t, zip.Store, member{"x.jpg", small}, member{"x.jpg", small}), "two images have the name x.jpg"},
		{"both names", zipBytes(t, zip.Store, member{"a/x.jpg", small}, member{`a\x.jpg`, small}), "two images have the name a/x.jpg"},
	} {
		path := filepath.Join(dir, c.name+".zip")
		writeFile(t, path, c.zip)
		_, err := OpenImagesByPath(path, TestImages)
		wantError(t, err, path, c.want)
	}
}

// Only a change of the listing can tell that the files are others.
func TestImagesChecksum(t *testing.T) {
	dir := t.TempDir()
	sums := map[uint64]string{}
	for _, name := range []string{"1.jpg", "2.jpg", "3.jpg 4.jpg", "4.jpg 3.jpg"} {
		for i, file := range strings.Fields(name) {
			writeFile(t, filepath.Join(dir, name, file), make([]byte, 10+i))
		}
		for kind, open := range map[string]func(string, string) (*Images, error){"id": OpenImages, "path": OpenImagesByPath} {
			m, err := open(filepath.Join(dir, name), TestImages)
			if err != nil {
				t.Fatal(err)
			}
			sum, err := m.Checksum()
			if err != nil {
				t.Fatal(err)
			}
			if other, dup := sums[sum]; dup {
				t.Errorf("%s by %s and %s have the same checksum", name, kind, other)
			}
			sums[sum] = name + " by " + kind
		}
	}
}

func TestOpenImagesErrors(t *testing.T) {
	dir := t.TempDir()
	picture := galaxyJPEG(1)
	inner := func(method uint16, body []byte) []byte {
		return zipBytes(t, method, member{"images_training_rev1.zip", body})
	}
	whole := zipBytes(t, zip.Store, member{"1.jpg", picture})
	t.Setenv("TMPDIR", t.TempDir())
	defer onlyEntries(t, os.Getenv("TMPDIR"))
	encrypted := bytes.Clone(whole)
	encrypted[6] |= 1
	encrypted[bytes.LastIndex(encrypted, []byte("PK\x01\x02"))+8] |= 1
	link := zipBytes(t, zip.Store, member{"1.jpg", []byte("2.jpg")})
	central := bytes.LastIndex(link, []byte("PK\x01\x02"))
	link[central+5], link[central+41] = 3, 0xa1 // Unix, the mode of a link
	for _, c := range []struct {
		name string
		zip  []byte
		want []string
	}{
		{"empty", zipBytes(t, zip.Store), []string{"no images", "<id>.jpg"}},
		{"text", []byte("hello"), []string{"not a zip file"}},
		{"nothing", nil, []string{"not a zip file"}},
		{"cut", zipBytes(t, zip.Store, member{"1.jpg", picture})[:300], []string{"truncated"}},
		{"twice", zipBytes(t, zip.Store, member{"a/1.jpg", picture}, member{"b/1.jpg", picture}), []string{"galaxy 1 has two images"}},
		{"same name", zipBytes(t, zip.Store, member{"1.jpg", picture}, member{"1.jpg", picture}), []string{"galaxy 1 has two images"}},
		{"two zips", zipBytes(t, zip.Store, member{"a.zip", whole}, member{"b.zip", whole}), []string{"several zips (a.zip, b.zip): unpack it"}},
		{"encrypted", encrypted, []string{"none of its images can be read, such as 1.jpg: it is encrypted; unpack the zip"}},
		{"link", link, []string{"1.jpg is a link"}},
		{"split", append([]byte("PK\x07\x08"), whole[:300]...), []string{"one of several parts", "zip -s 0 FILE.zip"}},
		{"part", whole[:300], []string{"the first of several parts", "cat FILE.zip.* >whole.zip"}},
		{"inner text", inner(zip.Store, []byte("hello")), []string{"images_training_rev1.zip in it", "not a zip file"}},
		{"inner cut", inner(zip.Deflate, whole[:300]), []string{"images_training_rev1.zip in it", "truncated"}},
		{"inner bomb", inner(zip.Deflate, make([]byte, 1<<20)), []string{"would unpack", "unpack the outer zip"}},
		{"inner of inner", inner(zip.Store, inner(zip.Store, whole)), []string{"no images"}},
		{"two inner", zipBytes(t, zip.Store, member{"images_training_rev1.zip", whole}, member{"x/images_training_rev1.zip", whole}), []string{"several zips"}},
		{"strange name", zipBytes(t, zip.Store, member{"1.jpg", picture}, member{"copy\nof 1.jpg", picture}), []string{`"copy\nof 1.jpg"`, "control characters", "rename or remove"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.name+".zip")
			writeFile(t, path, c.zip)
			_, err := OpenImages(path, TrainingImages)
			wantError(t, err, append(c.want, path)...)
		})
	}

	t.Run("folders", func(t *testing.T) {
		empty := t.TempDir()
		_, err := OpenImages(empty, TrainingImages)
		wantError(t, err, empty, "no images")

		writeFile(t, filepath.Join(empty, "1.jpg"), picture)
		writeFile(t, filepath.Join(empty, "more", "1.jpeg"), picture)
		_, err = OpenImages(empty, TrainingImages)
		wantError(t, err, "galaxy 1 has two images")

		_, err = OpenImages(filepath.Join(empty, "absent"), TrainingImages)
		wantError(t, err, "absent", "no such file")

		pipes := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(pipes, "1.jpg"), 0o666); err != nil {
			t.Skip("this system makes no named pipes")
		}
		_, err = OpenImages(pipes, TrainingImages)
		wantError(t, err, "not a regular file")
	})
}

func TestImagesReadErrors(t *testing.T) {
	dir := t.TempDir()
	big := make([]byte, DefaultMaxBytes+1)
	bomb := filepath.Join(dir, "bomb.zip")
	writeFile(t, bomb, zipBytes(t, zip.Deflate, member{"1.jpg", big}))

	// The stored bytes no longer have the checksum that the zip holds.
	packed := zipBytes(t, zip.Store, member{"1.jpg", galaxyJPEG(1)})
	packed[2000] ^= 1
	damaged := filepath.Join(dir, "damaged.zip")
	writeFile(t, damaged, packed)

	// A member that unpacks to more than it declares.
	packed = zipBytes(t, zip.Deflate, member{"1.jpg", make([]byte, 5000)})
	central := bytes.LastIndex(packed, []byte("PK\x01\x02"))
	packed[central+24], packed[central+25] = 10, 0
	liar := filepath.Join(dir, "liar.zip")
	writeFile(t, liar, packed)

	// A member that claims four gigabytes.
	packed = bytes.Clone(packed)
	copy(packed[central+24:], "\xfe\xff\xff\xff")
	giant := filepath.Join(dir, "giant.zip")
	writeFile(t, giant, packed)

	// The first member needs a password.
	packed = zipBytes(t, zip.Store, member{"1.jpg", galaxyJPEG(1)}, member{"2.jpg", galaxyJPEG(2)})
	packed[6] |= 1
	packed[bytes.Index(packed, []byte("PK\x01\x02"))+8] |= 1
	encrypted := filepath.Join(dir, "encrypted.zip")
	writeFile(t, encrypted, packed)

	folder := filepath.Join(dir, "folder")
	writeFile(t, filepath.Join(folder, "1.jpg"), big)

	for _, c := range []struct{ path, want string }{
		{bomb, "too large"},
		{damaged, "checksum"},
		{liar, "not a valid zip file"},
		{giant, "too large"},
		{encrypted, "it is encrypted; unpack the zip with its password (7z x FILE.zip)"},
		{folder, "too large"},
	} {
		m, err := OpenImages(c.path, TrainingImages)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		_, err = m.Read(0, nil)
		wantError(t, err, c.want)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}

	m, err := OpenImages(folder, TrainingImages)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, "1.jpg")); err != nil {
		t.Fatal(err)
	}
	if _, err = m.Read(0, nil); !errors.Is(err, ErrUnread) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v of a file that was removed; want one that says nothing about the image", err)
	}
}

func FuzzZipImages(f *testing.F) {
	small := []byte("not a picture, but small")
	f.Add(zipBytes(f, zip.Store, member{"images/100008.jpg", small}, member{"images/100023.jpg", small}))
	f.Add(zipBytes(f, zip.Deflate, member{"100008.jpg", bytes.Repeat(small, 9)}))
	f.Add(zipBytes(f, zip.Store, member{"../1.jpg", small}))
	f.Add(zipBytes(f, zip.Store))
	inner := zipBytes(f, zip.Store, member{"100008.jpg", small})
	f.Add(zipBytes(f, zip.Store, member{"images_training_rev1.zip", inner}))
	f.Add(zipBytes(f, zip.Deflate, member{"images_training_rev1.zip", inner}))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := newZipImages(bytes.NewReader(file), int64(len(file)), TrainingImages)
		if err != nil {
			return
		}
		defer func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := m.index(false, namer{}); err != nil {
			return
		}
		if len(m.IDs()) == 0 || len(m.IDs()) != m.Len() || !slices.IsSortedFunc(m.IDs(), CompareIDs) {
			t.Errorf("ids %v", m.IDs())
		}
		for i := range min(m.Len(), 20) { // a small zip can hold many names for the same bytes
			b, err := m.Read(i, nil)
			if len(b) > DefaultMaxBytes || err == nil && b == nil {
				t.Errorf("Read(%d): %d bytes, %v", i, len(b), err)
			}
		}
	})
}
