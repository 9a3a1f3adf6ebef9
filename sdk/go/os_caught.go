//go:build gantry_os

package gantry

import (
	_ "unsafe" // for go:linkname

	"gantry.example/sdk/go/layer"
)

// What package os calls first, in builds by a command that laid these calls into it.

//go:linkname osExit os.gantryExit
var osExit func(code int)

//go:linkname osPrint os.gantryPrint
var osPrint func(text string) bool

// From the start, so that what an author's init starts ends no worker.
func init() {
	osExit = func(code int) { layer.Exit(code) }
	osPrint = func(text string) bool { return layer.Print(text) }
}
