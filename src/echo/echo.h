#pragma once
/* The sample workload: servers that tell who answered. One loop, one set of options shared by all
 * of them. */

#include "base/addr.h"
#include "base/list.h"
#include "base/vec.h"
#include "codec/json.h"
#include "net/http_server.h"
#include "net/resolver.h"
#include "net/udp_server.h"

struct echo_ports {
    uint16_t v[16];
    size_t n;
};

struct echo;
struct echo_options;

struct echo_path {
    const char *path; /* ends in '/': a prefix, the rest is the argument */
    bool is_plain;    /* neither delayed nor failed on purpose */
    void (*answer)(struct echo *e, struct http_exchange *x, struct str argument);
};

/* Another program's ports, paths and answers; echo_modes.c has the table. */
struct echo_mode {
    const char *name;
    uint16_t http;         /* default port */
    const char *port_flag; /* of the original: "port" for --port=N, -port N, --port :N */
    const char *port_env;
    const struct echo_path *paths;
    size_t n_paths;
    void (*answer)(struct echo *e, struct http_exchange *x, struct str path); /* all else */
    void (*datagram)(const struct echo *e, struct str datagram, struct buf *ret);
    /* Looks at the original's arguments. -1: serve; else the exit code. May be NULL. */
    int (*begin)(struct echo_options *o, char *const *argv);
};

struct echo_options {
    const struct echo_mode *mode; /* NULL = itself */
    const char *image;            /* the reference that it stands in for, or NULL */
    char *name;
    char *version;
    struct echo_ports http;
    struct echo_ports tcp;
    struct echo_ports udp;
    uint64_t delay_ms;
    uint64_t fail_percent; /* of ordinary requests, answered 500 */
    uint64_t drain_ms;
    bool text; /* text answers where JSON is the default */
};

struct echo {
    struct loop *loop;
    struct loop_call ending;   /* asked to leave */
    struct resolver *resolver; /* NULL until a mode asks others */
    const struct echo_options *options;
    VEC(struct http_server *) servers;
    VEC(struct listener *) listeners;
    VEC(struct udp_server *) sockets;
    struct list_node streams; /* open TCP echo connections */
    size_t n_streams;
    bool draining;
};

/* Flags win over ECHO_NAME, ECHO_VERSION, ECHO_HTTP, ECHO_TCP, ECHO_UDP, ECHO_DELAY,
 * ECHO_FAIL_RATE, ECHO_DRAIN, ECHO_FORMAT. Returns -1 to go on, or the exit code. */
int echo_options_load(int argc, char **argv, struct echo_options *ret) NODISCARD;
void echo_options_done(struct echo_options *o);

/* Listen on every port of the options, IPv6 and IPv4 alike. */
int echo_http_start(struct echo *e, struct err *reterr) NODISCARD;
int echo_tcp_start(struct echo *e, struct err *reterr) NODISCARD;
int echo_udp_start(struct echo *e, struct err *reterr) NODISCARD;
void echo_tcp_stop(struct echo *e);
void echo_stop(struct echo *e);

/* What the tables of paths answer with. The exchange is over then. */
void echo_reply(struct echo *e, struct http_exchange *x, int status, const char *type,
                struct str body);
void echo_reply_text(struct echo *e, struct http_exchange *x, int status, const char *text);
void echo_reply_json(struct echo *e, struct http_exchange *x, int status, const json_t *body);
json_t *echo_headers_json(struct http_exchange *x);
/* The parameters of a query, or of a form, decoded; of a name that comes again the first. */
json_t *echo_query_json(struct str query);
/* {"a": "b"} as {"a": ["b"]}. Takes the reference. */
json_t *echo_lists_json(json_t *texts);
/* A string, or what stands for one that is not UTF-8. */
json_t *echo_text_json(struct str s);
/* answer comes after a while, unless the client goes. */
void echo_answer_after(struct echo *e, struct http_exchange *x, const struct echo_path *path,
                       struct str argument, uint64_t after_ms);
/* "SECONDS" up to ten minutes. -EINVAL */
int echo_delay_parse(struct str text, uint64_t *ret_ms) NODISCARD;

const struct echo_mode *echo_mode_find(const char *name);
/* "a, b, c" */
void echo_mode_names(struct buf *ret);
/* The value of --NAME=V, -NAME=V, --NAME V or -NAME V among an original's arguments; NULL: not
 * there. Borrowed. */
const char *echo_flag(char *const *argv, const char *name);
/* The port of "N", ":N" or "HOST:N"; 0: none. */
uint16_t echo_port_parse(const char *text);

/* Answers of others, asked at once by GET with the headers that traces are made of. Given back to
 * done when all are there; a status of 0 is no answer. */
enum { ECHO_PARTS_MAX = 2 };
struct echo_part {
    const char *host; /* a Service's name */
    uint16_t port;
    const char *target;
    int status;
    struct buf body;
};
typedef void echo_gathered_fn(struct echo *e, struct http_exchange *x,
                              const struct echo_part *parts, struct str argument);
void echo_gather(struct echo *e, struct http_exchange *x, const struct echo_part *parts, size_t n,
                 struct str argument, echo_gathered_fn *done);

/* "address:port" with IPv4-mapped addresses as IPv4, IPv6 in brackets. */
enum { ECHO_ADDR_BYTES = 64 };
const char *echo_addr_format(const struct ip *ip, uint16_t port, char ret[ECHO_ADDR_BYTES]);
