package train

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Every value of a Plan reads the text it writes, and rejects other texts with an error
// that lists the possible ones.
func TestValues(t *testing.T) {
	value := func(v any) encoding.TextUnmarshaler {
		p := reflect.New(reflect.TypeOf(v))
		p.Elem().Set(reflect.ValueOf(v))
		return p.Interface().(encoding.TextUnmarshaler)
	}
	for _, c := range []struct {
		text string
		want any // a value, or part of the error for a zero value
		zero any
	}{
		{text: "0", want: Duration{}}, {text: "500", want: Duration{500, Steps}}, {text: "5%", want: Duration{5, Percent}}, {text: "0.5%", want: Duration{.5, Percent}},
		{text: "1epoch", want: Duration{1, Epochs}}, {text: "2.5epochs", want: Duration{2.5, Epochs}},
		{"soon", "expected steps (500), epochs (2epochs) or a percentage", Duration{}}, {"-1", "expected steps", Duration{}}, {"NaN", "expected steps", Duration{}}, {"Inf", "expected steps", Duration{}},
		{text: "0", want: Every{}}, {text: "10m0s", want: Every{Time: 10 * time.Minute}}, {text: "1epoch,10m0s", want: Every{Duration{1, Epochs}, 10 * time.Minute}},
		{"1,2", "at most one number of steps and one time", Every{}}, {"1s,2s", "at most one number of steps and one time", Every{}}, {"soon", "or a time (10m)", Every{}}, {"-1s", "or a time (10m)", Every{}},
		{text: "", want: Phases(nil)}, {text: "32:40%,48:2epochs", want: Phases{{32, Duration{40, Percent}}, {48, Duration{2, Epochs}}}},
		{"32", "expected SIZE:DURATION", Phases{}}, {"x:1", "expected SIZE:DURATION", Phases{}}, {"32:soon", "expected steps", Phases{}}, {"32:1,", "expected SIZE:DURATION", Phases{}},
		{text: "7", want: Count(7)}, {"0", "expected a whole number of 1 or more", Count(0)}, {"1.5", "expected a whole number", Count(0)},
		{text: "1m30s", want: Time(90 * time.Second)}, {"10", "with its unit", Time(0)}, {"0s", "above 0", Time(0)},
		{text: "auto", want: AutoBatch}, {text: "32", want: Batch(32)}, {"-1", "or auto", Batch(0)}, {"many", "or auto", Batch(0)},
		{text: "device", want: OnDevice}, {"cache", "expected host, device or features; the folder made by galaxy prepare is cache.path", OnHost},
		{text: "", want: Weights{}}, {text: "balanced", want: Weights{Balanced: true}}, {text: "1,0.5", want: Weights{Values: []float64{1, .5}}}, {"1;2", "numbers with commas", Weights{}},
		{text: "best", want: RecipeName("best")}, {text: "", want: RecipeName("")}, {"worst", "expected original, best or short", RecipeName("")},
	} {
		want, fails := c.want.(string)
		if !fails {
			c.zero = reflect.Zero(reflect.TypeOf(c.want)).Interface()
		}
		v := value(c.zero)
		err := v.UnmarshalText([]byte(c.text))
		if fails {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%T of %q: %v, expected %q", c.zero, c.text, err, want)
			}
			continue
		}
		got := reflect.ValueOf(v).Elem().Interface()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%T of %q: %v, %v", c.zero, c.text, got, err)
		}
		if text := fmt.Sprint(got); text != c.text {
			t.Errorf("%T of %q is written %q", got, c.text, text)
		}
	}
}

func TestDurationIn(t *testing.T) {
	for _, c := range []struct {
		d    Duration
		want int64
	}{
		{Duration{}, 0}, {Duration{0, Percent}, 0}, {Duration{7, Steps}, 7}, {Duration{2, Epochs}, 40}, {Duration{5, Percent}, 50},
		{Duration{.001, Percent}, 1}, // more than 0 is at least a step
		{Duration{.26, Percent}, 3}, {Duration{1e12, Epochs}, -1}, {Duration{1e300, Percent}, -1},
	} {
		got, err := c.d.In(20, 1000)
		if err != nil {
			got = -1
		}
		if got != c.want {
			t.Errorf("%v of 1000 steps, 20 an epoch: %d (%v), expected %d", c.d, got, err, c.want)
		}
	}
}
