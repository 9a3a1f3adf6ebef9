/* Functions that take and replace bodies, for the worker's tests. */
#include <stdio.h>
#include <stdlib.h>

#include "gantry_plugin.h"

#define REQUEST                                                                            \
  (1u << GANTRY_HOOK_PRE | 1u << GANTRY_HOOK_AUTH | 1u << GANTRY_HOOK_POST_AUTH |          \
   1u << GANTRY_HOOK_POST)
#define RESPONSE (1u << GANTRY_HOOK_RESPONSE)
#define NOTE_REQUEST "\"pre\",\"auth\",\"post_auth\",\"post\""

static const gantry_str NONE = {NULL, 0};

static int is_response(const gantry_frame *frame) { return frame->hook == GANTRY_HOOK_RESPONSE; }

static int get_body(gantry_frame *frame, gantry_str *body) {
  uint32_t part = is_response(frame) ? GANTRY_PART_RESPONSE_BODY : GANTRY_PART_REQUEST_BODY;
  return frame->host->get(frame->call, part, NONE, body) == GANTRY_OK;
}

static int32_t set_body(gantry_frame *frame, gantry_str body) {
  uint32_t op = is_response(frame) ? GANTRY_OP_SET_RESPONSE_BODY : GANTRY_OP_SET_REQUEST_BODY;
  return frame->host->mutate(frame->call, op, NONE, body);
}

static int32_t start(const gantry_host *host, gantry_start *start, void **instance) {
  (void)host, (void)start, (void)instance;
  return GANTRY_OK;
}

static void stop(void *instance) { (void)instance; }

/* Adds length and first bytes of the body, read twice, to the header x-taken of its side. */
static int32_t Take(void *instance, gantry_frame *frame) {
  uint32_t op = is_response(frame) ? GANTRY_OP_ADD_RESPONSE_HEADER : GANTRY_OP_ADD_REQUEST_HEADER;
  (void)instance;
  for (int i = 0; i < 2; i++) {
    char text[64];
    gantry_str body;
    if (!get_body(frame, &body)) return GANTRY_FAILED;
    snprintf(text, sizeof text, "%zu:%.*s", body.len, (int)(body.len < 8 ? body.len : 8),
             body.len ? (const char *)body.ptr : "");
    for (char *c = text; *c; c++) *c = *c < ' ' || *c > '~' ? '.' : *c;
    frame->host->mutate(frame->call, op, gantry_text("x-taken"), gantry_text(text));
  }
  return GANTRY_CONTINUE;
}

/* Puts the body in brackets. */
static int32_t Wrap(void *instance, gantry_frame *frame) {
  gantry_str body, wrapped;
  uint8_t *copy;
  int32_t code;
  (void)instance;
  if (!get_body(frame, &body) || !(copy = malloc(body.len + 2))) return GANTRY_FAILED;
  copy[0] = '[';
  if (body.len) memcpy(copy + 1, body.ptr, body.len);
  copy[body.len + 1] = ']';
  wrapped.ptr = copy;
  wrapped.len = body.len + 2;
  code = set_body(frame, wrapped);
  free(copy);
  return code;
}

/* Leaves the first byte, if there is one. */
static int32_t Cut(void *instance, gantry_frame *frame) {
  gantry_str body;
  (void)instance;
  if (!get_body(frame, &body)) return GANTRY_FAILED;
  body.len = body.len ? 1 : 0;
  return set_body(frame, body);
}

static int32_t Clear(void *instance, gantry_frame *frame) {
  (void)instance;
  return set_body(frame, NONE);
}

#define FUNCTION(id, hooks, flags, body)                                                   \
  static const gantry_function id##_FUNCTION = {                                           \
      sizeof(gantry_function), hooks, flags, 0, 0, GANTRY_LIT(#id), start, body, stop};

FUNCTION(Take, REQUEST, GANTRY_FLAG_WANTS_REQUEST_BODY, Take)
FUNCTION(TakeInPool, REQUEST, GANTRY_FLAG_MAY_BLOCK | GANTRY_FLAG_WANTS_REQUEST_BODY, Take)
FUNCTION(Wrap, REQUEST, GANTRY_FLAG_WANTS_REQUEST_BODY, Wrap)
FUNCTION(Cut, REQUEST, GANTRY_FLAG_WANTS_REQUEST_BODY, Cut)
FUNCTION(Clear, REQUEST, GANTRY_FLAG_WANTS_REQUEST_BODY, Clear)
FUNCTION(TakeResponse, RESPONSE, GANTRY_FLAG_WANTS_RESPONSE_BODY, Take)
FUNCTION(WrapResponse, RESPONSE, GANTRY_FLAG_WANTS_RESPONSE_BODY, Wrap)
FUNCTION(CutResponse, RESPONSE, GANTRY_FLAG_WANTS_RESPONSE_BODY, Cut)

static const gantry_function *const FUNCTIONS[] = {
    &Take_FUNCTION,  &TakeInPool_FUNCTION,   &Wrap_FUNCTION,         &Cut_FUNCTION,
    &Clear_FUNCTION, &TakeResponse_FUNCTION, &WrapResponse_FUNCTION, &CutResponse_FUNCTION};

const gantry_plugin *gantry_plugin_v0(void) {
  static const gantry_plugin plugin = {
      sizeof plugin, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, 0, GANTRY_LIT("bodies"),
      GANTRY_LIT("1.0.0"), sizeof FUNCTIONS / sizeof *FUNCTIONS, FUNCTIONS};
  return &plugin;
}

#define NOTED(id) GANTRY_NOTE_FUNCTION(#id, NOTE_REQUEST, "\"wants_request_body\"")
#define NOTED_RESPONSE(id) GANTRY_NOTE_FUNCTION(#id, "\"response\"", "\"wants_response_body\"")
GANTRY_NOTE("bodies", "1.0.0",
            NOTED(Take) ","
            GANTRY_NOTE_FUNCTION("TakeInPool", NOTE_REQUEST, "\"may_block\",\"wants_request_body\"") ","
            NOTED(Wrap) "," NOTED(Cut) "," NOTED(Clear) "," NOTED_RESPONSE(TakeResponse) ","
            NOTED_RESPONSE(WrapResponse) "," NOTED_RESPONSE(CutResponse))
