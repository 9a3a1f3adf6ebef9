// Package regexp is the standard library's regexp with a cache of compiled patterns: Compile and its like
// give the compiled pattern again when they are asked again. What patterns match is the standard library's
// matter; results of matches are not cached, for a match is cheaper than a cache that all requests share.
package regexp

import (
	"regexp"
	"sync"
	"time"
)

// patternsMax bounds the cache, in patterns of each kind: patterns that are made per request must not pile up.
const patternsMax = 1024

// Regexp is a compiled pattern.
type Regexp struct {
	*regexp.Regexp
	// FromCache says that it had been compiled before.
	FromCache bool
}

type cache struct {
	mu      sync.RWMutex
	on      bool
	entries map[string]*regexp.Regexp
}

var plain, posix = newCache(), newCache()

func newCache() *cache { return &cache{on: true, entries: map[string]*regexp.Regexp{}} }

func (c *cache) reset(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on, c.entries = on, map[string]*regexp.Regexp{}
}

func (c *cache) get(pattern string, compile func(string) (*regexp.Regexp, error)) (*Regexp, error) {
	c.mu.RLock()
	found := c.entries[pattern]
	c.mu.RUnlock()
	if found != nil {
		return &Regexp{found, true}, nil
	}
	compiled, err := compile(pattern)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.on {
		if len(c.entries) >= patternsMax {
			c.entries = map[string]*regexp.Regexp{}
		}
		c.entries[pattern] = compiled
	}
	return &Regexp{compiled, false}, nil
}

// ResetCache forgets all patterns and switches the cache on or off. Patterns do not age, so ttl says nothing.
func ResetCache(ttl time.Duration, isEnabled bool) {
	plain.reset(isEnabled)
	posix.reset(isEnabled)
}

// Compile is regexp.Compile, or what it gave before.
func Compile(expr string) (*Regexp, error) { return plain.get(expr, regexp.Compile) }

// CompilePOSIX is regexp.CompilePOSIX, or what it gave before.
func CompilePOSIX(expr string) (*Regexp, error) { return posix.get(expr, regexp.CompilePOSIX) }

// MustCompile is Compile that panics on an error.
func MustCompile(str string) *Regexp {
	found, err := Compile(str)
	if err != nil {
		panic("regexp: Compile(" + QuoteMeta(str) + "): " + err.Error())
	}
	return found
}

// MustCompilePOSIX is CompilePOSIX that panics on an error.
func MustCompilePOSIX(str string) *Regexp {
	found, err := CompilePOSIX(str)
	if err != nil {
		panic("regexp: CompilePOSIX(" + QuoteMeta(str) + "): " + err.Error())
	}
	return found
}

// Match is regexp.Match with the pattern from the cache.
func Match(pattern string, b []byte) (matched bool, err error) {
	found, err := Compile(pattern)
	if err != nil {
		return false, err
	}
	return found.Match(b), nil
}

// MatchString is regexp.MatchString with the pattern from the cache.
func MatchString(pattern string, s string) (matched bool, err error) {
	found, err := Compile(pattern)
	if err != nil {
		return false, err
	}
	return found.MatchString(s), nil
}

// QuoteMeta is regexp.QuoteMeta.
func QuoteMeta(s string) string { return regexp.QuoteMeta(s) }

// Copy gives another Regexp of the same pattern.
func (re *Regexp) Copy() *Regexp {
	copied := *re
	return &copied
}

// Longest makes matches the longest from here on. The pattern is compiled anew for it, so that others who
// have it from the cache keep what they have.
func (re *Regexp) Longest() {
	own, err := regexp.Compile(re.Regexp.String())
	if err != nil {
		// A POSIX pattern prefers the longest match as it is.
		return
	}
	own.Longest()
	re.Regexp = own
}

// String gives the pattern; empty for none.
func (re *Regexp) String() string {
	if re == nil || re.Regexp == nil {
		return ""
	}
	return re.Regexp.String()
}
