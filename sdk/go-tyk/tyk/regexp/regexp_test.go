package regexp

import (
	"fmt"
	"regexp"
	"testing"
	"time"
)

func TestCompiledPatternsComeAgainFromTheCache(t *testing.T) {
	ResetCache(time.Minute, true)
	for name, compile := range map[string]func(string) (*Regexp, error){"plain": Compile, "posix": CompilePOSIX} {
		first, err := compile("a(b+)")
		again, err2 := compile("a(b+)")
		if err != nil || err2 != nil || first.FromCache || !again.FromCache || first.Regexp != again.Regexp {
			t.Error(name, first, again, err, err2)
		}
		if _, err := compile("a("); err == nil {
			t.Error(name, "took a broken pattern")
		}
	}
	ResetCache(time.Minute, false)
	defer ResetCache(time.Minute, true)
	if MustCompile("c").FromCache || MustCompile("c").FromCache || MustCompilePOSIX("c").FromCache {
		t.Error("a cache that is off was asked")
	}
}

func TestCacheStaysBounded(t *testing.T) {
	ResetCache(0, true)
	for i := 0; i < 3*patternsMax; i++ {
		MustCompile(fmt.Sprintf("p%d", i))
	}
	if len(plain.entries) > patternsMax {
		t.Error(len(plain.entries))
	}
}

func TestFunctionsMatchAsTheStandardLibrary(t *testing.T) {
	for _, pattern := range []string{"^a+$", "(b)(c)?", "[x", ""} {
		for _, text := range []string{"", "a", "aa", "bc", "abc"} {
			want, wantErr := regexp.MatchString(pattern, text)
			got, err := MatchString(pattern, text)
			bytes, errBytes := Match(pattern, []byte(text))
			if got != want || bytes != want || (err == nil) != (wantErr == nil) || (errBytes == nil) != (wantErr == nil) {
				t.Errorf("%q in %q: %v %v, not %v", pattern, text, got, bytes, want)
			}
		}
	}
	if QuoteMeta("a.b") != `a\.b` {
		t.Error(QuoteMeta("a.b"))
	}
	re := MustCompile("(a)(b)?")
	if re.String() != "(a)(b)?" || re.ReplaceAllString("xab", "-") != "x-" || re.FindStringSubmatch("ab")[2] != "b" ||
		re.ReplaceAllLiteralString("a", "$1") != "$1" || re.FindAllString("aab", -1)[1] != "ab" {
		t.Error("methods differ")
	}
	if (*Regexp)(nil).String() != "" || new(Regexp).String() != "" {
		t.Error("no pattern has a text")
	}
}

func TestLongestChangesOnlyItsOwn(t *testing.T) {
	other := MustCompile("a|ab")
	own := MustCompile("a|ab").Copy()
	own.Longest()
	if own.FindString("ab") != "ab" || other.FindString("ab") != "a" {
		t.Error(own.FindString("ab"), other.FindString("ab"))
	}
	posix := MustCompilePOSIX("a|ab")
	posix.Longest()
	if posix.FindString("ab") != "ab" {
		t.Error("not the longest")
	}
}

func TestMustCompilePanicsOnABrokenPattern(t *testing.T) {
	for name, must := range map[string]func(string) *Regexp{"plain": MustCompile, "posix": MustCompilePOSIX} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error(name, "did not panic")
				}
			}()
			must("(")
		}()
	}
}
