/* Functions whose calls pend, for the worker's tests. They print what a test waits for. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gantry_plugin.h"

#define REQUEST (1u << GANTRY_HOOK_PRE | 1u << GANTRY_HOOK_POST)
#define RESPONSE (1u << GANTRY_HOOK_RESPONSE)
#define NOTE_REQUEST "\"pre\",\"post\""

static const gantry_str NONE = {NULL, 0};
static const gantry_host *HOST;
static char DOOR[512];

static void print(const char *text) {
  printf("%s\n", text);
  fflush(stdout);
}

static int32_t start(const gantry_host *host, gantry_start *start, void **instance) {
  (void)start, (void)instance;
  HOST = host;
  return GANTRY_OK;
}

static void stop(void *instance) {
  (void)instance;
  print("stopped");
}

static gantry_str record(uint8_t *at, uint8_t op, const char *key, gantry_str value) {
  uint16_t key_len = (uint16_t)strlen(key);
  uint32_t value_len = (uint32_t)value.len;
  at[0] = op;
  at[1] = 0;
  memcpy(at + 2, &key_len, sizeof key_len);
  memcpy(at + 4, &value_len, sizeof value_len);
  memcpy(at + 8, key, key_len);
  if (value.len) memcpy(at + 8 + key_len, value.ptr, value.len);
  return (gantry_str){at, 8 + (size_t)key_len + value.len};
}

typedef struct {
  gantry_call call;
  char file[512];
} wait;

static void *waits(void *argument) {
  wait *self = argument;
  uint8_t bytes[64];
  while (access(self->file, F_OK) != 0) usleep(1000);
  HOST->resume(self->call, GANTRY_CONTINUE,
               record(bytes, GANTRY_OP_SET_REQUEST_HEADER, "x-waited", gantry_text("1")));
  free(self);
  return NULL;
}

/* Waits, on a thread of its own, until there is a file of the name that the request gives. */
static int32_t Wait(void *instance, gantry_frame *frame) {
  gantry_str file = NONE;
  pthread_t thread;
  wait *self = malloc(sizeof *self);
  (void)instance;
  frame->host->get(frame->call, GANTRY_PART_REQUEST_HEADER, gantry_text("x-wait-for"), &file);
  snprintf(self->file, sizeof self->file, "%.*s", (int)file.len, (const char *)file.ptr);
  self->call = frame->call;
  if (pthread_create(&thread, NULL, waits, self) != 0) return GANTRY_FAILED;
  pthread_detach(thread);
  return GANTRY_PENDING;
}

/* Never ends by itself. */
static gantry_call HELD;
static int32_t Hold(void *instance, gantry_frame *frame) {
  (void)instance;
  frame->host->mutate(frame->call, GANTRY_OP_SET_RESPONSE_HEADER, gantry_text("x-early"),
                      gantry_text("1"));
  HELD = frame->call;
  return GANTRY_PENDING;
}

static int32_t EndHeld(void *instance, gantry_frame *frame) {
  (void)instance;
  (void)frame;
  return HOST->resume(HELD, GANTRY_CONTINUE, NONE) == GANTRY_OK ? GANTRY_CONTINUE : GANTRY_FAILED;
}

static int32_t Double(void *instance, gantry_frame *frame) {
  int response = frame->hook == GANTRY_HOOK_RESPONSE;
  (void)instance;
  HOST->ask(frame->call, response ? GANTRY_PART_RESPONSE_BODY : GANTRY_PART_REQUEST_BODY);
  return GANTRY_PENDING;
}

static void twice(gantry_call call, uint8_t op, gantry_str body) {
  uint8_t *bytes = malloc(8 + 2 * body.len), *both = malloc(2 * body.len + 1);
  gantry_str value = {both, 2 * body.len};
  if (body.len) memcpy(both, body.ptr, body.len);
  if (body.len) memcpy(both + body.len, body.ptr, body.len);
  HOST->resume(call, GANTRY_CONTINUE, record(bytes, op, "", value));
  free(bytes);
  free(both);
}

static void event(void *instance, gantry_call call, uint32_t event, gantry_str detail) {
  (void)instance;
  if (event == GANTRY_EVENT_BODY) twice(call, GANTRY_OP_SET_REQUEST_BODY, detail);
  if (event == GANTRY_EVENT_CANCEL) print("cancelled");
}

static void response_event(void *instance, gantry_call call, uint32_t event, gantry_str detail) {
  (void)instance;
  if (event == GANTRY_EVENT_BODY) twice(call, GANTRY_OP_SET_RESPONSE_BODY, detail);
}

static void *ends_process(void *argument) {
  (void)argument;
  while (access(DOOR, F_OK) != 0) usleep(1000);
  _exit(2);
}

