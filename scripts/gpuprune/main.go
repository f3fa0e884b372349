// Command gpuprune keeps the machine code for one kind of GPU in shared libraries:
//
//	gpuprune -arch 90 LIBRARY…
//
// It changes the libraries in place. Their size stays: removed code becomes zeros, which
// compress to nothing. Code that is kept is decompressed if there is room for it, because
// the archive is packed with a better compressor than CUDA's.
package main

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/pierrec/lz4/v4"
)

func main() {
	arch := flag.Int("arch", 90, "compute capability to keep, without its point: 90 is Hopper's 9.0")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: gpuprune [-arch N] LIBRARY…")
		os.Exit(2)
	}
	for _, path := range flag.Args() {
		kept, removed, err := pruneLibrary(path, *arch)
		if err != nil {
			fmt.Fprintf(os.Stderr, "gpuprune: %s: %v\n", path, err)
			os.Exit(1)
		}
		fmt.Printf("%s: kept %.1f MB of machine code for %d, removed %.1f MB for others\n", path, float64(kept)/1e6, *arch, float64(removed)/1e6)
	}
}

// pruneLibrary prunes the section .nv_fatbin of an ELF file in place. It returns how
// many bytes of code, as they were stored, it kept and removed.
func pruneLibrary(path string, arch int) (kept, removed int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	e, err := elf.NewFile(f)
	if err != nil {
		return 0, 0, err
	}
	section := e.Section(".nv_fatbin")
	if section == nil {
		return 0, 0, errors.New("no section .nv_fatbin: expected a library with CUDA code")
	}
	data, err := section.Data()
	if err != nil {
		return 0, 0, err
	}
	if kept, removed, err = prune(data, arch); err != nil {
		return 0, 0, err
	}
	_, err = f.WriteAt(data, int64(section.Offset))
	return kept, removed, err
}

// The section is a sequence of containers, each with the same code for several kinds of
// GPU. NVIDIA does not document the format; these offsets were read off libraries of
// CUDA 11 and 12. All numbers are little-endian.
//
//	container: u32 magic, u16 version, u16 header size, u64 size of the entries
//	entry:     u16 kind, u16 version, u32 header size, u64 payload size (padded),
//	           u32 compressed size at 16, u32 arch at 28, u64 flags at 40,
//	           u64 decompressed size at 56
const (
	magic           = 0xba55ed50
	containerHeader = 16
	entryHeader     = 64 // at least
	kindPTX         = 1  // source, which the driver compiles for any newer GPU
	kindELF         = 2  // machine code, which runs only on its own major version
	flagLZ4         = 0x2000
)

type entry struct {
	header, payload []byte
}

func (e entry) kind() int     { return int(binary.LittleEndian.Uint16(e.header)) }
func (e entry) arch() int     { return int(binary.LittleEndian.Uint32(e.header[28:])) }
func (e entry) flags() uint64 { return binary.LittleEndian.Uint64(e.header[40:]) }

// serves reports whether a GPU of compute capability arch can use the entry.
func (e entry) serves(arch int) bool {
	if e.kind() == kindELF {
		return e.arch()/10 == arch/10 && e.arch() <= arch
	}
	return e.kind() == kindPTX && e.arch() <= arch
}

// prune keeps in every container the best entry for arch: machine code before source,
// and the newest of either. A container with none is an error, as the library would
// fail much later.
func prune(section []byte, arch int) (kept, removed int, err error) {
	for at := 0; at < len(section); {
		if section[at] == 0 { // padding between containers
			at++
			continue
		}
		rest := section[at:]
		if len(rest) < containerHeader || binary.LittleEndian.Uint32(rest) != magic {
			return 0, 0, fmt.Errorf("no container at offset %d: the format is not the one this program knows", at)
		}
		header, size := int(binary.LittleEndian.Uint16(rest[6:])), binary.LittleEndian.Uint64(rest[8:])
		if header < containerHeader || header > len(rest) || size > uint64(len(rest)-header) {
			return 0, 0, fmt.Errorf("the container at offset %d is longer than the section", at)
		}
		body := rest[header : header+int(size)]
		entries, err := split(body)
		if err != nil {
			return 0, 0, fmt.Errorf("container at offset %d: %w", at, err)
		}
		best := -1
		for i, e := range entries {
			if e.serves(arch) && (best < 0 || e.kind() > entries[best].kind() || e.kind() == entries[best].kind() && e.arch() > entries[best].arch()) {
				best = i
			}
		}
		if best < 0 {
			return 0, 0, fmt.Errorf("the container at offset %d has no code for %d", at, arch)
		}
		for i, e := range entries {
			if i == best {
				kept += len(e.payload)
			} else {
				removed += len(e.payload)
			}
		}
		only, err := entries[best].inflated(len(body))
		if err != nil {
			return 0, 0, fmt.Errorf("container at offset %d: %w", at, err)
		}
		clear(body[copy(body, only):])
		binary.LittleEndian.PutUint64(rest[8:], uint64(len(only)))
		at += header + int(size)
	}
	return kept, removed, nil
}

// split returns a container's entries, which alias body.
func split(body []byte) (entries []entry, err error) {
	for len(body) > 0 {
		if len(body) < entryHeader {
			return nil, errors.New("an entry is cut off")
		}
		header, payload := uint64(binary.LittleEndian.Uint32(body[4:])), binary.LittleEndian.Uint64(body[8:])
		if header < entryHeader || header > uint64(len(body)) || payload > uint64(len(body))-header {
			return nil, errors.New("an entry is longer than its container")
		}
		entries = append(entries, entry{body[:header:header], body[header : header+payload]})
		body = body[header+payload:]
	}
	return entries, nil
}

// inflated returns a copy of the entry, decompressed if it then takes room bytes at most.
func (e entry) inflated(room int) ([]byte, error) {
	packed, size := int(binary.LittleEndian.Uint32(e.header[16:])), binary.LittleEndian.Uint64(e.header[56:])
	padded := (size + 7) &^ 7
	if e.flags()&flagLZ4 == 0 || uint64(len(e.header))+padded > uint64(room) {
		return append(append([]byte{}, e.header...), e.payload...), nil
	}
	if packed > len(e.payload) {
		return nil, errors.New("an entry's compressed code is longer than the entry")
	}
	out := append(append([]byte{}, e.header...), make([]byte, padded)...)
	n, err := lz4.UncompressBlock(e.payload[:packed], out[len(e.header):][:size])
	if err == nil && uint64(n) != size {
		err = fmt.Errorf("%d bytes, expected %d", n, size)
	}
	if err != nil {
		return nil, fmt.Errorf("decompress an entry: %w", err)
	}
	binary.LittleEndian.PutUint64(out[8:], padded)
	binary.LittleEndian.PutUint32(out[16:], 0)
	binary.LittleEndian.PutUint64(out[40:], e.flags()&^flagLZ4)
	binary.LittleEndian.PutUint64(out[56:], 0)
	return out, nil
}
