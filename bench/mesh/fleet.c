/* Many sidecars in one process, as far as a control plane can see: each has a stream of its own
 * (delta, plain gRPC), asks for what a sidecar of ours asks for, and acknowledges it.
 *
 *   mesh-fleet IP:PORT PROXIES SERVICES
 *
 * Says "ready SECONDS" when each has the endpoints of that many Services; then for each line
 * "await CLUSTER PORT" of its input, when each has been told of an endpoint with that port there:
 * "told FIRST P50 P99 LAST", in microseconds of the monotonic clock. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/program.h"
#include "base/time.h"
#include "base/vec.h"
#include "codec/pb.h"
#include "net/grpc_client.h"
#include "xds/xds_client.h"

enum { AT_ONCE = 64, LINE_BYTES = 512 };

struct fleet;

struct proxy {
    struct fleet *fleet;
    struct grpc_channel *channel;
    struct grpc_call *call;
    struct xds_client *client;
    Envoy__Config__Core__V3__Node node;
    char *id;
    size_t endpoints; /* Services whose endpoints have come */
    bool ready;
    uint64_t told_us; /* of what is awaited; 0: not yet */
};

struct fleet {
    struct loop *loop;
    struct loop_io *io;
    struct grpc_channel_config to;
    struct proxy *v;
    size_t n, n_started, n_ready, n_told, services;
    uint64_t begin_us;
    char cluster[256];
    uint64_t port;
    struct buf in;
    char **features;
    size_t n_features;
};

static void start_next(struct fleet *f);

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

static void take_endpoints(struct proxy *p, const struct xds_item *i)
{
    struct fleet *f = p->fleet;
    if (!p->ready && ++p->endpoints >= f->services) {
        p->ready = true;
        if (++f->n_ready == f->n) {
            printf("ready %.3f\n", (double)(time_mono_us() - f->begin_us) / 1e6);
            fflush(stdout);
        }
        start_next(f);
    }
    if (f->cluster[0] && !p->told_us && str_is(i->name, f->cluster) &&
        has_port(i->bytes, f->port, 0)) {
        p->told_us = time_mono_us();
        if (++f->n_told == f->n)
            say_told(f);
    }
}

static void take_listener(struct proxy *p, struct str name)
{
    static const struct str any = STR("0.0.0.0_");
    if (!str_starts(name, any))
        return;
    xds_client_subscribe(p->client, XDS_ROUTE, str_sub(name, any.n, name.n));
    xds_client_subscribe(p->client, XDS_HOST, str_sub(name, any.n, name.n));
}

static void on_update(const struct xds_update *u, struct buf *refused, void *user)
{
    struct proxy *p = user;
    (void)refused;
    for (size_t i = 0; i < u->n_items; i++) {
        if (u->type == XDS_CLUSTER && str_starts(u->items[i].name, STR("outbound|")))
            xds_client_subscribe(p->client, XDS_ENDPOINT, u->items[i].name);
        else if (u->type == XDS_LISTENER)
            take_listener(p, u->items[i].name);
        else if (u->type == XDS_ENDPOINT)
            take_endpoints(p, &u->items[i]);
    }
}

static void on_send(struct str message, void *user)
{
    struct proxy *p = user;
    if (p->call)
        grpc_call_send(p->call, message);
}

/* ---- streams ---- */

static void end(const char *what, int code, const char *text)
{
    fprintf(stderr, "%s: %d %s\n", what, code, text);
    exit(1);
}

static void on_message(struct grpc_call *call, struct str message, void *user)
{
    struct proxy *p = user;
    struct err err = {0};
    (void)call;
    if (xds_client_receive(p->client, message, &err) < 0)
        end("a response cannot be read", err.code, err_text(&err));
}

static void on_over(struct grpc_call *call, int code, const char *text, void *user)
{
    (void)call;
    (void)user;
    end("a stream has ended", code, text);
}

static void on_open(struct grpc_channel *c, void *user)
{
    static const struct grpc_call_ops ops = {.on_message = on_message, .on_over = on_over};
    struct proxy *p = user;
    p->call = grpc_call_new(c, xds_client_method(p->client), NULL, 0, &ops, p);
    xds_client_subscribe_all(p->client, XDS_CLUSTER);
    xds_client_subscribe_all(p->client, XDS_LISTENER);
    xds_client_open(p->client);
}

static void on_close(struct grpc_channel *c, int code, const char *text, void *user)
{
    (void)c;
    (void)user;
    end("a connection has ended", code, text);
}

static void start_one(struct fleet *f, struct proxy *p, size_t i)
{
    static const struct xds_client_ops ops = {.send = on_send, .on_update = on_update};
    static const struct grpc_channel_ops channel = {.on_open = on_open, .on_close = on_close};
    p->fleet = f;
    p->id = xasprintf("sidecar~10.77.%zu.%zu~p%zu.default~default.svc.cluster.local", i / 250,
                      i % 250 + 1, i);
    envoy__config__core__v3__node__init(&p->node);
    p->node.id = p->id;
    p->node.client_features = f->features;
    p->node.n_client_features = f->n_features;
    p->client = xds_client_new(true, &p->node, &ops, p);
    p->channel = grpc_channel_new(f->loop, &f->to, &channel, p);
}

static void start_next(struct fleet *f)
{
    while (f->n_started < f->n && f->n_started < f->n_ready + AT_ONCE) {
        size_t i = f->n_started++;
        start_one(f, &f->v[i], i);
    }
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
    struct str port, ip = argc == 4 ? str_cut(str_from(argv[1]), ':', &port) : STR("");
    uint64_t number, n, services;
    struct ip address;
    struct err err = {0};
    if (argc != 4 || ip_parse(ip, &address) < 0 || str_to_u64(port, &number) < 0 ||
        str_to_u64(str_from(argv[2]), &n) < 0 || str_to_u64(str_from(argv[3]), &services) < 0)
        return program_fail(EXIT_USAGE_ERROR, NULL, "mesh-fleet IP:PORT PROXIES SERVICES");
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (loop_new(&f.loop, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    f.n = (size_t)n;
    f.services = (size_t)services;
    f.v = xcalloc(f.n + 1, sizeof(*f.v));
    f.to.to_bytes = ip_to_sockaddr(&address, (uint16_t)number, &f.to.to);
    f.to.authority = "control";
    for (const char *type; (type = xds_own_type(f.n_features)); f.n_features++) {
        f.features = xrealloc(f.features, (f.n_features + 1) * sizeof(*f.features));
        f.features[f.n_features] = xasprintf(XDS_OWN_PREFIX "%s", type);
    }
    if (fcntl(0, F_SETFL, O_NONBLOCK) < 0 || loop_io_add(f.loop, 0, on_input, &f, &f.io) < 0)
        return program_fail(EXIT_FAILED, NULL, "standard input is to be a pipe");
    start_next(&f);
    return loop_run(f.loop);
}
