/*
 * gantry_plugin.h: the contract between a Gantry gateway and native plugins, version 0.2.
 *
 * A plugin is a shared library with one exported function, gantry_plugin_v0, that returns a static
 * table. The table names functions; an API definition says at which hook which function runs. For
 * every such place the gateway calls `start` once, which makes an instance with the configuration of
 * that API definition; `call` for every request or response; and `stop` at the end.
 *
 *   cc -shared -fPIC -fvisibility=hidden -Wl,-Bsymbolic -o hooks.so hooks.c
 *
 * RULES
 *
 * Trust     A plugin runs in the gateway's process. Nothing here protects the process from it.
 * Growth    Every struct begins with its size and grows only at its end: read a field only if `size`
 *           covers it. Numbers keep their meaning. While the major version is 0, a new major or
 *           minor version may still change what this file says.
 * Handles   A gantry_call is a number, never a pointer. It works on the thread that runs `call`,
 *           until `call` returns. Any other handle is answered GANTRY_E_DEAD_HANDLE, at no risk.
 * Lifetimes A gantry_str that the host gave dies at the next `mutate`, `apply` or `snapshot` of that
 *           call, and when `call` returns. The gantry_str that a plugin passes is read during that
 *           one callback. What either side allocates it frees itself: no memory changes its owner.
 * Threads   `call` may run on several threads at once with the same instance. `start` and `stop` run
 *           once per instance. `log` works from any thread with call 0.
 * Unwinding No exception, panic or longjmp may cross the boundary in either direction.
 * Loading   A library is loaded once per process and never unloaded; `stop` is the only end.
 * Pending   A function that declares GANTRY_FLAG_MAY_PEND may return GANTRY_PENDING and end the call
 *           later. It then owns only what it copied; frame, snapshot, output buffer and slices are
 *           gone. It ends the call exactly once, from any thread, with `resume`, also before `call`
 *           has returned. Until then the handle is alive on every thread for `resume`, `ask` and
 *           `log`, and for nothing else. The host may give a call up at any time and says so with
 *           GANTRY_EVENT_CANCEL; `resume` is owed all the same, and `stop` waits for it. `resume` of
 *           a dead handle is answered GANTRY_E_DEAD_HANDLE and touches nothing.
 */
#ifndef GANTRY_PLUGIN_H
#define GANTRY_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GANTRY_ABI_MAJOR 0
#define GANTRY_ABI_MINOR 3

/* A call in progress; 0 is none. */
typedef uint64_t gantry_call;

/* Bytes that somebody else owns; not terminated. `ptr` may be NULL when `len` is 0. */
typedef struct gantry_str {
  const uint8_t *ptr;
  size_t len;
} gantry_str;

/* Hooks, in the order of a request. Bit in gantry_function.hooks: 1u << hook. */
#define GANTRY_HOOK_PRE 0
#define GANTRY_HOOK_AUTH 1
#define GANTRY_HOOK_POST_AUTH 2
#define GANTRY_HOOK_POST 3
#define GANTRY_HOOK_RESPONSE 4

/* What callbacks and `start` return. */
#define GANTRY_OK 0
#define GANTRY_E_ABSENT (-1)      /* no value here, or the end of an iteration */
#define GANTRY_E_DEAD_HANDLE (-2) /* the handle names no call that this thread is in */
#define GANTRY_E_UNKNOWN (-3)     /* no such part, operation or level */
#define GANTRY_E_UNSUPPORTED (-4) /* reserved, and not served by this host */
#define GANTRY_E_REFUSED (-5)     /* not at this hook, not declared, or it belongs to the gateway */
#define GANTRY_E_INVALID (-6)     /* malformed name, value or pointer */
#define GANTRY_E_TOO_LARGE (-7)   /* beyond a limit */
#define GANTRY_E_INTERNAL (-8)    /* the host failed; its log says why */

/* What `call` returns. Any other value fails the call. */
#define GANTRY_CONTINUE 0
#define GANTRY_RESPOND 1 /* send the answer that was set; no later function runs */
#define GANTRY_PENDING 2 /* the call ends with `resume`; needs GANTRY_FLAG_MAY_PEND */
#define GANTRY_FAILED (-1)
#define GANTRY_PANICKED (-2)

