package goid

import "runtime"

// Traced gives the number of the calling goroutine as a trace tells it.
func Traced() uint64 {
	var room [64]byte
	text := room[:runtime.Stack(room[:], false)]
	return Number(text[len("goroutine "):])
}

// Number reads the number that a text begins with.
func Number(text []byte) (number uint64) {
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			break
		}
		number = 10*number + uint64(digit-'0')
	}
	return number
}
