/* Every allocation of ours in a conversation over HTTP/2 fails once: the connection says so or goes
 * on, and nothing is lost or used after its end. */
#include "http2_rig.h"

#include "base/fault.h"

static struct end c, s;

static bool new_ends(void)
{
    c = (struct end){.now_ms = 1};
    s = (struct end){.now_ms = 1};
    c.arena = arena_new(0);
    s.arena = arena_new(0);
    c.h = http2_new(HTTP2_CLIENT, NULL, &rig_ops, &c);
    s.h = c.h ? http2_new(HTTP2_SERVER, NULL, &rig_ops, &s) : NULL;
    return s.h != NULL;
}

/* False: one of the two is over. */
static bool talk(void)
{
    for (int i = 0; i < 8; i++) {
        struct end *from = i % 2 ? &s : &c, *to = i % 2 ? &c : &s;
        AUTO_DONE(chain) struct chain out = {0};
        if (http2_send(from->h, &out, 1 << 20) < 0 || http2_receive(to->h, &out, 1) < 0)
            return false;
    }
    return !http2_is_over(c.h) && !http2_is_over(s.h);
}

static void converse(void)
{
    struct rig_head r;
    int32_t a, b;
    if (!talk() || http2_open(c.h, c.arena, &c, rig_request(&r, "POST", "/", LIST("host", "a")),
                              false, &a) < 0)
        return;
    if (http2_open(c.h, c.arena, &c, rig_request(&r, "GET", "/", LIST("host", "a", "x", "y")), true,
                   &b) < 0)
        return;
    send_text(&c, a, "some text", false);
    if (http2_send_trailers(c.h, a, rig_answer(&r, 200, LIST("t", "1"))) < 0 || !talk())
        return;
    if (http2_send_head(s.h, a, rig_answer(&r, 103, LIST("link", "x")), false) < 0 ||
        http2_send_head(s.h, a, rig_answer(&r, 200, LIST("x-y", "z")), false) < 0)
        return;
    send_text(&s, a, "an answer", false);
    http2_reset(s.h, b, HTTP2_CANCEL);
    if (!talk() || http2_send_trailers(s.h, a, rig_answer(&r, 200, LIST("grpc-status", "0"))) < 0)
        return;
    http2_shutdown(s.h);
    IGNORE_RESULT(talk()); /* it is over */
}

static void test_every_allocation_fails_once(void **state)
{
    unsigned long n = 0;
    (void)state;
    do {
        fault_arm(FAULT_ALLOC, ++n);
        if (new_ends())
            converse();
        unsigned long hits = fault_hits(FAULT_ALLOC);
        fault_arm(FAULT_ALLOC, 0);
        end_done(&c);
        end_done(&s);
        if (hits < n)
            break;
    } while (n < 10000);
    assert_in_range(n, 6, 9999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return RUN_TESTS(tests);
}