/*
 * Parts: what `get`, `next` and snapshots read. Bit in want_parts: UINT64_C(1) << part.
 * A part that has no value is GANTRY_E_ABSENT; an empty value is GANTRY_OK with length 0.
 */
#define GANTRY_PART_METHOD 1
#define GANTRY_PART_PATH 2           /* without the listen path in response hooks, if stripped */
#define GANTRY_PART_QUERY 3          /* without `?` */
#define GANTRY_PART_HOST 4           /* as the client asked, without port */
#define GANTRY_PART_REMOTE_ADDR 5    /* 192.0.2.1:4711 or [2001:db8::1]:4711 */
#define GANTRY_PART_REQUEST_HEADER 6 /* key: a name; get gives the first value */
#define GANTRY_PART_SESSION 7        /* JSON object; absent before authentication */
#define GANTRY_PART_API_ID 8
#define GANTRY_PART_API_DEFINITION 9 /* JSON */
#define GANTRY_PART_CONFIG_DATA 10   /* JSON */
#define GANTRY_PART_TRACE_ID 11      /* 32 hexadecimal characters */
#define GANTRY_PART_TRACEPARENT 12   /* for requests that the plugin makes itself */
#define GANTRY_PART_HOOK 13          /* pre, auth, post_auth, post, response */
#define GANTRY_PART_STATUS 14        /* three digits; response hooks */
#define GANTRY_PART_RESPONSE_HEADER 15 /* key: a name; in request hooks those set by plugins */
#define GANTRY_PART_OPENAPI 16 /* the OpenAPI document of the API definition, JSON; absent without one */
#define GANTRY_PART_AUTH_TOKEN 17 /* the consumer key of the session; absent before authentication */
/* Response headers that functions added, key: a name. In response hooks, for functions whose want_parts
 * names it: they join the upstream's in the end. For all other functions they are among
 * GANTRY_PART_RESPONSE_HEADER from the start. */
#define GANTRY_PART_ADDED_HEADER 18
#define GANTRY_PART_TARGET 19 /* path and query as the client sent them, whatever functions changed */
/*
 * Bodies, whole and as they were transferred: a compressed one is compressed, as its Content-Encoding
 * says. A function reads them with `get` or `body` (not in snapshots) if it declares the flag for it;
 * otherwise GANTRY_E_REFUSED. A message without a body has an empty one, never GANTRY_E_ABSENT.
 * More than the gateway's limit (1 MiB unless configured, at most 16 MiB) never comes to a function:
 * the client gets 413, or 502 for a response. Trailers are dropped.
 */
#define GANTRY_PART_REQUEST_BODY 24  /* request hooks; GANTRY_FLAG_WANTS_REQUEST_BODY */
#define GANTRY_PART_RESPONSE_BODY 25 /* response hooks; GANTRY_FLAG_WANTS_RESPONSE_BODY */
/* Reserved parts: GANTRY_E_UNSUPPORTED. */
#define GANTRY_PART_TIMER 28
#define GANTRY_PART_OUTBOUND_RESPONSE 29
#define GANTRY_PART_SHARED_VALUE 30

/*
 * Operations: what `mutate` and flat mutations change. Where none is named, the key is empty.
 * Framing and connection headers (Connection, Content-Length, Host, Keep-Alive, Proxy-Connection,
 * TE, Trailer, Transfer-Encoding, Upgrade) belong to the gateway: GANTRY_E_REFUSED.
 * A path changed by a plugin never selects another API.
 *
 * An answer begins with GANTRY_OP_ANSWER_STATUS; set it first, then headers and body, and return
 * GANTRY_RESPOND. In a response hook it goes out in place of the upstream's: the first
 * GANTRY_OP_ANSWER_STATUS of a call drops the headers that describe the upstream's body
 * (Accept-Ranges, Content-Digest, Content-Encoding, Content-Language, Content-Length,
 * Content-Location, Content-MD5, Content-Range, Content-Type, Digest, ETag, Last-Modified,
 * Repr-Digest, Trailer); the others stay. If the call fails, the response headers are again as they
 * were before the answer began.
 *
 * A body that is set takes the whole body's place; the gateway makes the length right. The first such
 * operation of a call drops the headers of that side that hold for the old bytes only (Accept-Ranges,
 * Content-Digest, Content-Encoding, Content-Length, Content-MD5, Content-Range, Digest, ETag,
 * Last-Modified, Repr-Digest, Trailer), so body first, then headers. Content-Type stays.
 */
