//go:build amd64 || arm64

// Package goid tells goroutines apart by their numbers. The runtime tells the number in traces only, which
// take microseconds; it also lies in the runtime's own record of the goroutine, at a place that depends on
// Go's version and that is found once, by looking where the numbers of several goroutines lie.
package goid

import (
	"sync"
	"unsafe"
)

// record gives the address of the calling goroutine's record, which a register or thread-local storage holds.
func record() uintptr

// searched is how much of a record is looked through. It is longer than that in every version since Go 1.21.
const searched = 256

// unknown says that the place was not found.
const unknown = searched

// place finds the number in records: the one place where it lies in those of several goroutines.
var place = sync.OnceValue(func() uintptr {
	const goroutines = 4
	seen := make([]chan [searched / 8]bool, goroutines)
	for i := range seen {
		seen[i] = make(chan [searched / 8]bool, 1)
		go func(places chan<- [searched / 8]bool) { places <- holding(Traced()) }(seen[i])
	}
	places := holding(Traced())
	for _, others := range seen {
		for i, other := range <-others {
			places[i] = places[i] && other
		}
	}
	found := uintptr(unknown)
	for i, holds := range places {
		if holds && found != unknown {
			return unknown
		}
		if holds {
			found = uintptr(i) * 8
		}
	}
	return found
})

// holding says which words of this goroutine's record hold a number.
func holding(number uint64) (places [searched / 8]bool) {
	for i := range places {
		places[i] = word(uintptr(i)*8) == number
	}
	return places
}

// word reads a word of this goroutine's record, which lives at least as long as the goroutine.
//
//go:nocheckptr
func word(at uintptr) uint64 {
	address := record() + at
	return *(*uint64)(*(*unsafe.Pointer)(unsafe.Pointer(&address)))
}

// Current gives the number of the calling goroutine.
func Current() uint64 {
	at := place()
	if at == unknown {
		return Traced()
	}
	return word(at)
}
