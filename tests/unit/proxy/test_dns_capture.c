/* What a sidecar's DNS answers itself, and that everything else comes back as the name server has
 * said it. */
#include "proxy/dns_capture.h"
#include "test.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "codec/pb.h"
#include "net/udp_server.h"
#include "proxy/dns_forward.h"

/* ---- tables ---- */

/* "host=1.2.3.4,5.6.7.8 other=…": a resource. */
static struct buf table_of(const char *text)
{
    struct buf b = {0};
    for (struct str rest = str_from(text), one; rest.n;) {
        one = str_cut(rest, ' ', &rest);
        struct str ips, host = str_cut(one, '=', &ips);
        size_t entry = pb_begin(&b, 1);
        pb_add_bytes(&b, 1, host);
        size_t info = pb_begin(&b, 2);
        while (ips.n)
            pb_add_bytes(&b, 1, str_cut(ips, ',', &ips));
        pb_end(&b, info);
        pb_end(&b, entry);
    }
    return b;
}

static void put(struct name_table *t, const char *resource, const char *text, bool full)
{
    AUTO_DONE(buf) struct buf b = table_of(text), refused = {0};
    struct xds_item item = {str_from(resource), STR("1"), buf_str(&b), false, NULL};
    const struct xds_update u = {.type = XDS_NAMES, .items = &item, .n_items = 1, .full = full};
    name_table_update(t, &u, &refused);
    assert_int_equal(refused.n, 0);
}

static void take(struct name_table *t, const char *resource)
{
    struct str name = str_from(resource);
    AUTO_DONE(buf) struct buf refused = {0};
    name_table_update(t, &(struct xds_update){.type = XDS_NAMES, .removed = &name, .n_removed = 1},
                      &refused);
}

static const char *first_of(const struct name_table *t, const char *name)
{
    static char text[IP_TEXT_BYTES];
    const struct name_addresses *a = name_table_find(t, str_from(name));
    return !a ? "none" : a->n ? ip_format(&a->ips[0], text) : "no address";
}

static void test_one_resource_and_many(void **state)
{
    struct name_table t = {0};
    (void)state;
    put(&t, "", "A.test.=10.0.0.1 b.test=10.0.0.2", true); /* as istiod's */
    assert_string_equal(first_of(&t, "a.test"), "10.0.0.1");
    put(&t, "", "b.test=10.0.0.3", true);
    assert_string_equal(first_of(&t, "a.test"), "none");
    assert_string_equal(first_of(&t, "b.test"), "10.0.0.3");
    put(&t, "c", "c.test=10.0.0.4", true);
    assert_string_equal(first_of(&t, "b.test"), "none"); /* the whole state says nothing of it */
    put(&t, "d", "d.test=10.0.0.5 bad.test=x", false);
    put(&t, "c", "d.test=10.0.0.6", false); /* the later one counts */
    assert_string_equal(first_of(&t, "c.test"), "none");
    assert_string_equal(first_of(&t, "d.test"), "10.0.0.6");
    assert_string_equal(first_of(&t, "bad.test"), "no address");
    take(&t, "d"); /* and what the earlier one had is not its */
    assert_string_equal(first_of(&t, "d.test"), "10.0.0.6");
    take(&t, "c");
    take(&t, "nobody");
    assert_string_equal(first_of(&t, "d.test"), "none");
    assert_int_equal(t.names.used + t.resources.used, 0);
    name_table_done(&t);
}

static void test_asterisks(void **state)
{
    struct name_table t = {0};
    char longest[DNS_NAME_BYTES];
    (void)state;
    put(&t, "w", "*.wild.test=10.0.0.1 own.wild.test=10.0.0.2 *.b.wild.test=10.0.0.3", false);
    assert_string_equal(first_of(&t, "x.wild.test"), "10.0.0.1");
    assert_string_equal(first_of(&t, "y.x.wild.test"), "10.0.0.1");
    assert_string_equal(first_of(&t, "own.wild.test"), "10.0.0.2");
    assert_string_equal(first_of(&t, "x.b.wild.test"), "10.0.0.3");
    assert_string_equal(first_of(&t, "wild.test"), "none");
    assert_string_equal(first_of(&t, ""), "none");
    memset(longest, 'x', sizeof(longest));
    for (size_t i = 1; i < sizeof(longest); i += 2)
        longest[i] = '.';
    assert_null(name_table_find(&t, str_of(longest, sizeof(longest) - 1)));
    name_table_done(&t);
}

