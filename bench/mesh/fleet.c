/* Many sidecars in one process, as far as a control plane can see: each has a connection and a
 * stream of its own (delta, plain gRPC), asks for what a sidecar of ours asks for, and acknowledges
 * each response when it is whole. What comes is not unpacked: of a resource its name is read, and
 * the endpoints of that which is awaited; versions are not kept, since nobody comes again.
 *
 *   mesh-fleet IP:PORT PROXIES SERVICES HOSTS AT_ONCE
 *
 * Says "ready SECONDS CPU" when each has the endpoints of that many Services, a table of routes and
 * so many virtual hosts by themselves (its own seconds of CPU behind it), of at most AT_ONCE at a
 * time that have not; then for each line
 * "await CLUSTER PORT" of its input, when each has been told of an endpoint with that port there:
 * "told FIRST P50 P99 LAST", in microseconds of the monotonic clock. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/map.h"
#include "base/program.h"
#include "base/time.h"
#include "base/vec.h"
#include "codec/grpc.h"
#include "codec/pb.h"
#include "net/http2_conn.h"
#include "net/loop.h"
#include "xds/xds_types.h"

enum {
    LINE_BYTES = 512,
    PEEK = 512, /* of a field: its name is in there */
    CLUSTERS_MAX = 1 << 16,
    PORTS_MAX = 64, /* of listeners that several share */
    PREFIX = 5,     /* of a message of gRPC */
};

/* Of DeltaDiscoveryRequest and DeltaDiscoveryResponse. */
enum { ASK_NODE = 1, ASK_TYPE, ASK_NAMES, ASK_NONCE = 6 };
enum { SAY_RESOURCES = 2, SAY_TYPE = 4, SAY_NONCE, RESOURCE_ANY = 2, RESOURCE_NAME };

struct fleet;

/* A response of which not all is here. */
struct reading {
    struct chain in;
    size_t left;      /* of the message; 0: none has begun */
    size_t skip;      /* of the resource whose name is known */
    struct buf names; /* of resources, a line each */
    char type[128];
    char nonce[24];
    bool awaited; /* what is awaited is in it */
};

struct proxy {
    struct fleet *fleet;
    struct http_conn *conn;
    struct http_stream *stream;
    struct reading r;
    size_t endpoints, routes, hosts; /* that have come */
    uint8_t *asked;                  /* for endpoints of clusters by number; a bit each */
    uint64_t ports;                  /* asked for by routes, by number; a bit each */
    bool ready;
    uint64_t told_us; /* of what is awaited; 0: not yet */
};

struct fleet {
    struct loop *loop;
    struct loop_io *io;
    struct sockaddr_storage to;
    socklen_t to_bytes;
    struct proxy *v;
    size_t n, n_started, n_ready, n_told, services, hosts, at_once;
    uint64_t begin_us;
    char cluster[256];
    uint64_t port;
    struct buf in;
    struct map numbers; /* of clusters, and of ports, by their names: + 1, as pointers */
    size_t n_clusters, n_ports;
};

static void start_next(struct fleet *f);

static void end(const char *what, int code, const char *text)
{
    fprintf(stderr, "%s: %d %s\n", what, code, text);
    exit(1);
}

/* ---- what is asked for ---- */

static void send_message(struct proxy *p, const struct buf *message)
{
    struct chain out = {0};
    grpc_add(&out, buf_str(message));
    http_stream_send_data(p->stream, &out, false);
    chain_done(&out);
}

static void begin_ask(struct buf *to, enum xds_resource type)
{
    pb_add_text(to, ASK_TYPE, xds_resource_type(type)->type_url);
}

static void ask(struct proxy *p, enum xds_resource type, struct str name)
{
    AUTO_DONE(buf) struct buf m = {0};
    begin_ask(&m, type);
    pb_add_bytes(&m, ASK_NAMES, name);
    send_message(p, &m);
}

/* Numbers from 0 by name; made as they come. */
static size_t number_of(struct fleet *f, struct str name, size_t *n, size_t max)
{
    uintptr_t at = (uintptr_t)map_find(&f->numbers, name);
    if (at)
        return at - 1;
    if (*n >= max)
        end("more names than this is made for", 0, "");
    map_put(&f->numbers, name, (void *)(*n + 1));
    return (*n)++;
}

