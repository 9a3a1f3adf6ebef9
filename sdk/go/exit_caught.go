//go:build gantry_exit

package gantry

import (
	_ "unsafe" // for go:linkname

	"gantry.example/sdk/go/layer"
)

// osExit is what os.Exit calls first, in builds by a command that laid this into package os.
//
//go:linkname osExit os.gantryExit
var osExit func(code int)

// From the start, so that what an author's init starts ends no worker.
func init() { osExit = func(code int) { layer.Exit(code) } }
