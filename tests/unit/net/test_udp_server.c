/* Answers leave from the address that was asked; a flood leaves the loop its turns. */
#include "test.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/udp_server.h"

struct world {
    struct loop *loop;
    struct udp_server *server;
    unsigned heard;
};

/* "?" is not answered; others get "re: ". */
static void on_datagram(struct str datagram, struct buf *ret, void *user)
{
    struct world *w = user;
    w->heard++;
    if (str_eq(datagram, STR("?")))
        return;
    buf_add_str(ret, STR("re: "));
    buf_add_str(ret, datagram);
}

static void world_up(struct world *w, const char *address)
{
    struct ip ip;
    *w = (struct world){0};
    assert_ok(ip_parse(str_from(address), &ip));
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(udp_server_new(w->loop, &ip, 0, on_datagram, w, &w->server, NULL));
}

static void world_down(struct world *w)
{
    udp_server_free(w->server);
    loop_free(w->loop);
}

/* A socket that only hears the address it asks. */
static int connected(const struct world *w, const char *address)
{
    struct sockaddr_storage sa;
    struct ip ip;
    assert_ok(ip_parse(str_from(address), &ip));
    socklen_t len = ip_to_sockaddr(&ip, udp_server_port(w->server), &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_ok(connect(fd, (struct sockaddr *)&sa, len));
    return fd;
}

static void check_answer(struct world *w, const char *address)
{
    char text[16] = {0};
    int fd = connected(w, address);
    assert_int_equal(send(fd, "?", 1, 0), 1);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    while (w->heard < 2)
        loop_turn(w->loop, 1000);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 9);
    assert_string_equal(text, "re: hello");
    assert_true(recv(fd, text, sizeof(text), 0) < 0);
    close(fd);
    w->heard = 0;
}

static void test_answers_leave_from_the_address_asked(void **state)
{
    (void)state;
    static const char *const bound[] = {"0.0.0.0", "::"};
    for (size_t i = 0; i < ARRAY_LEN(bound); i++) {
        struct world w;
        world_up(&w, bound[i]);
        check_answer(&w, "127.0.0.1");
        check_answer(&w, "127.0.0.2");
        if (i)
            check_answer(&w, "::1");
        world_down(&w);
    }
}

static void test_a_flood_leaves_the_loop_its_turns(void **state)
{
    (void)state;
    struct world w;
    world_up(&w, "127.0.0.1");
    int fd = connected(&w, "127.0.0.1");
    for (int i = 0; i < 150; i++)
        assert_int_equal(send(fd, "?", 1, 0), 1);
    for (unsigned before = 0; w.heard < 150; before = w.heard) {
        loop_turn(w.loop, 1000);
        assert_true(w.heard > before &&
                    w.heard <= before + 128); /* a batch by event, one by timer */
    }
    close(fd);
    world_down(&w);
}

static void test_a_port_that_is_taken(void **state)
{
    (void)state;
    struct world w;
    struct udp_server *other = NULL;
    struct err err = {0};
    struct ip ip;
    world_up(&w, "127.0.0.1");
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_int_equal(
        udp_server_new(w.loop, &ip, udp_server_port(w.server), on_datagram, &w, &other, &err),
        -EADDRINUSE);
    assert_null(other);
    assert_non_null(strstr(err_text(&err), "UDP on 127.0.0.1 port"));
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_leave_from_the_address_asked),
        cmocka_unit_test(test_a_flood_leaves_the_loop_its_turns),
        cmocka_unit_test(test_a_port_that_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
