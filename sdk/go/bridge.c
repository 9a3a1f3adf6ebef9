#include "bridge.h"

#include <pthread.h>
#include <stdlib.h>

#include "_cgo_export.h"

GANTRY_EXPORT const gantry_plugin *gantry_plugin_v0(void) { return gantryGoPlugin(); }

static int32_t start(const gantry_host *host, gantry_start *start, void **instance) {
  uintptr_t made = 0;
  int32_t code = gantryGoStart((gantry_host *)host, start, &made);
  *instance = (void *)made;
  return code;
}

static int32_t call(void *instance, gantry_frame *frame) {
  return gantryGoCall((uintptr_t)instance, frame);
}

/*
 * While a thread runs a call, Go runs nothing else on it, so this says whose lines a logger of a layer
 * writes. Not __thread: that would double what each Go library takes of the little static TLS that a
 * process has.
 */
static pthread_key_t current;

static int32_t call_of_layer(void *instance, gantry_frame *frame) {
  void *outer = pthread_getspecific(current);
  int32_t verdict;
  pthread_setspecific(current, (void *)(uintptr_t)frame->call);
  verdict = gantryGoCall((uintptr_t)instance, frame);
  pthread_setspecific(current, outer);
  return verdict;
}

void gantry_go_is_of_layer(gantry_function *function) { function->call = call_of_layer; }

gantry_call gantry_go_current(void) {
  return (gantry_call)(uintptr_t)pthread_getspecific(current);
}

static void event(void *instance, gantry_call call, uint32_t event, gantry_str detail) {
  gantryGoEvent((uintptr_t)instance, call, event, detail);
}

void gantry_go_may_pend(gantry_function *function) { function->event = event; }

void gantry_go_may_carry(gantry_plugin *plugin) { plugin->release = gantryGoRelease; }

static void stop(void *instance) { gantryGoStop((uintptr_t)instance); }

gantry_plugin *gantry_go_table(size_t n_functions) {
  gantry_plugin *plugin = calloc(1, sizeof *plugin);
  const gantry_function **pointers = calloc(n_functions, sizeof *pointers);
  gantry_function *functions = calloc(n_functions, sizeof *functions);
  if (pthread_key_create(&current, NULL) != 0) return NULL;
  if (plugin == NULL || pointers == NULL || functions == NULL) return NULL;
  for (size_t i = 0; i < n_functions; i++) {
    functions[i].size = sizeof functions[i];
    functions[i].start = start;
    functions[i].call = call;
    functions[i].stop = stop;
    pointers[i] = &functions[i];
  }
  plugin->size = sizeof *plugin;
  plugin->abi_major = GANTRY_ABI_MAJOR;
  plugin->abi_minor = GANTRY_ABI_MINOR;
  plugin->n_functions = n_functions;
  plugin->functions = pointers;
  return plugin;
}

gantry_function *gantry_go_function(gantry_plugin *plugin, size_t index) {
  return (gantry_function *)plugin->functions[index];
}

static const gantry_host *of(gantry_go_host host) { return (const gantry_host *)host; }

static gantry_go_given give(int32_t code, gantry_str found) {
  gantry_go_given given = {(uintptr_t)found.ptr, found.len, code};
  return given;
}

gantry_go_given gantry_go_get(gantry_go_host host, gantry_call call, uint32_t part, const uint8_t *name,
                              size_t name_len) {
  gantry_str key = {name, name_len}, found = {NULL, 0};
  int32_t code = of(host)->get(call, part, key, &found);
  return give(code, found);
}

gantry_go_given gantry_go_snapshot(gantry_go_host host, gantry_call call, uint64_t parts) {
  gantry_str found = {NULL, 0};
  int32_t code = of(host)->snapshot(call, parts, &found);
  return give(code, found);
}

int32_t gantry_go_apply(gantry_go_host host, gantry_call call, const uint8_t *ptr, size_t len) {
  gantry_str mutations = {ptr, len};
  return of(host)->apply(call, mutations);
}

int32_t gantry_go_mutate(gantry_go_host host, gantry_call call, uint32_t op, const uint8_t *ptr, size_t len) {
  gantry_str none = {NULL, 0}, value = {ptr, len};
  return of(host)->mutate(call, op, none, value);
}

int32_t gantry_go_log(gantry_go_host host, gantry_call call, uint32_t level, const uint8_t *ptr, size_t len) {
  gantry_str message = {ptr, len};
  return of(host)->log(call, level, message);
}

int32_t gantry_go_resume(gantry_go_host host, gantry_call call, int32_t verdict, const uint8_t *ptr, size_t len) {
  gantry_str mutations = {ptr, len};
  return of(host)->resume(call, verdict, mutations);
}

int32_t gantry_go_ask(gantry_go_host host, gantry_call call, uint32_t part) { return of(host)->ask(call, part); }