#define GANTRY_OP_SET_METHOD 1             /* request hooks; not CONNECT */
#define GANTRY_OP_SET_PATH 2               /* request hooks; begins with `/` */
#define GANTRY_OP_SET_QUERY 3              /* request hooks; empty removes it */
#define GANTRY_OP_SET_REQUEST_HEADER 4     /* request hooks; replaces all values; key: name */
#define GANTRY_OP_ADD_REQUEST_HEADER 5     /* request hooks; key: name */
#define GANTRY_OP_REMOVE_REQUEST_HEADER 6  /* request hooks; key: name; empty value */
#define GANTRY_OP_SET_RESPONSE_HEADER 7    /* all hooks; key: name. Set in a request hook, the */
#define GANTRY_OP_ADD_RESPONSE_HEADER 8    /*   header is on the final response, whoever gives it */
#define GANTRY_OP_REMOVE_RESPONSE_HEADER 9 /* all hooks; key: name; empty value */
#define GANTRY_OP_SET_STATUS 10            /* response hooks; three digits, 200 to 599 */
#define GANTRY_OP_SET_SESSION 11           /* auth, post_auth, post; JSON object, at most 16 KiB; for */
                                           /*   this request. key: its consumer key, or empty */
#define GANTRY_OP_ANSWER_STATUS 12         /* all hooks; three digits, 200 to 599 */
#define GANTRY_OP_ANSWER_BODY 13           /* all hooks; at most 1 MiB */
#define GANTRY_OP_SET_REQUEST_BODY 14      /* request hooks; at most 16 MiB, beyond 2 MiB by */
#define GANTRY_OP_SET_RESPONSE_BODY 15     /*   `mutate` alone; response hooks likewise. Both need */
                                           /*   the flag for that body, or GANTRY_FLAG_MAY_PEND */
#define GANTRY_OP_STORE_SESSION 16         /* as SET_SESSION, and kept under its consumer key for all */
                                           /*   gateways of the environment; the key is not empty */
/* Response hooks, for functions whose want_parts names GANTRY_PART_ADDED_HEADER; key: name. Of headers of
 * which two values make no sense, such as Content-Type, an added one takes the place of the upstream's;
 * elsewhere both go out. */
#define GANTRY_OP_SET_ADDED_HEADER 17
#define GANTRY_OP_ADD_ADDED_HEADER 18
#define GANTRY_OP_REMOVE_ADDED_HEADER 19 /* empty value */
#define GANTRY_OP_SET_REMOTE_ADDR 20 /* request hooks: what later functions see as the client's address; */
                                     /*   the upstream and records get the connection's */
/* Reserved operations: GANTRY_E_UNSUPPORTED. */
#define GANTRY_OP_REQUEST_BODY_CHUNK 32
#define GANTRY_OP_RESPONSE_BODY_CHUNK 33
#define GANTRY_OP_SET_TIMER 40
#define GANTRY_OP_CANCEL_TIMER 41
#define GANTRY_OP_SEND_OUTBOUND 48
#define GANTRY_OP_SET_SHARED_VALUE 56
#define GANTRY_OP_SWAP_SHARED_VALUE 57

/* Properties of a function. An unknown or reserved bit is refused when the library is loaded. */
#define GANTRY_FLAG_MAY_BLOCK 1 /* may wait for network, disk or locks; note: "may_block" */
/* Reads or replaces that body. The gateway has it whole before the first function that wants it runs,
 * and not before: an earlier function that refuses does not wait for it. Only for functions with a
 * hook where that body can be read. Note: "wants_request_body", "wants_response_body". */
#define GANTRY_FLAG_WANTS_REQUEST_BODY 2
#define GANTRY_FLAG_WANTS_RESPONSE_BODY 4
/* May return GANTRY_PENDING. May `ask` for the body of its hook's side and replace it without a flag for
 * it; needs `event`. Note: "may_pend". */
#define GANTRY_FLAG_MAY_PEND 8

