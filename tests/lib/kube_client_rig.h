#pragma once
/* A client of an API server that is a function of the test's: both on one loop over loopback, by a
 * manual clock. */

#include "test.h"

#include "base/time.h"
#include "kube/client.h"
#include "net/http_server.h"

enum { RIG_TURNS = 60 };

struct kube_client_rig {
    struct loop *loop;
    struct http_server *server;
    struct kube_client *client;
    uint64_t now_ms;
};

/* ops: constant; user is what its functions are given. */
static inline void rig_up(struct kube_client_rig *r, const struct http_server_ops *ops, void *user)
{
    static const struct http_server_config sc = {.idle_timeout_ms = 86400000};
    struct kube_config kc = {.host = (char *)(uintptr_t) "127.0.0.1"};
    struct ip ip;
    *r = (struct kube_client_rig){.now_ms = 1000000};
    time_set_manual(r->now_ms * 1000);
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&r->loop, NULL));
    assert_ok(http_server_new(r->loop, &ip, 0, &sc, ops, user, &r->server, NULL));
    kc.port = http_server_port(r->server);
    assert_ok(kube_client_new(r->loop, &kc, "test", &r->client, NULL));
}

/* What stands on the client has gone. */
static inline void rig_down(struct kube_client_rig *r)
{
    kube_client_free(r->client);
    http_server_free(r->server);
    loop_turn(r->loop, 0);
    loop_free(r->loop);
    time_set_manual(0);
}

/* This much later, until nothing moves. */
static inline void rig_pass(struct kube_client_rig *r, uint64_t ms)
{
    r->now_ms += ms;
    time_set_manual(r->now_ms * 1000);
    for (int i = 0; i < RIG_TURNS; i++)
        loop_turn(r->loop, 1);
}