/* Ends the process from a thread of its own, once there is a file of the name that the request gives. */
static int32_t EndProcess(void *instance, gantry_frame *frame) {
  gantry_str file = NONE;
  pthread_t thread;
  (void)instance;
  frame->host->get(frame->call, GANTRY_PART_REQUEST_HEADER, gantry_text("x-wait-for"), &file);
  snprintf(DOOR, sizeof DOOR, "%.*s", (int)file.len, (const char *)file.ptr);
  return pthread_create(&thread, NULL, ends_process, NULL) == 0 ? GANTRY_PENDING : GANTRY_FAILED;
}

static void *mutters(void *argument) {
  (void)argument;
  HOST->log(0, GANTRY_LOG_INFO, gantry_text("alone"));
  return NULL;
}

/* Logs from a thread that no call belongs to. */
static int32_t Mutter(void *instance, gantry_frame *frame) {
  pthread_t thread;
  (void)instance;
  (void)frame;
  if (pthread_create(&thread, NULL, mutters, NULL) != 0) return GANTRY_FAILED;
  pthread_detach(thread);
  return GANTRY_CONTINUE;
}

/* Puts another body in place of one that it never asks for. */
static int32_t Replace(void *instance, gantry_frame *frame) {
  uint8_t bytes[64];
  (void)instance;
  HOST->resume(frame->call, GANTRY_CONTINUE,
               record(bytes, GANTRY_OP_SET_REQUEST_BODY, "", gantry_text("mine")));
  return GANTRY_PENDING;
}

static int32_t Carry(void *instance, gantry_frame *frame) {
  char text[24];
  (void)instance;
  snprintf(text, sizeof text, "%d", (int)frame->carry);
  frame->host->mutate(frame->call, GANTRY_OP_ADD_RESPONSE_HEADER, gantry_text("x-carry"),
                      gantry_text(text));
  frame->carry += 7;
  return GANTRY_CONTINUE;
}

static void release(uint64_t carry) {
  char text[32];
  snprintf(text, sizeof text, "released %d", (int)carry);
  print(text);
}

#define FUNCTION(id, hooks, flags, body, event)                                            \
  static const gantry_function id##_FUNCTION = {                                           \
      sizeof(gantry_function), hooks, flags, 0, 0, GANTRY_LIT(#id), start, body, stop, event};

FUNCTION(Wait, REQUEST, GANTRY_FLAG_MAY_PEND, Wait, event)
FUNCTION(WaitFromPool, REQUEST, GANTRY_FLAG_MAY_PEND | GANTRY_FLAG_MAY_BLOCK, Wait, event)
FUNCTION(Hold, REQUEST, GANTRY_FLAG_MAY_PEND, Hold, event)
FUNCTION(EndProcess, REQUEST, GANTRY_FLAG_MAY_PEND, EndProcess, event)
FUNCTION(EndHeld, REQUEST, 0, EndHeld, NULL)
FUNCTION(Double, REQUEST, GANTRY_FLAG_MAY_PEND, Double, event)
FUNCTION(DoubleResponse, RESPONSE, GANTRY_FLAG_MAY_PEND, Double, response_event)
FUNCTION(Mutter, REQUEST, 0, Mutter, NULL)
FUNCTION(Replace, REQUEST, GANTRY_FLAG_MAY_PEND, Replace, event)
FUNCTION(Carry, REQUEST | RESPONSE, 0, Carry, NULL)

static const gantry_function *const FUNCTIONS[] = {
    &Wait_FUNCTION,   &WaitFromPool_FUNCTION,   &Hold_FUNCTION,    &EndHeld_FUNCTION,
    &Double_FUNCTION, &DoubleResponse_FUNCTION, &Replace_FUNCTION, &Carry_FUNCTION,
    &EndProcess_FUNCTION, &Mutter_FUNCTION};

const gantry_plugin *gantry_plugin_v0(void) {
  static const gantry_plugin plugin = {
      sizeof plugin, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, 0, GANTRY_LIT("pending"),
      GANTRY_LIT("1.0.0"), sizeof FUNCTIONS / sizeof *FUNCTIONS, FUNCTIONS, release};
  return &plugin;
}

#define NOTED(id, hooks, flags) GANTRY_NOTE_FUNCTION(#id, hooks, flags)
GANTRY_NOTE("pending", "1.0.0",
            NOTED(Wait, NOTE_REQUEST, "\"may_pend\"") ","
            NOTED(WaitFromPool, NOTE_REQUEST, "\"may_block\",\"may_pend\"") ","
            NOTED(Hold, NOTE_REQUEST, "\"may_pend\"") "," NOTED(EndHeld, NOTE_REQUEST, "") ","
            NOTED(Double, NOTE_REQUEST, "\"may_pend\"") ","
            NOTED(DoubleResponse, "\"response\"", "\"may_pend\"") ","
            NOTED(EndProcess, NOTE_REQUEST, "\"may_pend\"") ","
            NOTED(Mutter, NOTE_REQUEST, "") ","
            NOTED(Replace, NOTE_REQUEST, "\"may_pend\"") ","
            NOTED(Carry, NOTE_REQUEST ",\"response\"", ""))
