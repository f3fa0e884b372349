package data

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"galaxy/internal/ahead"
	"galaxy/internal/durable"
	"galaxy/internal/usage"
	"galaxy/labels"
)

// blockImages is the number of images passed together between goroutines: enough to
// make this cheap, few enough that all workers end at the same time.
const blockImages = 16

// flushBytes is about how much is written before it is synced: early, because at the end
// there is nothing else to do meanwhile, and in large parts, because each is waited for.
const flushBytes = 32 << 20

// A block is a sequence of images that passes from a worker to the file.
type block struct {
	rows   []int    // of the catalogue
	pixels []byte   // room for blockImages images; the good ones, packed
	good   []int    // indices into rows
	sums   []uint64 // xxh3 of each good image
	broken []Broken
	err    error // ErrUnread of one
	// Over the pixels of the good images of the train split, which have channels.
	channels                   int
	channelSum, channelSquares channelTotals
	stretched                  bool
	channelHoles               channelTotals // pixels of 0, if stretched
}

// write fills the cache folder dir, or resumes an unfinished one.
func (p *preparer) write(ctx context.Context, dir string, begun bool) (err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	row := p.manifest.Shape().Bytes()
	pixels, err := os.OpenFile(filepath.Join(dir, imagesName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pixels.Close()) }()
	examples, err := os.OpenFile(filepath.Join(dir, examplesName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, examples.Close()) }()
	hash := xxh3.New()
	if begun {
		if err := p.reuse(ctx, pixels, examples, hash, row); err != nil {
			return err
		}
	}
	if p.config.Progress != nil {
		p.config.Progress(p.done, len(p.todo))
	}
	if err := p.decodeAll(ctx, pixels, io.MultiWriter(examples, hash), row); err != nil {
		return err
	}
	if err := p.finish(dir); err != nil {
		return err
	}
	p.manifest.ExamplesChecksum = hex(hash.Sum64())
	if p.manifest.Version == CacheVersionIDs {
		p.manifest.IDsChecksum = hex(xxh3.Hash(p.ids))
		if err := os.WriteFile(filepath.Join(dir, idsName), p.ids, 0o666); err != nil {
			return err
		}
	}
	text, err := p.manifest.encode()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), text, 0o666)
}

// decodeAll decodes the images that are left and appends them to pixels, and their
// records to examples. The disk stores finished blocks while others are decoded.
func (p *preparer) decodeAll(ctx context.Context, pixels *os.File, examples io.Writer, row int) (err error) {
	flusher, ctx := errgroup.WithContext(ctx)
	flush := make(chan struct{}, 1)
	flusher.Go(func() error {
		for range flush {
			if err := durable.Sync(pixels.Name()); err != nil {
				return err
			}
		}
		return nil
	})
	defer func() {
		close(flush)
		if e := flusher.Wait(); e != nil {
			err = e // which ended everything else
		}
	}()

	todo := p.todo[p.done:]
	blocks := (len(todo) + blockImages - 1) / blockImages
	flushBlocks, next := max(1, flushBytes/(blockImages*row)), 0
	work := ahead.Work[*block]{
		Blocks: blocks, Workers: min(p.config.Workers, blocks),
		Start: func(b *block, seq int) int {
			b.rows = todo[seq*blockImages : min((seq+1)*blockImages, len(todo))]
			return 1
		},
		Fill: func(b *block, _ int, file []byte) []byte { return p.decode(b, row, file) },
		Use: func(b *block) error {
			if b.err != nil {
				return b.err
			}
			records := p.account(b)
			// Records are written second: if there is a record, its image is there too.
			if _, err := pixels.Write(b.pixels[:len(b.good)*row]); err != nil {
				return err
			}
			if _, err := examples.Write(records); err != nil {
				return err
			}
			if next++; next%flushBlocks == 0 {
				select {
				case flush <- struct{}{}:
				default: // the disk has not finished the previous part yet
				}
			}
			if p.config.Progress != nil {
				p.config.Progress(p.done, len(p.todo))
			}
			return nil
		},
	}
	for range min(p.config.Workers+p.config.Workers/2+2, blocks) {
		work.Buffers = append(work.Buffers, p.newBlock())
	}
	return work.Run(ctx)
}

// reuse keeps what an earlier call has written, as far as it is intact and equals what
// this call would write. It leaves both files positioned at the end of that.
func (p *preparer) reuse(ctx context.Context, pixels, examples *os.File, hash *xxh3.Hasher, row int) error {
	b := p.newBlock()
	record := p.recordBytes()
	stored := make([]byte, blockImages*record)
	var file []byte
	good := 0 // reused examples
	for p.done < len(p.todo) {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.rows = p.todo[p.done:min(p.done+blockImages, len(p.todo))]
		var whole bool
		var err error
		if file, whole, err = p.recall(b, pixels, examples, good, stored, file); err != nil {
			return err
		}
		if !whole {
			break
		}
		_, _ = hash.Write(p.account(b)) // never fails
		good += len(b.good)
	}
	if good > 0 {
		p.notice("going on with %s: %d of %s done", PartialFolder(p.config.Out), p.done, usage.Count(len(p.todo), "image"))
	}
	var errs []error
	for f, size := range map[*os.File]int{pixels: row, examples: record} {
		end := int64(good) * int64(size)
		_, err := f.Seek(end, io.SeekStart)
		errs = append(errs, f.Truncate(end), err)
	}
	return errors.Join(errs...)
}