/* What `event` says. */
#define GANTRY_EVENT_CANCEL 1 /* nobody waits for the call any more; it still ends with `resume` */
#define GANTRY_EVENT_BODY 2   /* the body asked for is there: `detail`, until `event` returns */

/* Levels of log lines. */
#define GANTRY_LOG_ERROR 1
#define GANTRY_LOG_WARN 2
#define GANTRY_LOG_INFO 3
#define GANTRY_LOG_DEBUG 4
#define GANTRY_LOG_TRACE 5

/* What the host does for a plugin. One table per process, valid for ever. */
typedef struct gantry_host {
  uint32_t size;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t flags;

  /* Reads a part into *out. */
  int32_t (*get)(gantry_call call, uint32_t part, gantry_str key, gantry_str *out);

  /* Steps through GANTRY_PART_REQUEST_HEADER or GANTRY_PART_RESPONSE_HEADER: all values of `key`, or
   * all headers if it is empty. Begin with *cursor = 0; GANTRY_E_ABSENT is the end. Names come in
   * lower case. A change of headers ends the iteration's meaning: begin again. */
  int32_t (*next)(gantry_call call, uint32_t part, gantry_str key, uint64_t *cursor,
                  gantry_str *name, gantry_str *value);

  /* Changes one thing. After a refusal nothing has changed. */
  int32_t (*mutate)(gantry_call call, uint32_t op, gantry_str key, gantry_str value);

  /* Encodes the parts as a flat snapshot (below) into *out. */
  int32_t (*snapshot)(gantry_call call, uint64_t parts, gantry_str *out);

  /* Applies flat mutations (below): all of them or, after a refusal, none. */
  int32_t (*apply)(gantry_call call, gantry_str mutations);

  /* Writes a log line with API, function, hook and trace of the call, or without if it is 0. With a
   * dead handle the line is written without them, and GANTRY_E_DEAD_HANDLE is the answer. What is
   * beyond 8 KiB is cut off. */
  int32_t (*log)(gantry_call call, uint32_t level, gantry_str message);

  /* Ends a call that pends or is about to, from any thread: GANTRY_CONTINUE, GANTRY_RESPOND or a negative
   * number, and flat mutations (at most 18 MiB) as if `call` had left them in its output. What the
   * function changed before it returned GANTRY_PENDING counts, too. GANTRY_OK says that the host has
   * taken it, not that the mutations pass: if they do not, the call has failed. */
  int32_t (*resume)(gantry_call call, int32_t verdict, gantry_str mutations);

  /* Reads GANTRY_PART_REQUEST_BODY or GANTRY_PART_RESPONSE_BODY from `offset` on: *chunk is what lies
   * there in one piece, without a copy; go on at offset + chunk->len. GANTRY_E_ABSENT is the end. Any
   * number of times, in any order. */
  int32_t (*body)(gantry_call call, uint32_t part, uint64_t offset, gantry_str *chunk);

  /* Asks for GANTRY_PART_REQUEST_BODY or GANTRY_PART_RESPONSE_BODY, whichever the hook is about, from any
   * thread, in a call that pends or is about to: once it is there whole, GANTRY_EVENT_BODY brings it.
   * What nobody asks for streams past. A body beyond the gateway's limit ends the request, and the
   * call gets GANTRY_EVENT_CANCEL. Once per call. */
  int32_t (*ask)(gantry_call call, uint32_t part);
} gantry_host;

/* What a function is started with. Valid during `start`. */
typedef struct gantry_start {
  uint32_t size;
  uint32_t hook;
  gantry_str api_id;
  gantry_str function;
  gantry_str config; /* config_data of the API definition: JSON */
  uint8_t *error;    /* why it refused, UTF-8: write here ... */
  size_t error_cap;
  size_t error_len; /* ... and how many bytes here */
} gantry_start;

