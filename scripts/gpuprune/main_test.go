package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// entryOf is an entry with a payload of LZ4 data that decompresses to size bytes, or
// plain where size is 0.
func entryOf(kind, arch int, payload []byte, size int) []byte {
	padded := (len(payload) + 7) &^ 7
	e := make([]byte, entryHeader+padded)
	binary.LittleEndian.PutUint16(e, uint16(kind))
	binary.LittleEndian.PutUint32(e[4:], entryHeader)
	binary.LittleEndian.PutUint64(e[8:], uint64(padded))
	binary.LittleEndian.PutUint32(e[28:], uint32(arch))
	if size > 0 {
		binary.LittleEndian.PutUint32(e[16:], uint32(len(payload)))
		binary.LittleEndian.PutUint64(e[40:], 0x11|flagLZ4)
		binary.LittleEndian.PutUint64(e[56:], uint64(size))
	}
	copy(e[entryHeader:], payload)
	return e
}

func containerOf(entries ...[]byte) []byte {
	body := bytes.Join(entries, nil)
	c := binary.LittleEndian.AppendUint32(nil, magic)
	c = binary.LittleEndian.AppendUint16(c, 1)
	c = binary.LittleEndian.AppendUint16(c, containerHeader)
	return append(binary.LittleEndian.AppendUint64(c, uint64(len(body))), body...)
}

// packed is LZ4 for text: two literals, a match of 9 from 2 back, three literals.
var packed, text = []byte{0x25, 'a', 'b', 2, 0, 0x30, 'E', 'N', 'D'}, "abababababaEND"

func TestPrune(t *testing.T) {
	other := bytes.Repeat([]byte{0xee}, 24)
	section := bytes.Join([][]byte{
		containerOf(entryOf(kindELF, 80, other, 0), entryOf(kindELF, 90, packed, len(text)), entryOf(kindPTX, 90, other, 0)),
		make([]byte, 8), // padding
		containerOf(entryOf(kindPTX, 80, []byte("source of 80"), 0), entryOf(kindELF, 75, other, 0)),
	}, nil)
	size := len(section)
	kept, removed, err := prune(section, 90)
	if err != nil {
		t.Fatal(err)
	}
	if len(section) != size || kept != 16+16 || removed != 3*24 {
		t.Errorf("%d bytes, kept %d, removed %d: expected %d, 32 and 72", len(section), kept, removed, size)
	}
	if bytes.Contains(section, other[:8]) {
		t.Error("code for another GPU is left")
	}
	first := section[containerHeader:]
	entries, err := split(first[:binary.LittleEndian.Uint64(section[8:])])
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, %v: expected one", len(entries), err)
	}
	if e := entries[0]; e.arch() != 90 || e.kind() != kindELF || e.flags() != 0x11 || !strings.HasPrefix(string(e.payload), text) {
		t.Errorf("entry of arch %d, kind %d, flags %#x, %q: expected the machine code for 90, decompressed", e.arch(), e.kind(), e.flags(), e.payload)
	}
	if !bytes.Contains(section, []byte("source of 80")) {
		t.Error("where there is no machine code for 90 the source is to stay")
	}
}

func TestPruneKeepsPackedWithoutRoom(t *testing.T) {
	section := containerOf(entryOf(kindELF, 90, append([]byte{0x15, 'a', 1, 0}, []byte{0x10, 'b'}...), 11))
	// 8 bytes of payload, 16 decompressed and padded: the container has no room.
	before := bytes.Clone(section)
	if _, _, err := prune(section, 90); err != nil || !bytes.Equal(section, before) {
		t.Errorf("%v: expected the container as it was", err)
	}
}

func TestPruneErrors(t *testing.T) {
	whole := func() []byte { return containerOf(entryOf(kindELF, 90, packed, len(text)), make([]byte, 0)) }
	for name, c := range map[string]struct {
		section []byte
		want    string
	}{
		"no code":  {containerOf(entryOf(kindELF, 80, packed, 0)), "no code for 90"},
		"cut":      {whole()[:40], "longer than the section"},
		"foreign":  {[]byte("something else entirely"), "no container"},
		"damaged":  {containerOf(entryOf(kindELF, 90, []byte{0x15, 'a', 9, 0}, 8), entryOf(kindELF, 80, packed, 0)), "decompress"},
		"entry":    {containerOf(entryOf(kindELF, 90, packed, 0)[:60]), "cut off"},
		"too long": {containerOf(entryOf(kindELF, 90, packed, len(text)-1), entryOf(kindELF, 80, packed, 0)), "decompress"},
	} {
		if _, _, err := prune(c.section, 90); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: expected %q", name, err, c.want)
		}
	}
}
