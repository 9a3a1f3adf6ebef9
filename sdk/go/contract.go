package gantry

// #include "gantry_plugin.h"
import "C"

import "gantry.example/sdk/go/abi"

// The numbers that Go code uses are those of the header: a difference does not compile, since an array
// of one element has no other index than 0.
var (
	_ = same[C.GANTRY_ABI_MAJOR-abi.Major]
	_ = same[C.GANTRY_ABI_MINOR-abi.Minor]

	_ = same[C.GANTRY_HOOK_PRE-abi.HookPre]
	_ = same[C.GANTRY_HOOK_AUTH-abi.HookAuth]
	_ = same[C.GANTRY_HOOK_POST_AUTH-abi.HookPostAuth]
	_ = same[C.GANTRY_HOOK_POST-abi.HookPost]
	_ = same[C.GANTRY_HOOK_RESPONSE-abi.HookResponse]

	_ = same[C.GANTRY_PART_METHOD-abi.PartMethod]
	_ = same[C.GANTRY_PART_PATH-abi.PartPath]
	_ = same[C.GANTRY_PART_QUERY-abi.PartQuery]
	_ = same[C.GANTRY_PART_HOST-abi.PartHost]
	_ = same[C.GANTRY_PART_REMOTE_ADDR-abi.PartRemoteAddr]
	_ = same[C.GANTRY_PART_REQUEST_HEADER-abi.PartRequestHeader]
	_ = same[C.GANTRY_PART_SESSION-abi.PartSession]
	_ = same[C.GANTRY_PART_API_ID-abi.PartAPIID]
	_ = same[C.GANTRY_PART_API_DEFINITION-abi.PartAPIDefinition]
	_ = same[C.GANTRY_PART_CONFIG_DATA-abi.PartConfigData]
	_ = same[C.GANTRY_PART_TRACE_ID-abi.PartTraceID]
	_ = same[C.GANTRY_PART_TRACEPARENT-abi.PartTraceparent]
	_ = same[C.GANTRY_PART_HOOK-abi.PartHook]
	_ = same[C.GANTRY_PART_STATUS-abi.PartStatus]
	_ = same[C.GANTRY_PART_RESPONSE_HEADER-abi.PartResponseHeader]
	_ = same[C.GANTRY_PART_OPENAPI-abi.PartOpenAPI]
	_ = same[C.GANTRY_PART_AUTH_TOKEN-abi.PartAuthToken]
	_ = same[C.GANTRY_PART_ADDED_HEADER-abi.PartAddedHeader]
	_ = same[C.GANTRY_PART_TARGET-abi.PartTarget]
	_ = same[C.GANTRY_PART_REQUEST_BODY-abi.PartRequestBody]
	_ = same[C.GANTRY_PART_RESPONSE_BODY-abi.PartResponseBody]

	_ = same[C.GANTRY_OP_SET_METHOD-abi.OpSetMethod]
	_ = same[C.GANTRY_OP_SET_PATH-abi.OpSetPath]
	_ = same[C.GANTRY_OP_SET_QUERY-abi.OpSetQuery]
	_ = same[C.GANTRY_OP_SET_REQUEST_HEADER-abi.OpSetRequestHeader]
	_ = same[C.GANTRY_OP_ADD_REQUEST_HEADER-abi.OpAddRequestHeader]
	_ = same[C.GANTRY_OP_REMOVE_REQUEST_HEADER-abi.OpRemoveRequestHeader]
	_ = same[C.GANTRY_OP_SET_RESPONSE_HEADER-abi.OpSetResponseHeader]
	_ = same[C.GANTRY_OP_ADD_RESPONSE_HEADER-abi.OpAddResponseHeader]
	_ = same[C.GANTRY_OP_REMOVE_RESPONSE_HEADER-abi.OpRemoveResponseHeader]
	_ = same[C.GANTRY_OP_SET_STATUS-abi.OpSetStatus]
	_ = same[C.GANTRY_OP_SET_SESSION-abi.OpSetSession]
	_ = same[C.GANTRY_OP_ANSWER_STATUS-abi.OpAnswerStatus]
	_ = same[C.GANTRY_OP_ANSWER_BODY-abi.OpAnswerBody]
	_ = same[C.GANTRY_OP_SET_REQUEST_BODY-abi.OpSetRequestBody]
	_ = same[C.GANTRY_OP_SET_RESPONSE_BODY-abi.OpSetResponseBody]
	_ = same[C.GANTRY_OP_STORE_SESSION-abi.OpStoreSession]
	_ = same[C.GANTRY_OP_SET_ADDED_HEADER-abi.OpSetAddedHeader]
	_ = same[C.GANTRY_OP_ADD_ADDED_HEADER-abi.OpAddAddedHeader]
	_ = same[C.GANTRY_OP_REMOVE_ADDED_HEADER-abi.OpRemoveAddedHeader]
	_ = same[C.GANTRY_OP_SET_REMOTE_ADDR-abi.OpSetRemoteAddr]

	_ = same[C.GANTRY_E_ABSENT-abi.EAbsent]
	_ = same[C.GANTRY_E_DEAD_HANDLE-abi.EDeadHandle]
	_ = same[C.GANTRY_E_UNKNOWN-abi.EUnknown]
	_ = same[C.GANTRY_E_UNSUPPORTED-abi.EUnsupported]
	_ = same[C.GANTRY_E_REFUSED-abi.ERefused]
	_ = same[C.GANTRY_E_INVALID-abi.EInvalid]
	_ = same[C.GANTRY_E_TOO_LARGE-abi.ETooLarge]
	_ = same[C.GANTRY_E_INTERNAL-abi.EInternal]

	_ = same[C.GANTRY_CONTINUE-abi.Continue]
	_ = same[C.GANTRY_RESPOND-abi.Respond]
	_ = same[C.GANTRY_PENDING-abi.Pending]
	_ = same[C.GANTRY_FAILED-abi.Failed]
	_ = same[C.GANTRY_PANICKED-abi.Panicked]

	_ = same[C.GANTRY_FLAG_MAY_BLOCK-abi.FlagMayBlock]
	_ = same[C.GANTRY_FLAG_WANTS_REQUEST_BODY-abi.FlagWantsRequestBody]
	_ = same[C.GANTRY_FLAG_WANTS_RESPONSE_BODY-abi.FlagWantsResponseBody]
	_ = same[C.GANTRY_FLAG_MAY_PEND-abi.FlagMayPend]
	_ = same[C.GANTRY_EVENT_CANCEL-abi.EventCancel]
	_ = same[C.GANTRY_EVENT_BODY-abi.EventBody]
	_ = same[C.GANTRY_LOG_ERROR-abi.LogError]
	_ = same[C.GANTRY_LOG_TRACE-abi.LogTrace]
)

var same [1]struct{}
