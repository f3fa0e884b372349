package data

import (
	"context"
	"errors"
	"image"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"galaxy/data/imagefile"
	"galaxy/labels/labelstest"
)

// greyJPEG returns a grey JPEG that no other number has.
func greyJPEG(n int) []byte {
	m := image.NewGray(image.Rect(0, 0, 24, 24))
	for i := range m.Pix {
		m.Pix[i] = uint8(3*n + i/24)
	}
	return encodeJPEG(m)
}

// greySource makes n grey images of a schema that is not the challenge's, in the order of their ids.
// The images of the numbers in colours are in colour, those in broken are text.
func greySource(t *testing.T, n int, colours, broken []int) PrepareConfig {
	t.Helper()
	s := sourceOf(t, labelstest.Small(), n)
	slices.Sort(s.ids)
	for i, id := range s.ids {
		file := greyJPEG(i)
		if slices.Contains(colours, i) {
			file = encodeJPEG(flatPicture(color.RGBA{200, 30, uint8(i), 255}, 24))
		}
		if slices.Contains(broken, i) {
			file = []byte("no image")
		}
		writeFile(t, s.file(id), file)
	}
	c := s.config(filepath.Join(t.TempDir(), "cache"))
	c.Crop, c.MaxBroken = 0, len(broken)
	return c
}

// Grey images make a cache of one channel; a colour image among the first makes it one of three.
func TestPrepareGrey(t *testing.T) {
	const n = 40
	for _, c := range []struct {
		name            string
		colours, broken []int
		asked, want     imagefile.Bands
		skipped         int // images in colour
	}{
		{name: "all grey", want: imagefile.Grey},
		{name: "grey, as colour", asked: imagefile.RGB},
		{name: "the first in colour", colours: []int{0}},
		{name: "the last of the sample in colour", colours: []int{15}},
		{name: "one after the sample in colour", colours: []int{16}, want: imagefile.Grey, skipped: 1},
		{name: "one after the sample in colour, as grey", colours: []int{16}, asked: imagefile.Grey, want: imagefile.Grey},
		{name: "the first ones broken", broken: []int{0, 1, 2}, want: imagefile.Grey},
		{name: "the whole sample broken", broken: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := greySource(t, n, c.colours, c.broken)
			config.Bands = c.asked
			if c.skipped > 0 {
				_, err := Prepare(context.Background(), config, hashDecoder{})
				wantError(t, err, "a colour image, among grey ones", "take all images as colour with bands rgb or as grey with bands grey")
				config.MaxBroken += c.skipped
			}
			m, err := Prepare(context.Background(), config, hashDecoder{})
			if err != nil {
				t.Fatal(err)
			}
			if !m.Bands.Equal(c.want) || len(m.Broken) != len(c.broken)+c.skipped {
				t.Errorf("bands %v, broken %v, want %v", m.Bands, m.Broken, c.want)
			}
			checkChannels(t, config.Out, *m)
			// The same call again finds the cache, and one for other bands does not take it for its own.
			if again, err := Prepare(context.Background(), config, hashDecoder{}); err != nil || again.Checksum != m.Checksum {
				t.Errorf("again: %v", err)
			}
			config.Bands = imagefile.RGB
			if c.want.Equal(config.Bands) {
				config.Bands = imagefile.Grey
			}
			_, err = Prepare(context.Background(), config, hashDecoder{})
			wantError(t, err, "another choice of bands")
		})
	}
}

// checkChannels computes the statistics of a cache a second time and reads its images.
func checkChannels(t *testing.T, dir string, m Manifest) {
	t.Helper()
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	channels := m.Bands.Channels()
	if want := (imagefile.Shape{Size: testSize, Channels: channels}); c.Shape() != want || len(m.ChannelMean) != channels || len(m.ChannelStd) != channels {
		t.Fatalf("images of %v, %d means, want %v", c.Shape(), len(m.ChannelMean), want)
	}
	sum, squares := make([]float64, channels), make([]float64, channels)
	pixels := make([]byte, c.Shape().Bytes())
	for _, i := range c.Indices(Train) {
		if err := c.ReadImage(pixels, i); err != nil {
			t.Fatal(err)
		}
		for k, v := range pixels {
			sum[k%channels] += float64(v) / 255
			squares[k%channels] += float64(v) / 255 * float64(v) / 255
		}
	}
	count := float64(m.Counts.Train * testSize * testSize)
	for i := range channels {
		mean := sum[i] / count
		std := math.Sqrt(squares[i]/count - mean*mean)
		if math.Abs(m.ChannelMean[i]-mean) > 1e-12 || math.Abs(m.ChannelStd[i]-std) > 1e-12 {
			t.Errorf("channel %d: mean %v, std %v, want %v, %v", i, m.ChannelMean[i], m.ChannelStd[i], mean, std)
		}
	}
}

// A cache that another number of channels is written into is damaged.
func TestOpenRefusesOtherBands(t *testing.T) {
	m, err := Prepare(context.Background(), greySource(t, 20, nil, nil), hashDecoder{})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Manifest){
		"three channels for one": func(m *Manifest) { m.Bands = nil },
		"names twice":            func(m *Manifest) { m.Bands = imagefile.Bands{"g", "g"} },
		"nine":                   func(m *Manifest) { m.Bands = strings.Split("abcdefghi", "") },
		"none of the deviations": func(m *Manifest) { m.ChannelStd = nil },
	} {
		other := *m
		change(&other)
		text, err := other.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(text); !errors.Is(err, errAgain) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
