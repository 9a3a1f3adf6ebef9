/* Functions that leave a mark wherever they run, and some that end a request: for the worker's tests. */
#include <stdio.h>
#include <unistd.h>

#include "gantry_plugin.h"

#define REQUEST                                                                            \
  (1u << GANTRY_HOOK_PRE | 1u << GANTRY_HOOK_AUTH | 1u << GANTRY_HOOK_POST_AUTH |          \
   1u << GANTRY_HOOK_POST)
#define RESPONSE (1u << GANTRY_HOOK_RESPONSE)
#define NOTE_REQUEST "\"pre\",\"auth\",\"post_auth\",\"post\""

static const gantry_str NONE = {NULL, 0};

static gantry_str get(gantry_frame *frame, uint32_t part, gantry_str key) {
  gantry_str value = {NULL, 0};
  frame->host->get(frame->call, part, key, &value);
  return value;
}

/* The host's slice ends with the next mutate, so values are copied first. */
static int32_t set(gantry_frame *frame, uint32_t op, const char *key, gantry_str value) {
  char copy[2048];
  size_t len = value.len < sizeof copy ? value.len : sizeof copy;
  gantry_str own = {(const uint8_t *)copy, len};
  if (len) memcpy(copy, value.ptr, len);
  return frame->host->mutate(frame->call, op, key ? gantry_text(key) : NONE, own);
}

/* Tells an instance's beginning and end, in whole lines that no buffer holds back. */
static int32_t start(const gantry_host *host, gantry_start *start, void **instance) {
  (void)host, (void)instance;
  if (start->config.len > 9 && memcmp(start->config.ptr, "{\"refuse\"", 9) == 0) {
    gantry_start_error(start, "told to refuse");
    return GANTRY_FAILED;
  }
  printf("started %.*s\n", (int)start->function.len, (const char *)start->function.ptr);
  fflush(stdout);
  return GANTRY_OK;
}

static void stop(void *instance) {
  (void)instance;
  printf("stopped\n");
  fflush(stdout);
}

static int32_t Mark(void *instance, gantry_frame *frame) {
  gantry_str hook = get(frame, GANTRY_PART_HOOK, NONE);
  (void)instance;
  set(frame, GANTRY_OP_ADD_REQUEST_HEADER, "x-step", hook);
  hook = get(frame, GANTRY_PART_HOOK, NONE);
  set(frame, GANTRY_OP_ADD_RESPONSE_HEADER, "x-early", hook);
  frame->host->log(frame->call, GANTRY_LOG_INFO, gantry_text("marked"));
  return GANTRY_CONTINUE;
}

static int32_t MarkResponse(void *instance, gantry_frame *frame) {
  (void)instance;
  set(frame, GANTRY_OP_SET_RESPONSE_HEADER, "x-seen-path", get(frame, GANTRY_PART_PATH, NONE));
  set(frame, GANTRY_OP_SET_RESPONSE_HEADER, "x-seen-status", get(frame, GANTRY_PART_STATUS, NONE));
  set(frame, GANTRY_OP_SET_STATUS, NULL, gantry_text("203"));
  return GANTRY_CONTINUE;
}

static int32_t SetSession(void *instance, gantry_frame *frame) {
  (void)instance;
  set(frame, GANTRY_OP_SET_SESSION, NULL, gantry_text("{\"from\":\"function\"}"));
  return GANTRY_CONTINUE;
}

static int32_t TellSession(void *instance, gantry_frame *frame) {
  (void)instance;
  set(frame, GANTRY_OP_SET_REQUEST_HEADER, "x-session", get(frame, GANTRY_PART_SESSION, NONE));
  return GANTRY_CONTINUE;
}

static int32_t Move(void *instance, gantry_frame *frame) {
  (void)instance;
  set(frame, GANTRY_OP_SET_PATH, NULL, gantry_text("/other/place"));
  set(frame, GANTRY_OP_SET_QUERY, NULL, gantry_text("moved=1"));
  return GANTRY_CONTINUE;
}

