// Package abi holds the numbers and the flat encodings of the plugin contract (gantry_plugin.h), for
// package gantry and for layers over it (package layer). Authors of plugins do not need it. It knows no
// C: package gantry holds these numbers against the header while it is compiled.
package abi

import "fmt"

// The contract that this SDK speaks, and the SDK's own version.
const (
	Major      = 0
	Minor      = 3
	SDKVersion = "0.1.0"
)

// Hooks.
const (
	HookPre = iota
	HookAuth
	HookPostAuth
	HookPost
	HookResponse
	hookCount
)

var hookNames = [hookCount]string{"pre", "auth", "post_auth", "post", "response"}

// HookName gives the name of a hook in notes and API definitions.
func HookName(hook uint32) string {
	if hook < hookCount {
		return hookNames[hook]
	}
	return fmt.Sprintf("hook(%d)", hook)
}

// Parts.
const (
	PartMethod         = 1
	PartPath           = 2
	PartQuery          = 3
	PartHost           = 4
	PartRemoteAddr     = 5
	PartRequestHeader  = 6
	PartSession        = 7
	PartAPIID          = 8
	PartAPIDefinition  = 9
	PartConfigData     = 10
	PartTraceID        = 11
	PartTraceparent    = 12
	PartHook           = 13
	PartStatus         = 14
	PartResponseHeader = 15
	PartOpenAPI        = 16
	PartAuthToken      = 17
	PartAddedHeader    = 18
	PartTarget         = 19
	PartRequestBody    = 24
	PartResponseBody   = 25
)

// Operations.
const (
	OpSetMethod            = 1
	OpSetPath              = 2
	OpSetQuery             = 3
	OpSetRequestHeader     = 4
	OpAddRequestHeader     = 5
	OpRemoveRequestHeader  = 6
	OpSetResponseHeader    = 7
	OpAddResponseHeader    = 8
	OpRemoveResponseHeader = 9
	OpSetStatus            = 10
	OpSetSession           = 11
	OpAnswerStatus         = 12
	OpAnswerBody           = 13
	OpSetRequestBody       = 14
	OpSetResponseBody      = 15
	OpStoreSession         = 16
	OpSetAddedHeader       = 17
	OpAddAddedHeader       = 18
	OpRemoveAddedHeader    = 19
	OpSetRemoteAddr        = 20
)

// Touches gives the parts, as bits, that an operation may change.
func Touches(op uint8) uint64 {
	switch op {
	case OpSetMethod:
		return 1 << PartMethod
	case OpSetPath:
		return 1 << PartPath
	case OpSetQuery:
		return 1 << PartQuery
	case OpSetRequestHeader, OpAddRequestHeader, OpRemoveRequestHeader:
		return 1 << PartRequestHeader
	case OpSetRequestBody:
		return 1<<PartRequestBody | 1<<PartRequestHeader
	case OpSetResponseBody:
		return 1<<PartResponseBody | 1<<PartResponseHeader
	case OpSetRemoteAddr:
		return 1 << PartRemoteAddr
	case OpSetAddedHeader, OpAddAddedHeader, OpRemoveAddedHeader:
		return 1 << PartAddedHeader
	case OpSetStatus:
		return 1 << PartStatus
	case OpSetSession, OpStoreSession:
		return 1<<PartSession | 1<<PartAuthToken
	default:
		return 1<<PartResponseHeader | 1<<PartStatus
	}
}

// What callbacks and start return.
const (
	OK           = 0
	EAbsent      = -1
	EDeadHandle  = -2
	EUnknown     = -3
	EUnsupported = -4
	ERefused     = -5
	EInvalid     = -6
	ETooLarge    = -7
	EInternal    = -8
)

// What call returns.
const (
	Continue = 0
	Respond  = 1
	Pending  = 2
	Failed   = -1
	Panicked = -2
)

// Properties of a function.
const (
	FlagMayBlock          = 1
	FlagWantsRequestBody  = 2
	FlagWantsResponseBody = 4
	FlagMayPend           = 8
)

// What a plugin is told about a call.
const (
	EventCancel = 1
	EventBody   = 2
)

// Levels of log lines.
const (
	LogError = 1 + iota
	LogWarn
	LogInfo
	LogDebug
	LogTrace
)

// Backend is what the host does for one call.
type Backend interface {
	// Get reads a part that has no key. The bytes are the host's: copy them before the next Snapshot
	// or Apply.
	Get(part uint32) ([]byte, int32)
	// Snapshot encodes parts. The bytes are the host's, as above.
	Snapshot(parts uint64) ([]byte, int32)
	// Apply applies flat mutations: all of them, or none.
	Apply(mutations []byte) int32
	// Mutate applies one change whose operation has no key.
	Mutate(op uint8, value []byte) int32
	// Log writes a log line about the call.
	Log(level uint32, message string)
}
