package shim

import (
	"net/http"
	"net/textproto"
	"strings"
	"sync/atomic"
)

// field is one header line as it was before the handler ran. Handlers change maps and slices in place, so
// what was there is kept apart.
type field struct{ name, value string }

// fields are header lines, those of one name together.
type fields []field

// readHeader builds a header as net/http does: canonical names, all values in one slice. A response without
// any has none.
func (s snapshot) readHeader(ofResponse bool) (http.Header, fields) {
	first, count := s.headers(ofResponse)
	if count == 0 && ofResponse {
		return nil, nil
	}
	header := make(http.Header, count+1)
	values, was := make([]string, count), make(fields, count)
	for i := range was {
		lower, _ := s.pair(first + 2*uint64(i))
		value, _ := s.pair(first + 2*uint64(i) + 1)
		name := canonical(lower)
		was[i], values[i] = field{name, value}, value
		if before, ok := header[name]; ok {
			header[name] = append(before, value)
		} else {
			header[name] = values[i : i+1 : i+1]
		}
	}
	return header, was
}

// same says whether a name had these values. Headers are few, so this is a search.
func (f fields) same(name string, values []string) bool {
	found := 0
	for i := range f {
		if f[i].name != name {
			continue
		}
		if found >= len(values) || values[found] != f[i].value {
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

// unchanged is the common case of diff, found fast: every name once, with its value, and no other.
func (f fields) unchanged(now http.Header) bool {
	if len(now) != len(f) {
		return false
	}
	for i := range f {
		if values := now[f[i].name]; len(values) != 1 || values[0] != f[i].value {
			return false
		}
	}
	return true
}

// diff calls change for each name that now has other values than before; no values: it is gone.
func (f fields) diff(now http.Header, change func(name string, values []string)) {
	if f.unchanged(now) {
		return
	}
	merged := now
	for name := range now {
		if !isCanonical(name) {
			merged = merge(now)
			break
		}
	}
	for name, values := range merged {
		if !f.same(name, values) && !belongs[name] && isName(name) {
			change(name, values)
		}
	}
	for i := range f {
		name := f[i].name
		if _, still := merged[name]; !still && !belongs[name] && f.index(name) == i {
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