// recall fills b, whose rows are set, from the files of an earlier call after their first
// good examples. It reports whether all of b is intact: an image without a record must
// still be broken. stored and file are buffers. An error is one of the machine.
func (p *preparer) recall(b *block, pixels, examples io.ReaderAt, good int, stored, file []byte) (_ []byte, whole bool, err error) {
	record := p.recordBytes()
	n, err := examples.ReadAt(stored, int64(good)*int64(record)) // fewer at the end of the file
	if durable.IsSystem(err) {
		return file, false, err
	}
	stored = stored[:n-n%record]
	b.reset()
	row := len(b.pixels) / blockImages
	for i, r := range b.rows {
		id := p.catalog.IDs[r]
		dst := b.pixels[len(b.good)*row:][:row]
		rest := stored[len(b.good)*record:]
		switch {
		case len(rest) == 0:
			return file, false, nil
		case int64(binary.LittleEndian.Uint64(rest[recordID:])) == id.key():
			if _, err := pixels.ReadAt(dst, int64(good+len(b.good))*int64(row)); durable.IsSystem(err) {
				return file, false, err
			} else if err != nil {
				return file, false, nil
			}
			b.add(i, dst, p.splits[r])
			if !bytes.Equal(p.record(r, b.sums[len(b.sums)-1]), rest[:record]) {
				return file, false, nil
			}
		default:
			var err error
			if file, err = p.decodeImage(dst, r, file); err == nil {
				return file, false, nil
			}
			if errors.Is(err, ErrUnread) {
				return file, false, err
			}
			b.broken = append(b.broken, Broken{ID: id, Reason: err.Error()})
		}
	}
	return file, true, nil
}

// decode does the work of one block, up to an image that the machine fails to read. It
// returns the buffer for files, which grows with the largest.
func (p *preparer) decode(b *block, row int, file []byte) []byte {
	b.reset()
	for i, r := range b.rows {
		id := p.catalog.IDs[r]
		dst := b.pixels[len(b.good)*row:][:row]
		var err error
		if file, err = p.decodeImage(dst, r, file); errors.Is(err, ErrUnread) {
			b.err = err
			return file
		}
		if err != nil {
			b.broken = append(b.broken, Broken{ID: id, Reason: err.Error()})
			continue
		}
		b.add(i, dst, p.splits[r])
	}
	return file
}

// decodeImage reads and decodes the image of a row into dst. The error is the reason why
// the image is broken, or ErrUnread. It returns the buffer for files, which may have grown.
func (p *preparer) decodeImage(dst []byte, row int, file []byte) ([]byte, error) {
	i, _ := p.images.Find(p.catalog.image(row)) // match has found it
	return p.images.Decode(dst, i, p.decoder, file)
}

func (p *preparer) newBlock() *block {
	shape := p.manifest.Shape()
	return &block{pixels: make([]byte, blockImages*shape.Bytes()), channels: shape.Channels, stretched: !p.manifest.Stretch.IsZero()}
}

func (b *block) reset() {
	b.good, b.sums, b.broken, b.err = b.good[:0], b.sums[:0], b.broken[:0], nil
	b.channelSum, b.channelSquares, b.channelHoles = channelTotals{}, channelTotals{}, channelTotals{}
}

// add records that the image of rows[i] is good and has these pixels.
func (b *block) add(i int, pixels []byte, split Split) {
	b.good = append(b.good, i)
	b.sums = append(b.sums, xxh3.Hash(pixels))
	if split == Train {
		addChannels(pixels, b.channels, &b.channelSum, &b.channelSquares)
		if b.stretched {
			addHoles(pixels, b.channels, &b.channelHoles)
		}
	}
}

// account adds a block to the totals and returns its records of examples.bin.
func (p *preparer) account(b *block) []byte {
	m := &p.manifest
	records := make([]byte, 0, len(b.good)*p.recordBytes())
	for k, i := range b.good {
		fractions := p.catalog.Row(b.rows[i])
		split := p.splits[b.rows[i]]
		m.Counts.add(split)
		if split == Train {
			for j, v := range fractions {
				p.columnSum[j] += float64(v)
			}
		}
		if p.config.Schema.CheckSums(fractions, labels.SumTolerance) != nil {
			m.SumRuleBreaks++
		}
		records = append(records, p.record(b.rows[i], b.sums[k])...)
		if id := p.catalog.IDs[b.rows[i]]; id.key() < 0 {
			p.ids = append(append(p.ids, id...), '\n')
		}
	}
	m.Examples += len(b.good)
	m.Broken = append(m.Broken, b.broken...)
	for c := range b.channels {
		p.channelSum[c] += b.channelSum[c]
		p.channelSquares[c] += b.channelSquares[c]
		p.channelHoles[c] += b.channelHoles[c]
	}
	p.done += len(b.rows)
	return records
}

func (p *preparer) recordBytes() int { return recordBytes(p.config.Schema.Width()) }

// record returns the record of examples.bin for a row of the catalogue whose
// image has the given xxh3.
func (p *preparer) record(row int, sum uint64) []byte {
	id := p.catalog.IDs[row]
	r := make([]byte, p.recordBytes())
	binary.LittleEndian.PutUint64(r[recordID:], uint64(id.key()))
	binary.LittleEndian.PutUint64(r[recordSum:], sum)
	r[recordSplit] = byte(p.splits[row])
	for j, v := range p.catalog.Row(row) {
		binary.LittleEndian.PutUint32(r[recordLabels+4*j:], math.Float32bits(v))
	}
	return r
}
