/*
 * Two functions in C. TagRequest adds a request header whose value comes from config_data (it looks
 * for "tag":"…"); BlockPath answers 403 by itself for paths that begin with /internal.
 */
#include <stdlib.h>

#include "gantry_plugin.h"

typedef struct {
  size_t len;
  uint8_t tag[64];
} tagger;

static int32_t start_tagger(const gantry_host *host, gantry_start *start, void **instance) {
  static const char field[] = "\"tag\":\"";
  const char *config = (const char *)start->config.ptr;
  tagger *self = calloc(1, sizeof *self);
  (void)host;
  if (self == NULL) return GANTRY_FAILED;
  for (size_t at = 0; at + sizeof field - 1 <= start->config.len; at++) {
    if (memcmp(config + at, field, sizeof field - 1) != 0) continue;
    for (at += sizeof field - 1; at < start->config.len && config[at] != '"'; at++) {
      if (self->len < sizeof self->tag) self->tag[self->len++] = (uint8_t)config[at];
    }
  }
  if (self->len == 0) {
    free(self);
    gantry_start_error(start, "config_data needs \"tag\":\"...\"");
    return GANTRY_FAILED;
  }
  *instance = self;
  return GANTRY_OK;
}

static int32_t tag_request(void *instance, gantry_frame *frame) {
  const tagger *self = instance;
  gantry_str tag = {self->tag, self->len};
  int32_t code =
      frame->host->mutate(frame->call, GANTRY_OP_SET_REQUEST_HEADER, gantry_text("x-tag"), tag);
  return code == GANTRY_OK ? GANTRY_CONTINUE : GANTRY_FAILED;
}

static int32_t block_path(void *instance, gantry_frame *frame) {
  static const char prefix[] = "/internal";
  const gantry_host *host = frame->host;
  gantry_str none = {NULL, 0}, path;
  (void)instance;
  if (host->get(frame->call, GANTRY_PART_PATH, none, &path) != GANTRY_OK) return GANTRY_FAILED;
  if (path.len < sizeof prefix - 1 || memcmp(path.ptr, prefix, sizeof prefix - 1) != 0) {
    return GANTRY_CONTINUE;
  }
  host->log(frame->call, GANTRY_LOG_INFO, gantry_text("refused an internal path"));
  host->mutate(frame->call, GANTRY_OP_ANSWER_STATUS, none, gantry_text("403"));
  host->mutate(frame->call, GANTRY_OP_ANSWER_BODY, none, gantry_text("{\"error\":\"internal\"}\n"));
  return GANTRY_RESPOND;
}

static int32_t start_nothing(const gantry_host *host, gantry_start *start, void **instance) {
  (void)host, (void)start, (void)instance;
  return GANTRY_OK;
}

static void stop(void *instance) { free(instance); }

static const gantry_function TAG = {
    sizeof(gantry_function), 1u << GANTRY_HOOK_PRE | 1u << GANTRY_HOOK_POST, 0, 0, 0,
    GANTRY_LIT("TagRequest"), start_tagger, tag_request, stop};
static const gantry_function BLOCK = {
    sizeof(gantry_function), 1u << GANTRY_HOOK_PRE, 0, 0, 0,
    GANTRY_LIT("BlockPath"), start_nothing, block_path, stop};
static const gantry_function *const FUNCTIONS[] = {&TAG, &BLOCK};

const gantry_plugin *gantry_plugin_v0(void) {
  static const gantry_plugin plugin = {
      sizeof plugin, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, 0,
      GANTRY_LIT("c-headers"), GANTRY_LIT("1.0.0"), 2, FUNCTIONS};
  return &plugin;
}

GANTRY_NOTE("c-headers", "1.0.0",
            GANTRY_NOTE_FUNCTION("TagRequest", "\"pre\",\"post\"", "") ","
            GANTRY_NOTE_FUNCTION("BlockPath", "\"pre\"", ""))