/* One call. */
typedef struct gantry_frame {
  uint32_t size;
  uint32_t hook;
  uint32_t flags;    /* 0 */
  /* How long the call may pend, milliseconds from now; waiting for a body that it asked for does not
   * count. 0 where it may not pend. */
  uint32_t deadline_ms;
  gantry_call call;
  const gantry_host *host;
  gantry_str snapshot; /* the function's want_parts; empty if it wants none */
  uint8_t *out;        /* flat mutations, applied after CONTINUE or RESPOND: write here ... */
  size_t out_cap;
  size_t out_len; /* ... and how many bytes here */
  /* The library's own, from each of its calls in a request to the next; 0 in the first. Read when `call`
   * returns. Not 0 at the end of the request, it goes to gantry_plugin.release. */
  uint64_t carry;
  /* Another number whenever definition, configuration or OpenAPI document may be others: what was read
   * under one number can be kept. */
  uint64_t definition;
} gantry_frame;

/* Something that a library offers to hooks. */
typedef struct gantry_function {
  uint32_t size;
  uint32_t hooks;
  uint32_t flags;
  uint32_t reserved; /* 0 */
  uint64_t want_parts;
  gantry_str name; /* letters, digits, underscores */
  /* Makes *instance, which may be NULL if there is no state. GANTRY_OK, or a negative number. */
  int32_t (*start)(const gantry_host *host, gantry_start *start, void **instance);
  int32_t (*call)(void *instance, gantry_frame *frame);
  void (*stop)(void *instance);
  /* Something happened to a call that pends or is about to (GANTRY_EVENT_...). On any thread, also while
   * `call` runs; must not wait, and must not call `resume` for a call of another instance. NULL
   * without GANTRY_FLAG_MAY_PEND. */
  void (*event)(void *instance, gantry_call call, uint32_t event, gantry_str detail);
} gantry_function;

/* A library's table. */
typedef struct gantry_plugin {
  uint32_t size;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t flags; /* 0 */
  gantry_str name;
  gantry_str version;
  size_t n_functions;
  const gantry_function *const *functions; /* pointers, so that the structs can grow */
  /* Takes back gantry_frame.carry when a request has ended and no call of it runs or pends. On any
   * thread; must not wait. May be NULL. */
  void (*release)(uint64_t carry);
} gantry_plugin;

#define GANTRY_EXPORT __attribute__((visibility("default")))

/* The one exported function. */
GANTRY_EXPORT const gantry_plugin *gantry_plugin_v0(void);

/*
 * Flat encodings: little-endian, unaligned.
 *
 * Snapshot   u32 total, u32 slots, u32 request_headers, u32 response_headers, then a pair
 *            (u32 offset, u32 length) per slot, then two pairs per header (name, value), request
 *            headers first, then the bytes. Slot n is part n; offset 0 is absent. The slot of
 *            GANTRY_PART_ADDED_HEADER is the offset of its first pair, and how many headers there are.
 * Mutations  repeated: u8 op, u8 flags (0), u16 key length, u32 value length, key, value.
 */

/* A string literal as gantry_str; in static initialisers and in code. */
#define GANTRY_LIT(text) {(const uint8_t *)(text), sizeof(text) - 1}

static inline gantry_str gantry_text(const char *text) {
  gantry_str str = {(const uint8_t *)text, text ? strlen(text) : 0};
  return str;
}

static inline uint32_t gantry_u32_(const uint8_t *at) {
  uint32_t number;
  memcpy(&number, at, sizeof number);
  return number;
}

/* The value of a part in a snapshot; ptr NULL if it is absent. */
static inline gantry_str gantry_snapshot_get(gantry_str snapshot, uint32_t part) {
  gantry_str value = {NULL, 0};
  if (snapshot.len >= 16 && part < gantry_u32_(snapshot.ptr + 4)) {
    const uint8_t *pair = snapshot.ptr + 16 + 8 * (size_t)part;
    if (gantry_u32_(pair) != 0) {
      value.ptr = snapshot.ptr + gantry_u32_(pair);
      value.len = gantry_u32_(pair + 4);
    }
  }
  return value;
}

