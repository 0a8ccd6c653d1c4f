/* The relay again, on our own loop and connections: what the transport costs above the bare system
 * calls, before any message is understood.
 *
 *   relay-conn PORT UPSTREAM_PORT */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/conn.h"
#include "net/listener.h"

struct side {
    struct conn *conn;
    struct side *other;
};

static struct sockaddr_storage upstream;
static socklen_t upstream_bytes;
static struct loop *loop;

static void on_data(struct conn *c, void *user)
{
    struct side *s = user;
    if (s->other->conn)
        conn_write_chain(s->other->conn, conn_in(c));
    else
        chain_done(conn_in(c));
    if (conn_eof(c) && s->other->conn)
        conn_close_after_flush(s->other->conn);
    if (conn_eof(c))
        conn_close_after_flush(c);
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    struct side *s = user;
    (void)c;
    (void)code;
    (void)text;
    s->conn = NULL;
    if (s->other->conn) {
        conn_close_after_flush(s->other->conn);
    } else {
        free(s->other);
        free(s);
    }
}

static void on_accept(int fd, void *user)
{
    static const struct conn_ops ops = {.on_data = on_data, .on_close = on_close};
    static const struct conn_options o = {0};
    struct side *a = NEW(struct side), *b = NEW(struct side);
    (void)user;
    a->other = b;
    b->other = a;
    a->conn = conn_new_accepted(loop, fd, &o, &ops, a);
    b->conn = conn_connect(loop, &upstream, upstream_bytes, &o, &ops, b);
}

int main(int argc, char **argv)
{
    struct ip ip = {0};
    struct err err = {0};
    struct listener *listener;
    if (argc != 3) {
        fprintf(stderr, "usage: relay-conn PORT UPSTREAM_PORT\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    if (ip_parse(STR("127.0.0.1"), &ip) < 0 || loop_new(&loop, &err) < 0)
        return 1;
    upstream_bytes = ip_to_sockaddr(&ip, (uint16_t)atoi(argv[2]), &upstream);
    if (listener_new(loop, &ip, (uint16_t)atoi(argv[1]), NULL, on_accept, NULL, &listener, &err) <
        0) {
        fprintf(stderr, "relay-conn: %s\n", err_text(&err));
        return 1;
    }
    return loop_run(loop);
}
