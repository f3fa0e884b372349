package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const in = `{"Action":"start","Package":"a"}
{"Action":"build-output","ImportPath":"b","Output":"b/b.go:1:1: no such thing\n"}
{"Action":"build-fail","ImportPath":"b"}
{"Action":"fail","Package":"b","Elapsed":0,"FailedBuild":"b"}
no JSON
{"Action":"run","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"of no interest\n"}
{"Action":"pass","Package":"a","Test":"TestGood","Elapsed":7.4}
{"Action":"output","Package":"a","Test":"TestLong","Output":"=== RUN   TestLong\n"}
{"Action":"output","Package":"a","Test":"TestLong","Output":"    a_test.go:5: -short: it takes an hour\n"}
{"Action":"output","Package":"a","Test":"TestLong","Output":"--- SKIP: TestLong (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestLong","Elapsed":0}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t7.412s\n"}
{"Action":"pass","Package":"a","Elapsed":7.412}
{"Action":"output","Package":"c","Test":"TestBad/part","Output":"    c_test.go:6: one, expected two\n"}
{"Action":"fail","Package":"c","Test":"TestBad/part","Elapsed":1}
{"Action":"output","Package":"c","Test":"TestBad","Output":"--- FAIL: TestBad (1.00s)\n"}
{"Action":"fail","Package":"c","Test":"TestBad","Elapsed":1}
{"Action":"output","Package":"c","Test":"TestGPU","Output":"    c_test.go:9: there is no GPU\n"}
{"Action":"skip","Package":"c","Test":"TestGPU","Elapsed":0}
{"Action":"output","Package":"c","Test":"TestLost","Output":"panic: lost\n"}
{"Action":"output","Package":"c","Output":"FAIL\tc\t2.000s\n"}
{"Action":"fail","Package":"c","Elapsed":2}
{"Action":"output","Package":"d","Output":"?   \td\t[no test files]\n"}
{"Action":"skip","Package":"d","Elapsed":0}
`
	const want = `b/b.go:1:1: no such thing
no JSON
ok  	a	7.412s
    c_test.go:6: one, expected two
--- FAIL: TestBad (1.00s)
panic: lost
FAIL	c	2.000s
?   	d	[no test files]
slowest     7 s  a TestGood
            1 s  c TestBad
            0 s  a TestLong
            0 s  c TestGPU
skipped  a TestLong: -short: it takes an hour
skipped  c TestGPU: there is no GPU
1 skipped with -short: make test-all runs them
`
	var out strings.Builder
	if err := report(strings.NewReader(in), &out); err != nil || out.String() != want {
		t.Errorf("%v; got\n%s\nexpected\n%s", err, &out, want)
	}
}
