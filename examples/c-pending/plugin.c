/*
 * A function in C whose calls pend: SumBody asks for the body, sums it up on a thread of its own, and
 * sets the request header x-body-sum. The gateway serves other requests meanwhile.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "gantry_plugin.h"

/* What a thread needs, copied: nothing that the gateway gave is there any more when it runs. */
typedef struct {
  gantry_call call;
  size_t len;
  uint8_t body[];
} job;

static const gantry_host *host; /* valid for ever */
static const gantry_str none = {NULL, 0};

static int32_t start(const gantry_host *table, gantry_start *start, void **instance) {
  (void)start, (void)instance;
  host = table;
  return GANTRY_OK;
}

static void stop(void *instance) { (void)instance; }

static int32_t sum_body(void *instance, gantry_frame *frame) {
  (void)instance;
  if (host->ask(frame->call, GANTRY_PART_REQUEST_BODY) != GANTRY_OK) return GANTRY_FAILED;
  return GANTRY_PENDING;
}

static void *run(void *argument) {
  job *self = argument;
  uint8_t bytes[64];
  gantry_frame out = {.out = bytes, .out_cap = sizeof bytes}; /* for gantry_out alone */
  char text[16];
  uint32_t sum = 0;
  for (size_t at = 0; at < self->len; at++) sum = sum * 31 + self->body[at];
  snprintf(text, sizeof text, "%08x", (unsigned)sum);
  gantry_out(&out, GANTRY_OP_SET_REQUEST_HEADER, gantry_text("x-body-sum"), gantry_text(text));
  /* If the call was given up meanwhile, this finds nothing and harms nothing. */
  host->resume(self->call, GANTRY_CONTINUE, (gantry_str){bytes, out.out_len});
  free(self);
  return NULL;
}

static void event(void *instance, gantry_call call, uint32_t event, gantry_str detail) {
  pthread_t thread;
  job *self = event == GANTRY_EVENT_BODY ? malloc(sizeof *self + detail.len) : NULL;
  (void)instance;
  if (self != NULL) {
    self->call = call;
    self->len = detail.len;
    if (detail.len) memcpy(self->body, detail.ptr, detail.len);
    if (pthread_create(&thread, NULL, run, self) == 0) {
      pthread_detach(thread);
      return;
    }
    free(self);
  }
  /* No memory, no thread, or nobody waits any more: the end of the call is owed all the same. */
  host->resume(call, GANTRY_FAILED, none);
}

static const gantry_function sum_body_function = {
    sizeof(gantry_function), 1u << GANTRY_HOOK_PRE | 1u << GANTRY_HOOK_POST, GANTRY_FLAG_MAY_PEND,
    0, 0, GANTRY_LIT("SumBody"), start, sum_body, stop, event};
static const gantry_function *const functions[] = {&sum_body_function};

const gantry_plugin *gantry_plugin_v0(void) {
  static const gantry_plugin plugin = {
      sizeof plugin, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, 0, GANTRY_LIT("c-pending"),
      GANTRY_LIT("1.0.0"), 1, functions, NULL};
  return &plugin;
}

GANTRY_NOTE("c-pending", "1.0.0",
            GANTRY_NOTE_FUNCTION("SumBody", "\"pre\",\"post\"", "\"may_pend\""))