static void ask_for_endpoints(struct proxy *p, struct buf *to, struct str cluster)
{
    struct fleet *f = p->fleet;
    size_t i = number_of(f, cluster, &f->n_clusters, CLUSTERS_MAX);
    if (!str_starts(cluster, STR("outbound|")) || p->asked[i / 8] & 1 << i % 8)
        return;
    p->asked[i / 8] |= (uint8_t)(1 << i % 8);
    if (!to->n)
        begin_ask(to, XDS_ENDPOINT);
    pb_add_bytes(to, ASK_NAMES, cluster);
}

static void ask_for_routes(struct proxy *p, struct str listener)
{
    static const struct str any = STR("0.0.0.0_");
    struct fleet *f = p->fleet;
    if (!str_starts(listener, any))
        return;
    struct str port = str_sub(listener, any.n, listener.n);
    size_t i = number_of(f, port, &f->n_ports, PORTS_MAX);
    if (p->ports & (uint64_t)1 << i)
        return;
    p->ports |= (uint64_t)1 << i;
    ask(p, XDS_ROUTE, port);
    if (f->hosts)
        ask(p, XDS_HOST, port);
}

/* ---- what comes ---- */

/* Is there a number of that field anywhere below? (port_value of SocketAddress is 3.) */
static bool has_port(struct str bytes, uint64_t port, int depth)
{
    struct pb_field f;
    while (pb_next(&bytes, &f) == 1) {
        if (f.wire == PB_VARINT && f.number == 3 && f.value == port)
            return true;
        if (f.wire == PB_BYTES && depth < 8 && has_port(f.bytes, port, depth + 1))
            return true;
    }
    return false;
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void say_told(struct fleet *f)
{
    uint64_t *all = xcalloc(f->n, sizeof(*all));
    for (size_t i = 0; i < f->n; i++)
        all[i] = f->v[i].told_us;
    qsort(all, f->n, sizeof(*all), by_time);
    printf("told %llu %llu %llu %llu\n", (unsigned long long)all[0],
           (unsigned long long)all[f->n / 2], (unsigned long long)all[(f->n - 1) * 99 / 100],
           (unsigned long long)all[f->n - 1]);
    fflush(stdout);
    free(all);
    f->cluster[0] = 0;
}

static double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void note_ready(struct proxy *p)
{
    struct fleet *f = p->fleet;
    p->ready = true;
    if (++f->n_ready == f->n) {
        printf("ready %.3f %.3f\n", (double)(time_mono_us() - f->begin_us) / 1e6, cpu_s());
        fflush(stdout);
    }
    start_next(f);
}

static void note_told(struct proxy *p)
{
    struct fleet *f = p->fleet;
    p->told_us = time_mono_us();
    if (++f->n_told == f->n)
        say_told(f);
}

/* Subscriptions go before the acknowledgement of what made them. */
static void take_response(struct proxy *p)
{
    AUTO_DONE(buf) struct buf endpoints = {0};
    AUTO_DONE(buf) struct buf answer = {0};
    struct reading *r = &p->r;
    struct str rest = buf_str(&r->names), line;
    enum xds_resource type;
    if (xds_resource_of(str_from(r->type), &type) < 0)
        end("a response of an unknown type", 0, r->type);
    while (rest.n) {
        line = str_cut(rest, '\n', &rest);
        if (type == XDS_CLUSTER)
            ask_for_endpoints(p, &endpoints, line);
        else if (type == XDS_LISTENER)
            ask_for_routes(p, line);
        p->endpoints += type == XDS_ENDPOINT;
        p->routes += type == XDS_ROUTE;
        p->hosts += type == XDS_HOST;
    }
    if (endpoints.n)
        send_message(p, &endpoints);
    begin_ask(&answer, type);
    pb_add_text(&answer, ASK_NONCE, r->nonce);
    send_message(p, &answer);
    if (!p->ready && p->endpoints >= p->fleet->services && p->hosts >= p->fleet->hosts && p->routes)
        note_ready(p);
    if (r->awaited && !p->told_us)
        note_told(p);
    buf_done(&r->names);
    r->awaited = false;
}

static void keep_text(char *to, size_t size, struct str from)
{
    size_t n = MIN(from.n, size - 1);
    memcpy(to, from.p, n);
    to[n] = 0;
}

/* A field's head, and what is behind it. */
struct field {
    uint64_t number, bytes;
    size_t head;
};

/* False: not enough of it is here. All fields of a response are bytes. */
static bool read_head(struct str s, struct field *ret)
{
    uint64_t *of[2] = {&ret->number, &ret->bytes};
    size_t at = 0;
    for (size_t i = 0; i < 2; i++) {
        unsigned shift = 0;
        *of[i] = 0;
        do {
            if (at >= s.n || shift > 56)
                return false;
            *of[i] |= (uint64_t)(s.p[at] & 0x7f) << shift;
            shift += 7;
        } while (s.p[at++] & 0x80);
    }
    ret->number >>= 3;
    ret->head = at;
    return true;
}

/* What is here of the next field; true: that is its number. */
static bool is_field(struct str *rest, uint64_t number, struct str *ret)
{
    struct field f;
    if (!read_head(*rest, &f)) {
        *rest = STR("");
        return false;
    }
    *ret = str_sub(*rest, f.head, MIN(rest->n, f.head + f.bytes));
    bool is = f.number == number && (ret->n == f.bytes || number == RESOURCE_ANY);
    *rest = str_sub(*rest, f.head + ret->n, rest->n);
    return is;
}

/* Of a Resource of which the first bytes are here: its own name stands first, or that of what is in
 * it does (Go writes fields by their numbers). .p NULL: neither. */
static struct str find_name(struct str shown)
{
    enum { ANY_VALUE = 2, MESSAGE_NAME = 1 };
    struct str rest = shown, found;
    while (rest.n) {
        struct str before = rest;
        if (is_field(&rest, RESOURCE_NAME, &found))
            return found;
        if (!is_field(&before, RESOURCE_ANY, &found))
            continue;
        for (struct str any = found, message; any.n;)
            if (is_field(&any, ANY_VALUE, &message))
                return is_field(&message, MESSAGE_NAME, &found) ? found : STR("");
    }
    return (struct str){NULL, 0};
}

/* A resource of which the first bytes are here. False: more of it is needed. */
static bool take_resource(struct proxy *p, struct str shown, const struct field *f)
{
    struct reading *r = &p->r;
    const struct fleet *of = p->fleet;
    struct str name = find_name(str_sub(shown, f->head, MIN(shown.n, f->head + f->bytes)));
    if (!name.n)
        end("a resource whose name is not among its first bytes", 0, "");
    if (of->cluster[0] && str_is(name, of->cluster)) {
        if (r->in.n < f->head + f->bytes)
            return false;
        struct str whole = chain_linear(&r->in, f->head + f->bytes);
        r->awaited = r->awaited || has_port(str_sub(whole, f->head, whole.n), of->port, 0);
    }
    buf_add_str(&r->names, name);
    buf_add_char(&r->names, '\n');
    r->skip = f->bytes;
    return true;
}

/* The next field, as far as it has to be known. False: more is needed. */
static bool take_field(struct proxy *p)
{
    struct reading *r = &p->r;
    char peeked[PEEK];
    size_t n = MIN(MIN(r->left, r->in.n), sizeof(peeked));
    struct field f;
    chain_copy(&r->in, peeked, n);
    struct str shown = str_of(peeked, n);
    if (!read_head(shown, &f) || (n < MIN(sizeof(peeked), r->left) && n < f.head + f.bytes))
        return false;
    if (f.number == SAY_RESOURCES) {
        if (!take_resource(p, shown, &f))
            return false;
    } else {
        r->skip = f.bytes;
        struct str value = str_sub(shown, f.head, MIN(n, f.head + f.bytes));
        if (f.number == SAY_TYPE)
            keep_text(r->type, sizeof(r->type), value);
        else if (f.number == SAY_NONCE)
            keep_text(r->nonce, sizeof(r->nonce), value);
    }
    chain_consume(&r->in, f.head);
    r->left -= f.head;
    return true;
}

/* False: more is needed. */
static bool take_some(struct proxy *p)
{
    struct reading *r = &p->r;
    uint8_t prefix[PREFIX];
    if (r->skip) {
        size_t n = MIN(r->skip, r->in.n);
        chain_consume(&r->in, n);
        r->skip -= n;
        r->left -= n;
        if (r->skip)
            return false;
    } else if (!r->left) {
        if (r->in.n < PREFIX)
            return false;
        chain_copy(&r->in, prefix, PREFIX);
        chain_consume(&r->in, PREFIX);
        r->left =
            (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
        return true;
    } else if (!r->in.n || !take_field(p)) {
        return false;
    }
    if (!r->left)
        take_response(p);
    return true;
}

static void on_data(struct http_stream *s, struct chain *data, bool is_end, void *user)
{
    struct proxy *p = user;
    (void)s;
    (void)is_end;
    chain_move_all(&p->r.in, data);
    while (take_some(p))
        ;
}

/* ---- streams ---- */

static void on_head(struct http_stream *s, struct http_head *h, bool is_end, void *user)
{
    (void)s;
    (void)user;
    AUTO_DONE(buf) struct buf why = {0};
    int code = -1;
    if (h->status == 200 && !is_end)
        return;
    IGNORE_RESULT(grpc_status_read(h, &code, &why)); /* then there is none to be told */
    end("a stream is refused", code, buf_cstr(&why));
}

static void on_trailers(struct http_stream *s, struct http_head *trailers, void *user)
{
    AUTO_DONE(buf) struct buf why = {0};
    int code = -1;
    (void)s;
    (void)user;
    IGNORE_RESULT(grpc_status_read(trailers, &code, &why));
    end("a stream has ended", code, buf_cstr(&why));
}

static void on_over(struct http_stream *s, enum http_end why, int code, const char *text,
                    void *user)
{
    (void)s;
    (void)why;
    (void)user;
    end("a stream has ended", code, text ? text : "");
}

static void send_head(struct proxy *p)
{
    static const struct str path =
        STR("/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
    struct http_field fields[8];
    struct http_head h = {.fields = fields,
                          .cap = ARRAY_LEN(fields),
                          .method = STR("POST"),
                          .scheme = STR("http"),
                          .authority = STR("control"),
                          .target = path,
                          .path = path,
                          .content_length = HTTP_LENGTH_NONE};
    IGNORE_RESULT(http_head_add(&h, HTTP_NAME_HOST, h.authority)); /* these fit */
    IGNORE_RESULT(http_head_add(&h, HTTP_NAME_CONTENT_TYPE, STR("application/grpc")));
    IGNORE_RESULT(http_head_add(&h, HTTP_NAME_TE, STR("trailers")));
    http_stream_send_head(p->stream, &h, false);
}

/* Node.id is 1, client_features 10. */
static void add_node(const struct proxy *p, struct buf *to)
{
    enum { NODE_ID = 1, NODE_FEATURES = 10 };
    size_t i = (size_t)(p - p->fleet->v), node = pb_begin(to, ASK_NODE);
    const char *type;
    AUTO_CHARS char *id = xasprintf("sidecar~10.77.%zu.%zu~p%zu.default~default.svc.cluster.local",
                                    i / 250, i % 250 + 1, i);
    pb_add_text(to, NODE_ID, id);
    for (size_t n = 0; (type = xds_own_type(n)); n++) {
        AUTO_CHARS char *feature = xasprintf(XDS_OWN_PREFIX "%s", type);
        pb_add_text(to, NODE_FEATURES, feature);
    }
    pb_end(to, node);
}

static void on_open(struct http_conn *hc, void *user)
{
    static const struct http_stream_ops ops = {
        .on_head = on_head, .on_data = on_data, .on_trailers = on_trailers, .on_over = on_over};
    struct proxy *p = user;
    AUTO_DONE(buf) struct buf clusters = {0};
    AUTO_DONE(buf) struct buf listeners = {0};
    if (http_conn_open(hc, &ops, p, &p->stream) < 0)
        end("a connection takes no stream", 0, "");
    send_head(p);
    add_node(p, &clusters);
    begin_ask(&clusters, XDS_CLUSTER);
    send_message(p, &clusters);
    begin_ask(&listeners, XDS_LISTENER);
    send_message(p, &listeners);
}

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    (void)hc;
    (void)user;
    end("a connection has ended", code, text);
}

static void start_one(struct fleet *f, struct proxy *p)
{
    static const struct http_conn_ops ops = {.on_open = on_open, .on_close = on_close};
    static const struct conn_options options;
    p->fleet = f;
    p->asked = xcalloc(CLUSTERS_MAX / 8, 1);
    p->conn = http2_conn_new_client(
        conn_connect(f->loop, &f->to, f->to_bytes, &options, &conn_no_ops, NULL), NULL, &ops, p);
}

static void start_next(struct fleet *f)
{
    while (f->n_started < f->n && f->n_started < f->n_ready + f->at_once)
        start_one(f, &f->v[f->n_started++]);
}

/* ---- what is asked ---- */

static void on_line(struct fleet *f, struct str line)
{
    struct str rest, word = str_cut(line, ' ', &rest), cluster = str_cut(rest, ' ', &rest);
    if (!str_is(word, "await") || str_to_u64(rest, &f->port) < 0 || cluster.n >= sizeof(f->cluster))
        end("what is asked is not known", 0, "");
    memcpy(f->cluster, cluster.p, cluster.n);
    f->cluster[cluster.n] = 0;
    f->n_told = 0;
    for (size_t i = 0; i < f->n; i++)
        f->v[i].told_us = 0;
    printf("awaiting\n");
    fflush(stdout);
}

static void on_input(struct loop_io *io, uint32_t events, void *user)
{
    struct fleet *f = user;
    char text[LINE_BYTES];
    ssize_t n;
    (void)io;
    (void)events;
    while ((n = read(0, text, sizeof(text))) > 0)
        buf_add(&f->in, text, (size_t)n);
    if (n == 0) {
        loop_stop(f->loop, 0);
        return;
    }
    for (const char *end_of; (end_of = memchr(f->in.p, '\n', f->in.n));) {
        on_line(f, str_of(f->in.p, (size_t)(end_of - f->in.p)));
        buf_consume(&f->in, (size_t)(end_of - f->in.p) + 1);
    }
}

int main(int argc, char **argv)
{
    struct fleet f = {.begin_us = time_mono_us()};
    struct rlimit limit = {1 << 16, 1 << 16};
    struct str port, ip = argc == 6 ? str_cut(str_from(argv[1]), ':', &port) : STR("");
    uint64_t number, n, services, hosts, at_once;
    struct ip address;
    struct err err = {0};
    if (argc != 6 || ip_parse(ip, &address) < 0 || str_to_u64(port, &number) < 0 ||
        str_to_u64(str_from(argv[2]), &n) < 0 || str_to_u64(str_from(argv[3]), &services) < 0 ||
        str_to_u64(str_from(argv[4]), &hosts) < 0 || str_to_u64(str_from(argv[5]), &at_once) < 0 ||
        !at_once)
        return program_fail(EXIT_USAGE_ERROR, NULL,
                            "mesh-fleet IP:PORT PROXIES SERVICES HOSTS AT_ONCE");
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (loop_new(&f.loop, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    f.n = (size_t)n;
    f.services = (size_t)services;
    f.hosts = (size_t)hosts;
    f.at_once = (size_t)at_once;
    f.v = xcalloc(f.n + 1, sizeof(*f.v));
    f.to_bytes = ip_to_sockaddr(&address, (uint16_t)number, &f.to);
    if (fcntl(0, F_SETFL, O_NONBLOCK) < 0 || loop_io_add(f.loop, 0, on_input, &f, &f.io) < 0)
        return program_fail(EXIT_FAILED, NULL, "standard input is to be a pipe");
    start_next(&f);
    return loop_run(f.loop);
}
