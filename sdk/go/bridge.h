/*
 * What C does between the gateway and Go: static functions for the tables, and calls through the
 * host's function pointers, which Go cannot make itself.
 */
#ifndef GANTRY_GO_BRIDGE_H
#define GANTRY_GO_BRIDGE_H

#include "gantry_plugin.h"

/* A table of functions to be filled, on the heap for ever; NULL without memory. Once. */
gantry_plugin *gantry_go_table(size_t n_functions);
gantry_function *gantry_go_function(gantry_plugin *plugin, size_t index);

/* Lets a function pend; lets a library carry something. */
void gantry_go_may_pend(gantry_function *function);
void gantry_go_may_carry(gantry_plugin *plugin);

/* Lets gantry_go_current know the function's calls. */
void gantry_go_is_of_layer(gantry_function *function);

/* The call of a layer's function that this thread was entered with; 0 without. */
gantry_call gantry_go_current(void);

/* Arguments whose types hold no pointers are not looked through for Go's at each call. So the host and what it
 * gives are numbers, and names and values are bytes. */
typedef uintptr_t gantry_go_host;

typedef struct {
  uintptr_t ptr;
  size_t len;
  int32_t code;
} gantry_go_given;

/* A part of a call; of headers, the first value of a name. Without one, NULL. */
gantry_go_given gantry_go_get(gantry_go_host host, gantry_call call, uint32_t part, const uint8_t *name,
                              size_t name_len);
gantry_go_given gantry_go_snapshot(gantry_go_host host, gantry_call call, uint64_t parts);
int32_t gantry_go_apply(gantry_go_host host, gantry_call call, const uint8_t *ptr, size_t len);
int32_t gantry_go_mutate(gantry_go_host host, gantry_call call, uint32_t op, const uint8_t *ptr, size_t len);
int32_t gantry_go_log(gantry_go_host host, gantry_call call, uint32_t level, const uint8_t *ptr, size_t len);
int32_t gantry_go_resume(gantry_go_host host, gantry_call call, int32_t verdict, const uint8_t *ptr, size_t len);
int32_t gantry_go_ask(gantry_go_host host, gantry_call call, uint32_t part);

#endif