static int32_t Answer(void *instance, gantry_frame *frame) {
  (void)instance;
  set(frame, GANTRY_OP_ANSWER_STATUS, NULL, gantry_text("418"));
  set(frame, GANTRY_OP_ANSWER_BODY, NULL, gantry_text("short and stout"));
  return GANTRY_RESPOND;
}

static int32_t Fail(void *instance, gantry_frame *frame) {
  (void)instance, (void)frame;
  return GANTRY_FAILED;
}

/* Faults when the request asks for it. */
static int32_t Crash(void *instance, gantry_frame *frame) {
  volatile int *nothing = NULL;
  (void)instance;
  if (get(frame, GANTRY_PART_REQUEST_HEADER, gantry_text("x-crash")).len > 0) *nothing = 1;
  return GANTRY_CONTINUE;
}

/* Waits until there is a file of the name that the request gives. */
static int32_t Wait(void *instance, gantry_frame *frame) {
  gantry_str file = get(frame, GANTRY_PART_REQUEST_HEADER, gantry_text("x-wait-for"));
  char name[512];
  (void)instance;
  snprintf(name, sizeof name, "%.*s", (int)file.len, (const char *)file.ptr);
  while (access(name, F_OK) != 0) usleep(1000);
  return GANTRY_CONTINUE;
}

#define FUNCTION(id, hooks, flags, body)                                                   \
  static const gantry_function id##_FUNCTION = {                                           \
      sizeof(gantry_function), hooks, flags, 0, 0, GANTRY_LIT(#id), start, body, stop};

FUNCTION(Mark, REQUEST, 0, Mark)
FUNCTION(MarkInPool, REQUEST, GANTRY_FLAG_MAY_BLOCK, Mark)
FUNCTION(WaitInPool, REQUEST, GANTRY_FLAG_MAY_BLOCK, Wait)
FUNCTION(SetSession, REQUEST, 0, SetSession)
FUNCTION(TellSession, REQUEST, 0, TellSession)
FUNCTION(Move, REQUEST, 0, Move)
FUNCTION(Answer, REQUEST, 0, Answer)
FUNCTION(Fail, REQUEST, 0, Fail)
FUNCTION(Crash, REQUEST, 0, Crash)
FUNCTION(MarkResponse, RESPONSE, 0, MarkResponse)
FUNCTION(AnswerResponse, RESPONSE, 0, Answer)
FUNCTION(FailResponse, RESPONSE, 0, Fail)

static const gantry_function *const FUNCTIONS[] = {
    &Mark_FUNCTION,         &MarkInPool_FUNCTION,     &SetSession_FUNCTION,  &TellSession_FUNCTION,
    &Move_FUNCTION,         &Answer_FUNCTION,         &Fail_FUNCTION,        &Crash_FUNCTION,
    &MarkResponse_FUNCTION, &AnswerResponse_FUNCTION, &FailResponse_FUNCTION,
    &WaitInPool_FUNCTION};

const gantry_plugin *gantry_plugin_v0(void) {
  static const gantry_plugin plugin = {
      sizeof plugin, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, 0, GANTRY_LIT("steps"),
      GANTRY_LIT("1.0.0"), sizeof FUNCTIONS / sizeof *FUNCTIONS, FUNCTIONS};
  return &plugin;
}

#define NOTED(id, hooks, flags) GANTRY_NOTE_FUNCTION(#id, hooks, flags)
GANTRY_NOTE("steps", "1.0.0",
            NOTED(Mark, NOTE_REQUEST, "") "," NOTED(MarkInPool, NOTE_REQUEST, "\"may_block\"") ","
            NOTED(SetSession, NOTE_REQUEST, "") "," NOTED(TellSession, NOTE_REQUEST, "") ","
            NOTED(Move, NOTE_REQUEST, "") "," NOTED(Answer, NOTE_REQUEST, "") ","
            NOTED(Fail, NOTE_REQUEST, "") "," NOTED(Crash, NOTE_REQUEST, "") ","
            NOTED(MarkResponse, "\"response\"", "") "," NOTED(AnswerResponse, "\"response\"", "") ","
            NOTED(FailResponse, "\"response\"", "") ","
            NOTED(WaitInPool, NOTE_REQUEST, "\"may_block\""))
