package shim

import (
	"net/http"
	"net/textproto"
	"sort"
	"strings"
	"sync/atomic"
	"unsafe"
)

// field is one header line as it was before the handler ran. Handlers change maps and slices in place, so
// what was there is kept apart.
type field struct{ name, value string }

// fields are header lines, those of one name together.
type fields []field

// before is a side's headers as they were, and where the values that the handler got lay.
type before struct {
	fields
	values    []string
	names     int  // how many different ones
	scattered bool // lines of one name are not together
}

// readHeader builds a header as net/http does: canonical names, all values in one slice, a request's Host
// apart. A response without any has none.
func (s snapshot) readHeader(of side, was *before) (header http.Header, host string) {
	lines := s.headers(of)
	count := len(lines) / headerBytes
	if count == 0 && of != ofRequest {
		return nil, ""
	}
	header = make(http.Header, count+1)
	values, begin, runs := make([]string, 0, count), 0, 0
	for ; len(lines) >= headerBytes; lines = lines[headerBytes:] {
		lower, _ := s.value(lines)
		value, _ := s.value(lines[pairBytes:])
		name := canonical(lower)
		if name == "Host" && of == ofRequest {
			if host == "" {
				host = value
			}
			continue
		}
		if last := len(was.fields) - 1; last < 0 || was.fields[last].name != name {
			begin = len(values)
			runs++
		}
		was.fields, values = append(was.fields, field{name, value}), append(values, value)
		header[name] = values[begin:len(values):len(values)]
	}
	was.values, was.names = values, len(header)
	if was.scattered = runs > len(header); was.scattered {
		regroup(header, was.fields)
	}
	return header, host
}

// regroup brings values together of names whose lines did not come together.
func regroup(header http.Header, lines fields) {
	for name := range header {
		delete(header, name) // not clear: libraries of plugins for Go 1.20 and older are built with this too
	}
	for _, line := range lines {
		header[line.name] = append(header[line.name], line.value)
	}
}

// match says whether there were lines with a name, and whether they had these values. Values that still lie
// where the handler got them say themselves which line is theirs.
func (b *before) match(name string, values []string) (was, same bool) {
	if len(values) > 0 && len(b.values) > 0 {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(b.values)))
		at := (uintptr(unsafe.Pointer(unsafe.SliceData(values))) - from) / unsafe.Sizeof("")
		if at < uintptr(len(b.fields)) && b.fields[at].name == name && (at == 0 || b.fields[at-1].name != name) {
			return true, b.had(int(at), name, values)
		}
	}
	if at := b.index(name); at >= 0 {
		return true, b.had(at, name, values)
	}
	return false, len(values) == 0
}

// had says whether a name, whose first line is known, had these values.
func (b *before) had(at int, name string, values []string) bool {
	found := 0
	for ; at < len(b.fields); at++ {
		if b.fields[at].name != name {
			if b.scattered {
				continue
			}
			break
		}
		if found >= len(values) || values[found] != b.fields[at].value {
			return false
		}
		found++
	}
	return found == len(values)
}

func (f fields) first(name string) (string, bool) {
	for i := range f {
		if f[i].name == name {
			return f[i].value, true
		}
	}
	return "", false
}

// belongs are the headers that belong to the gateway: a handler's changes of them are passed over.
var belongs = map[string]bool{
	"Connection": true, "Content-Length": true, "Host": true, "Keep-Alive": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// diff calls change for each name that now has other values than before; no values: it is gone.
func (b *before) diff(now http.Header, change func(name string, values []string)) {
	var room [8]string
	others, kept := room[:0], 0
	for name, values := range now {
		was, same := b.match(name, values)
		if !was && !isCanonical(name) && canonical(name) != name {
			b.diff(merge(now), change)
			return
		}
		if was {
			kept++
		}
		if !same {
			others = append(others, name)
		}
	}
	if len(others) > 1 {
		sort.Strings(others) // as a Go client writes them
	}
	for _, name := range others {
		if !belongs[name] && isName(name) {
			change(name, now[name])
		}
	}
	if kept < b.names {
		b.gone(now, change)
	}
}

// gone calls change for each name that is not there any more.
func (f fields) gone(now http.Header, change func(name string, values []string)) {
	for i := range f {
		name := f[i].name
		if _, still := now[name]; !still && !belongs[name] && f.index(name) == i {
			change(name, nil)
		}
	}
}

func (f fields) index(name string) int {
	for i := range f {
		if f[i].name == name {
			return i
		}
	}
	return -1
}

// isCanonical says whether net/http would write a name like that.
func isCanonical(name string) bool {
	upper := true
	for i := 0; i < len(name); i++ {
		b := name[i]
		if upper && 'a' <= b && b <= 'z' || !upper && 'A' <= b && b <= 'Z' {
			return false
		}
		upper = b == '-'
	}
	return true
}

// merge puts names that a handler wrote in another case with those that net/http would write.
func merge(header http.Header) http.Header {
	merged := make(http.Header, len(header))
	for name, values := range header {
		if known := canonical(name); known == name {
			merged[name] = append(append([]string{}, values...), merged[name]...)
		} else {
			merged[known] = append(merged[known], values...)
		}
	}
	return merged
}

// isName says whether a name can be a header's; net/http passes over others, too.
func isName(name string) bool {
	for i := 0; i < len(name); i++ {
		b := name[i]
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case b == '-', b == '_', b == '.', b == '!', b == '#', b == '$', b == '%', b == '&', b == '\'', b == '*',
			b == '+', b == '^', b == '`', b == '|', b == '~':
		default:
			return false
		}
	}
	return name != ""
}

// oneLine makes a value what net/http writes of it: line breaks are spaces, and none is at its ends.
func oneLine(value string) string {
	for i := 0; i < len(value); i++ {
		if value[i] == '\r' || value[i] == '\n' {
			bytes := []byte(value)
			for i, b := range bytes {
				if b == '\r' || b == '\n' {
					bytes[i] = ' '
				}
			}
			value = string(bytes)
			break
		}
	}
	return textproto.TrimString(value)
}

// known is a name and how net/http writes it.
type known struct{ name, canonical string }

// names remembers names, each in one of the two places that are its own. Those that are longer than
// nameLongest are not kept.
var names [1024][2]atomic.Pointer[known]

const nameLongest = 64

// canonical is http.CanonicalHeaderKey, which copies each name that it does not know.
func canonical(name string) string {
	if name == "" || len(name) > nameLongest {
		return http.CanonicalHeaderKey(name)
	}
	places := &names[place(name)]
	first := places[0].Load()
	if first != nil && first.name == name {
		return first.canonical
	}
	if second := places[1].Load(); second != nil && second.name == name {
		return second.canonical
	}
	made := known{name: strings.Clone(name)} // not a piece of a request
	made.canonical = http.CanonicalHeaderKey(made.name)
	places[1].Store(first)
	places[0].Store(&made)
	return made.canonical
}

// place tells common names apart by four of their bytes and their length.
func place(name string) int {
	last := len(name) - 1
	sum := len(name)
	for _, at := range [...]int{0, last / 3, 2 * last / 3, last} {
		sum = 37*sum + int(name[at])
	}
	return sum % len(names)
}
