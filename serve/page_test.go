package serve_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"testing"

	"galaxy/internal/browsertest"
	"galaxy/serve"
)

// pageModel is a model that explains itself.
func pageModel(t *testing.T) *serve.Model {
	_, m := network(t, 3)
	m.Project = true
	m.GradCAM = func(images []byte, outputs []int) (maps [][]float32, err error) {
		if len(images) != bytes1 || len(outputs) != 1 || outputs[0] > 1 {
			return nil, fmt.Errorf("%d bytes, outputs %v", len(images), outputs)
		}
		return [][]float32{{0, 1, 2, 3}}, nil
	}
	m.Neighbours = func([]byte) ([]serve.Neighbour, error) {
		return []serve.Neighbour{{ID: "<i>77</i>", Pixels: make([]byte, bytes1), Similarity: .875}}, nil
	}
	return m
}

// form returns a form with files, by pairs of name and contents, and its type.
func form(t *testing.T, field string, files ...string) (body *bytes.Buffer, kind string) {
	t.Helper()
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	for i := 0; i < len(files); i += 2 {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"; filename="%s"`, field, files[i])}}
		if field == "example" {
			h.Set("Content-Disposition", `form-data; name="example"`)
		}
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = part.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

// What the page says without a script: probabilities, the most that they move, explanations; and nothing that a client sends
// is HTML, or stays.
func TestPage(t *testing.T) {
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	url, _ := start(t, pageModel(t), func(c *serve.Config) { c.MaxPixels = 1 << 20 })
	send := func(body *bytes.Buffer, kind string) (int, string, http.Header) {
		r, err := http.Post(url+"/", kind, body)
		if err != nil {
			t.Fatal(err)
		}
		code, text := read(t, r)
		return code, text, r.Header
	}
	code, text, header := send(form(t, "images", "<script>alert(1)<!--.png", string(picture(1)), "broken.png", "<b>no</b>", "c.png", string(picture(4)), "huge.jpg", string(huge())))
	for _, want := range []string{
		"&lt;script&gt;alert(1)&lt;!--.png", "&lt;script&gt;alert(1)&lt;/script&gt;?", "&lt;b&gt;A&lt;/b&gt;", "&lt;i&gt;77&lt;/i&gt; (0.875)",
		"66.7\u00a0%", "44.4\u00a0%", "Where it looked for “&lt;b&gt;A&lt;/b&gt;”", "broken.png", "huge.jpg", "the image is 60000×60000 pixels; expected at most", "<p class=\"warning\">the file is a text file; expected an image: JPEG, PNG, TIFF, WebP or BMP</p>", "up to 8: JPEG, PNG, TIFF, WebP or BMP, each",
		"an answer moves by up to 33.3 percentage points", "33.3–66.7\u00a0%", "http://" + strings.TrimPrefix(url, "http://") + "/v1/models/galaxy:predict",
	} {
		if code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%d, the page has no %q", code, want)
		}
	}
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "<b>") || strings.Contains(text, "<i>") {
		t.Error("a name is HTML")
	}
	policy := header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "connect-src 'none'"} {
		if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
			t.Errorf("policy %s", policy)
		}
	}
	if header.Get("Set-Cookie") != "" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", header)
	}
	if _, text := get(t, url+"/"); strings.Contains(text, "c.png") || !strings.Contains(text, `name="example" value="192007"`) {
		t.Error("the next client sees an earlier one's image, or no example")
	}
	if files, err := os.ReadDir(scratch); err != nil || len(files) > 0 {
		t.Errorf("files on the disk: %v %v", files, err)
	}
	if code, text, _ := send(form(t, "example", "", "192007")); code != http.StatusOK || !strings.Contains(text, "example 192007") {
		t.Errorf("the example: %d", code)
	}
	many := strings.Split(strings.Repeat("a.png,x,", 9), ",")
	for name, test := range map[string]struct {
		field   string
		files   []string
		message string
	}{
		"nothing":         {"images", nil, "no image was chosen"},
		"an empty file":   {"images", []string{"", ""}, "no image was chosen"},
		"another field":   {"x", []string{"a", "b"}, "no image was chosen"},
		"too many":        {"images", many[:18], "More than 8 images: choose up to 8, or send up to 256 by the API"},
		"another example": {"example", []string{"", "../page.go"}, "there is no example &#34;../page.go&#34;"},
	} {
		if code, text, _ := send(form(t, test.field, test.files...)); code != http.StatusBadRequest || !strings.Contains(text, test.message) {
			t.Errorf("%s: %d, expected %q", name, code, test.message)
		}
	}
	if code, text, _ := send(bytes.NewBufferString("x"), "text/plain"); code != http.StatusBadRequest || !strings.Contains(text, "multipart/form-data") {
		t.Errorf("no form: %d", code)
	}
	if code, _, _ := send(bytes.NewBufferString("x"), "multipart/form-data; boundary=b"); code != http.StatusBadRequest {
		t.Errorf("half a form: %d", code)
	}
}

// Without a catalogue the page says why, and without a question that some are not asked it speaks of no volunteers.
func TestPageAlone(t *testing.T) {
	m := pageModel(t)
	m.Neighbours, m.Alone = nil, "the run's cache is no longer at <b>; start the service with --data CACHE"
	url, _ := start(t, m, nil)
	body, kind := form(t, "images", "a.png", string(picture(1)))
	r, err := http.Post(url+"/", kind, body)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := read(t, r); code != http.StatusOK || !strings.Contains(text, "not shown: the run&#39;s cache is no longer at &lt;b&gt;; start the service with --data CACHE.") || strings.Contains(text, "would be asked this") {
		t.Errorf("%d %s", code, text)
	}
}

// In a browser, with and without scripts, on a phone and with a pasted image.
func TestPageInBrowser(t *testing.T) {
	browser := browsertest.Start(t)
	url, _ := start(t, pageModel(t), nil)
	for name, o := range map[string]browsertest.Options{
		"narrow": {Width: 345}, "dark": {Dark: true, Width: 1600}, "without scripts": {Width: 360, NoScripts: true},
	} {
		t.Run(name, func(t *testing.T) {
			tab := browser.Open(t, url, o)
			check := func() {
				if wide := tab.WideElements(); len(wide) > 0 {
					t.Errorf("too wide: %q", wide)
				}
				if !o.NoScripts {
					tab.Axe()
				}
			}
			check()
			if side := browsertest.Eval[float64](tab, `document.querySelector("button[name=example]").getBoundingClientRect().width`); side < 100 {
				t.Errorf("an example is %v px wide: too small to see or tap", side)
			}
			tab.Click("button[name=example]")
			if got := tab.Text(".verdict"); !strings.Contains(got, "%") {
				t.Errorf("the answer is %q", got)
			}
			check()
		})
	}
	t.Run("paste", func(t *testing.T) {
		tab := browser.Open(t, url, browsertest.Options{})
		browsertest.Eval[bool](tab, `(() => {
			const bytes = Uint8Array.from(atob("`+b64(picture(1))+`"), c => c.charCodeAt(0));
			const data = new DataTransfer();
			data.items.add(new File([bytes], "pasted.png", {type: "image/png"}));
			dispatchEvent(new ClipboardEvent("paste", {clipboardData: data}));
			return true;
		})()`)
		if got := tab.Text("article h3"); got != "pasted.png" {
			t.Errorf("the pasted image is %q", got)
		}
	})
}