/* ---- answers ---- */

static struct buf query_of(uint16_t id, const char *name, uint16_t type)
{
    struct buf b = {0};
    buf_add_be16(&b, id);
    buf_add_be16(&b, 0x0100);
    buf_add_be16(&b, 1);
    buf_add_be16(&b, 0);
    buf_add_be32(&b, 0);
    for (struct str rest = str_from(name), label; rest.n;) {
        label = str_cut(rest, '.', &rest);
        buf_add_u8(&b, (uint8_t)label.n);
        buf_add_str(&b, label);
    }
    buf_add_u8(&b, 0);
    buf_add_be16(&b, type);
    buf_add_be16(&b, DNS_CLASS_IN);
    return b;
}

static unsigned answers_in(struct str message)
{
    return (uint8_t)message.p[6] * 256u + (uint8_t)message.p[7];
}

/* How many records are in the answer; -1: it is not ours. */
static int answered(const struct name_table *t, const char *name, uint16_t type)
{
    struct resolv_conf conf;
    AUTO_DONE(buf) struct buf b = query_of(7, name, type), answer = {0};
    struct dns_query q;
    resolv_conf_parse(STR("search default.svc.cluster.local svc.cluster.local\n"), &conf);
    assert_ok(dns_query_parse(buf_str(&b), &q));
    bool ours = dns_capture_answer(t, &conf, &q, DNS_UDP_BYTES, &answer);
    resolv_conf_done(&conf);
    assert_int_equal(ours, answer.n != 0);
    return ours ? (int)answers_in(buf_str(&answer)) : -1;
}

static void test_what_is_ours(void **state)
{
    struct name_table t = {0};
    (void)state;
    put(&t, "x", "a.test=10.0.0.1,10.0.0.2,2001:db8::1 none.test=", false);
    assert_int_equal(answered(&t, "a.test", DNS_A), 2);
    assert_int_equal(answered(&t, "A.Test", DNS_AAAA), 1);
    assert_int_equal(answered(&t, "none.test", DNS_A), 0); /* it is there */
    assert_int_equal(answered(&t, "a.test", DNS_TXT), -1);
    assert_int_equal(answered(&t, "b.test", DNS_A), -1);
    assert_int_equal(answered(&t, "a.test.default.svc.cluster.local", DNS_A), 3); /* with a CNAME */
    assert_int_equal(answered(&t, "a.test.svc.cluster.local", DNS_AAAA), 2);
    assert_int_equal(answered(&t, "a.testxsvc.cluster.local", DNS_A), -1);
    assert_int_equal(answered(&t, "svc.cluster.local", DNS_A), -1);
    assert_int_equal(answered(&t, "a.test.elsewhere", DNS_A), -1);
    name_table_done(&t);
}

/* ---- what is handed on ---- */

struct world {
    struct loop *loop;
    struct udp_server *server;
    struct name_table names;
    struct resolv_conf conf;
    struct dns_capture *dns;
    int client;
    unsigned heard;
    int lie; /* of the server: 1 another id, 2 another question, 3 a question, 4 nothing */
};

/* Says the same back as an answer, behind lies. */
static void on_server(struct str datagram, struct buf *ret, void *user)
{
    struct world *w = user;
    struct udp_peer peer;
    char lie[512];
    w->heard++;
    assert_true(datagram.n < sizeof(lie));
    memcpy(lie, datagram.p, datagram.n);
    lie[2] = (char)0x81;
    if (w->lie == 1)
        lie[0] ^= 1;
    else if (w->lie == 2)
        lie[13] ^= 1;
    else if (w->lie == 3)
        lie[2] = 0x01;
    udp_server_peer(w->server, &peer);
    if (w->lie)
        udp_server_send(w->server, &peer, str_of(lie, w->lie == 4 ? 5 : datagram.n));
    buf_add_str(ret, datagram);
    ret->p[2] = (char)0x81;
    ret->p[3] = DNS_NXDOMAIN;
}

