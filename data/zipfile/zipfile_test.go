package zipfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"
)

// A header is a member's, with its contents.
type header struct {
	zip.FileHeader
	body string
}

// zipOf returns a zip with raw contents: no name is checked, no method known.
func zipOf(t testing.TB, members ...header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		m.CompressedSize64 = uint64(len(m.body))
		if m.UncompressedSize64 == 0 {
			m.UncompressedSize64 = m.CompressedSize64
		}
		w, err := z.CreateRaw(&m.FileHeader)
		if err == nil {
			_, err = io.WriteString(w, m.body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func named(names ...string) (all []header) {
	for _, n := range names {
		all = append(all, header{FileHeader: zip.FileHeader{Name: n}})
	}
	return all
}

func namesOf(t testing.TB, z []byte) (names []string) {
	t.Helper()
	files, err := Read(bytes.NewReader(z), int64(len(z)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

func encoded(t testing.TB, e encoding.Encoding, name string) string {
	t.Helper()
	s, err := e.NewEncoder().String(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNames(t *testing.T) {
	// The second byte of 表 in Shift-JIS, and of 刓 in GBK, is that of a backslash.
	hyou, wan := encoded(t, japanese.ShiftJIS, "表"), encoded(t, simplifiedchinese.GBK, "刓")
	if hyou[1] != '\\' || wan[1] != '\\' {
		t.Fatalf("%q and %q have no backslash", hyou, wan)
	}
	for _, c := range []struct {
		name      string
		raw, want []string
	}{
		{"slashes", []string{"a/", "a/1.jpg", "2.jpg"}, []string{"a/1.jpg", "2.jpg"}},
		{"backslashes", []string{`a\`, `a\b\1.jpg`, "2.jpg"}, []string{"a/b/1.jpg", "2.jpg"}},
		{"both", []string{`a/b\1.jpg`}, []string{"a/b/1.jpg"}},
		{"dots", []string{"./a/1.jpg", "../2.jpg", "a/../../3.jpg", `..\4.jpg`}, []string{"a/1.jpg", "2.jpg", "3.jpg", "4.jpg"}},
		{"roots", []string{"/1.jpg", `C:\a\2.jpg`, "D:3.jpg", "//server/4.jpg"}, []string{"1.jpg", "a/2.jpg", "3.jpg", "server/4.jpg"}},
		{"UTF-8", []string{"ä/表.jpg", `ä\刓.jpg`}, []string{"ä/表.jpg", "ä/刓.jpg"}},
		{"Shift-JIS and slashes", []string{hyou + "/1.jpg", "a/" + hyou + "2.jpg"}, []string{`ò\/1.jpg`, `a/ò\2.jpg`}},
		{"GBK and backslashes", []string{wan + `\1.jpg`, `a\` + wan + "2.jpg"}, []string{`ä\/1.jpg`, `a/ä\2.jpg`}},
		{"Latin-1", []string{"\xe4/1.jpg", "\xe5/1.jpg"}, []string{"Σ/1.jpg", "σ/1.jpg"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := namesOf(t, zipOf(t, named(c.raw...)...)); !slices.Equal(got, c.want) {
				t.Errorf("%q: got %q; want %q", c.raw, got, c.want)
			}
		})
	}
}

// Whatever bytes the names are, the paths are printable ones below the zip, and the same at every
// reading; two names that are neither UTF-8 nor have separators stay different.
func TestAnyName(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		letters := rapid.SampledFrom([]byte("a.\\/:\x81\x95\xc3\xe4\xa4\xff "))
		name := rapid.Map(rapid.SliceOfN(letters, 1, 8), func(b []byte) string { return string(b) })
		raw := rapid.SliceOfN(name, 1, 4).Draw(rt, "names")
		z := zipOf(t, named(raw...)...)
		got := namesOf(t, z)
		if again := namesOf(t, z); !slices.Equal(got, again) {
			rt.Errorf("%q, then %q", got, again)
		}
		for _, name := range got {
			if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || filepath.IsAbs(name) || slices.Contains(strings.Split(name, "/"), "..") {
				rt.Errorf("%q became %q", raw, got)
			}
		}
	})
	seen := map[string]int{}
	for b := 0x80; b <= 0xff; b++ {
		name := namesOf(t, zipOf(t, named(fmt.Sprintf("%c\xff", 'a')+string([]byte{byte(b)}))...))[0]
		if first, twice := seen[name]; twice {
			t.Errorf("bytes %x and %x are both %q", first, b, name)
		}
		seen[name] = b
	}
}

func TestHidden(t *testing.T) {
	for name, want := range map[string]bool{
		"1.jpg": false, "a.b/1.jpg": false, "MACOSX/1.jpg": false,
		".1.jpg": true, "a/.1.jpg": true, ".a/1.jpg": true, "a/.b/1.jpg": true, "__MACOSX/a/._1.jpg": true, "a/__MACOSX/1.jpg": true, "a/": true, "": true,
	} {
		if Hidden(name) != want {
			t.Errorf("Hidden(%q) = %t", name, !want)
		}
	}
}

func TestMethods(t *testing.T) {
	const text = "a small file, a small file, a small file"
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	with := func(method, flags uint16, body string) header {
		h := header{FileHeader: zip.FileHeader{Name: "a", Method: method, Flags: flags}, body: body}
		h.CRC32, h.UncompressedSize64 = crc32.ChecksumIEEE([]byte(text)), uint64(len(text))
		return h
	}
	for _, c := range []struct {
		name   string
		member header
		want   string // of the error
	}{
		{"stored", with(zip.Store, 0, text), ""},
		{"zstd", with(methodZstd, 0, string(e.EncodeAll([]byte(text), nil))), ""},
		{"Deflate64", with(9, 0, "x"), "Deflate64 (method 9 of zips), which is not read; unpack the zip (7z x FILE.zip)"},
		{"LZMA", with(14, 0, "x"), "LZMA (method 14"},
		{"new", with(77, 0, "x"), "an unknown method (method 77"},
		{"encrypted", with(zip.Store, 1, text), "encrypted; unpack the zip with its password"},
		{"encrypted by AES", with(99, 1, text), "encrypted; unpack the zip with its password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := zipOf(t, c.member)
			files, err := Read(bytes.NewReader(z), int64(len(z)))
			if err != nil {
				t.Fatal(err)
			}
			r, err := Open(files[0])
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v; want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != text {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// A zip of more than 65,535 members is a zip64.
func TestZip64(t *testing.T) {
	var members []header
	for i := range 1<<16 + 2 {
		members = append(members, named(fmt.Sprintf(`a\%d.jpg`, i))...)
	}
	names := namesOf(t, zipOf(t, members...))
	if len(names) != len(members) || names[70] != "a/70.jpg" {
		t.Errorf("%d names, %q", len(names), names[70])
	}
}

func TestParts(t *testing.T) {
	whole := zipOf(t, named("a", "b")...)
	for name, z := range map[string][]byte{"nothing": nil, "cut": whole[:40], "text": []byte("hello")} {
		if _, err := Read(bytes.NewReader(z), int64(len(z))); !errors.Is(err, ErrNotZip) {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := bytes.Clone(whole)
	last[bytes.LastIndex(last, []byte("PK\x05\x06"))+4] = 1
	if _, err := Read(bytes.NewReader(last), int64(len(last))); err == nil || !strings.Contains(err.Error(), "last part of a split zip") {
		t.Errorf("the last part: %v", err)
	}
}

// TestSplitByZip splits a zip with the program that the advice names, and joins it as advised.
func TestSplitByZip(t *testing.T) {
	program, err := exec.LookPath("zip")
	if err != nil {
		t.Skip("there is no zip program here")
	}
	dir := t.TempDir()
	noise := make([]byte, 200<<10)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.bin"), noise, 0o666); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("zip %q: %v: %s", args, err, out)
		}
	}
	read := func(name string) ([]*zip.File, error) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return Read(bytes.NewReader(b), int64(len(b)))
	}
	run("-s", "64k", "parts.zip", "a.bin")
	if _, err := read("parts.zip"); err == nil || !strings.Contains(err.Error(), "last part of a split zip") {
		t.Errorf("the last part: %v", err)
	}
	if _, err := read("parts.z01"); !errors.Is(err, ErrNotZip) {
		t.Errorf("the first part: %v", err)
	}
	run("-s", "0", "parts.zip", "--out", "whole.zip")
	if files, err := read("whole.zip"); err != nil || len(files) != 1 {
		t.Errorf("the whole: %v, %v", files, err)
	}
}