/* Header i of a snapshot's part GANTRY_PART_REQUEST_HEADER or _RESPONSE_HEADER; 0 if there is none. */
static inline int gantry_snapshot_header(gantry_str snapshot, uint32_t part, uint32_t i,
                                         gantry_str *name, gantry_str *value) {
  uint32_t slots, requests, responses, count;
  size_t first;
  const uint8_t *pair;
  if (snapshot.len < 16) return 0;
  slots = gantry_u32_(snapshot.ptr + 4);
  requests = gantry_u32_(snapshot.ptr + 8);
  responses = gantry_u32_(snapshot.ptr + 12);
  count = part == GANTRY_PART_RESPONSE_HEADER ? responses : requests;
  first = slots + (part == GANTRY_PART_RESPONSE_HEADER ? 2 * (size_t)requests : 0);
  if (i >= count) return 0;
  pair = snapshot.ptr + 16 + 8 * (first + 2 * (size_t)i);
  name->ptr = snapshot.ptr + gantry_u32_(pair);
  name->len = gantry_u32_(pair + 4);
  value->ptr = snapshot.ptr + gantry_u32_(pair + 8);
  value->len = gantry_u32_(pair + 12);
  return 1;
}

/* Appends a mutation to the frame's output; 0 if it does not fit (then use `mutate` or `apply`). */
static inline int gantry_out(gantry_frame *frame, uint8_t op, gantry_str key, gantry_str value) {
  size_t room = frame->out_cap - frame->out_len;
  uint8_t *at = frame->out + frame->out_len;
  uint16_t key_len = (uint16_t)key.len;
  uint32_t value_len = (uint32_t)value.len;
  if (key.len > UINT16_MAX || room < 8 || room - 8 < key.len || room - 8 - key.len < value.len) {
    return 0;
  }
  at[0] = op;
  at[1] = 0;
  memcpy(at + 2, &key_len, sizeof key_len);
  memcpy(at + 4, &value_len, sizeof value_len);
  if (key.len) memcpy(at + 8, key.ptr, key.len);
  if (value.len) memcpy(at + 8 + key.len, value.ptr, value.len);
  frame->out_len += 8 + key.len + value.len;
  return 1;
}

/* Writes why `start` refuses. */
static inline void gantry_start_error(gantry_start *start, const char *reason) {
  size_t len = strlen(reason);
  start->error_len = len < start->error_cap ? len : start->error_cap;
  memcpy(start->error, reason, start->error_len);
}

/*
 * The ELF note: the same facts as the table, readable without running the library. A bundle whose
 * library has none, or another than its table, is refused. One GANTRY_NOTE per library, outside any
 * function:
 *
 *   GANTRY_NOTE("my-plugin", "1.0.0", GANTRY_NOTE_FUNCTION("AddHeader", "\"pre\",\"post\"", ""))
 *
 * For a build that fits one gateway version only, define GANTRY_GATEWAY_VERSION as a string literal
 * (-DGANTRY_GATEWAY_VERSION='"5.3.0"').
 */
#define GANTRY_SDK_VERSION "0.1.0"
#ifdef GANTRY_GATEWAY_VERSION
#define GANTRY_NOTE_GATEWAY_ "\"gateway_version\":\"" GANTRY_GATEWAY_VERSION "\","
#else
#define GANTRY_NOTE_GATEWAY_ ""
#endif
#define GANTRY_STRING__(x) #x
#define GANTRY_STRING_(x) GANTRY_STRING__(x)
#define GANTRY_NOTE_FUNCTION(name, hooks, flags) \
  "{\"name\":\"" name "\",\"hooks\":[" hooks "],\"flags\":[" flags "]}"
#define GANTRY_NOTE(name, version, functions)                                                   \
  GANTRY_NOTE_JSON("{\"abi\":{\"major\":" GANTRY_STRING_(GANTRY_ABI_MAJOR) ",\"minor\":"        \
                   GANTRY_STRING_(GANTRY_ABI_MINOR) "},\"language\":\"c\",\"sdk\":\""            \
                   GANTRY_SDK_VERSION "\",\"name\":\"" name "\",\"version\":\"" version "\","   \
                   GANTRY_NOTE_GATEWAY_ "\"functions\":[" functions "]}")
#define GANTRY_NOTE_JSON(json)                                                        \
  static const struct {                                                               \
    uint32_t name_len, descriptor_len, type;                                          \
    char name[8];                                                                     \
    char descriptor[(sizeof(json) - 1 + 3) / 4 * 4];                                  \
  } gantry_note_ __attribute__((section(".note.gantry"), used, aligned(4))) = {       \
      7, sizeof(json) - 1, 1, "GANTRY", json};

#ifdef __cplusplus
}
#endif

#endif /* GANTRY_PLUGIN_H */