static void world_up(struct world *w)
{
    const struct ip loopback = {AF_INET, {127, 0, 0, 1}};
    struct sockaddr_storage sa;
    time_set_manual(1000000); /* no try is too late */
    *w = (struct world){.client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(udp_server_new(w->loop, &loopback, 0, on_server, w, &w->server, NULL));
    w->conf.servers[w->conf.n_servers++] = loopback;
    put(&w->names, "x", "a.test=10.0.0.1", false);
    assert_ok(dns_capture_new(w->loop, &w->names, &w->conf, 0, udp_server_port(w->server), &w->dns,
                              NULL));
    socklen_t len = ip_to_sockaddr(&loopback, dns_capture_port(w->dns), &sa);
    assert_ok(connect(w->client, (struct sockaddr *)&sa, len));
}

static void world_down(struct world *w)
{
    dns_capture_free(w->dns);
    udp_server_free(w->server);
    close(w->client);
    name_table_done(&w->names);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
    time_set_manual(0);
}

static struct str ask(struct world *w, uint16_t id, const char *name)
{
    static char answer[512];
    AUTO_DONE(buf) struct buf b = query_of(id, name, DNS_A);
    ssize_t n = -1;
    assert_int_equal(send(w->client, b.p, b.n, 0), b.n);
    for (int i = 0; i < 1000 && n < 0; i++) {
        loop_turn(w->loop, 10);
        n = recv(w->client, answer, sizeof(answer), 0);
    }
    assert_true(n >= 12);
    assert_int_equal((uint8_t)answer[0] * 256 + (uint8_t)answer[1], id);
    assert_true(answer[2] & 0x80);
    return str_of(answer, (size_t)n);
}

static void test_it_answers_or_hands_on(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    assert_int_equal(answers_in(ask(&w, 1, "a.test")), 1);
    assert_int_equal(w.heard, 0);
    for (w.lie = 0; w.lie <= 4; w.lie++) { /* what does not fit is not the answer */
        struct str answer = ask(&w, (uint16_t)(1000 + w.lie), "b.test");
        assert_int_equal(answer.p[3] & 15, DNS_NXDOMAIN);
    }
    assert_int_equal(w.heard, 5);
    world_down(&w);
}

static void test_nobody_is_there(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    udp_server_free(TAKE(w.server)); /* the port is closed */
    struct str answer = ask(&w, 5, "b.test");
    assert_int_equal(answer.p[3] & 15, DNS_SERVFAIL);
    assert_int_equal(answers_in(ask(&w, 6, "a.test")), 1);
    world_down(&w);
}

static void test_it_goes_while_somebody_waits(void **state)
{
    struct world w;
    (void)state;
    world_up(&w);
    for (uint16_t i = 0; i < 50; i++) {
        AUTO_DONE(buf) struct buf b = query_of(i, "b.test", DNS_A);
        assert_int_equal(send(w.client, b.p, b.n, 0), b.n);
    }
    assert_int_equal(send(w.client, "x", 1, 0), 1); /* no message at all */
    udp_server_free(TAKE(w.server));
    loop_turn(w.loop, 1000);
    world_down(&w);
}

static void test_what_is_no_question(void **state)
{
    struct world w;
    struct dns_forward *f;
    (void)state;
    world_up(&w);
    AUTO_DONE(buf) struct buf b = query_of(1, "b.test", DNS_A);
    struct resolv_conf conf = {.n_servers = 1, .servers = {{AF_INET, {127, 0, 0, 1}}}};
    f = dns_forward_new(w.loop, &conf, udp_server_port(w.server));
    assert_int_equal(dns_forward_ask(f, STR("0123456789abc"), false, NULL, NULL), -EBADMSG);
    b.p[2] = (char)0x81; /* an answer */
    assert_int_equal(dns_forward_ask(f, buf_str(&b), false, NULL, NULL), -EBADMSG);
    dns_forward_free(f);
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_resource_and_many),
        cmocka_unit_test(test_asterisks),
        cmocka_unit_test(test_what_is_ours),
        cmocka_unit_test(test_it_answers_or_hands_on),
        cmocka_unit_test(test_nobody_is_there),
        cmocka_unit_test(test_it_goes_while_somebody_waits),
        cmocka_unit_test(test_what_is_no_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
