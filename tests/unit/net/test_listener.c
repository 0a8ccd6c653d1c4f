/* Listening sockets: opened in one place and adopted in another, by address and by path. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net/listener.h"

struct world {
    struct loop *loop;
    int accepted;
};

static void on_accept(int fd, void *user)
{
    struct world *w = user;
    w->accepted++;
    close(fd);
}

static struct ip loopback(void)
{
    struct ip ip;
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    return ip;
}

static void connect_to(const struct sockaddr_storage *sa, socklen_t len)
{
    int fd = socket(sa->ss_family, SOCK_STREAM, 0);
    assert_ok(connect(fd, (const struct sockaddr *)sa, len));
    close(fd);
}

static void test_opened_here_adopted_there(void **state)
{
    struct world w = {0};
    struct listener_address a = {.ip = loopback()};
    struct listener *l;
    struct sockaddr_storage sa;
    struct err err = {0};
    int fd;
    (void)state;
    assert_ok(loop_new(&w.loop, NULL));
    assert_ok(listener_socket_open(&a, NULL, &fd, &err));
    assert_ok(listener_adopt(w.loop, fd, on_accept, &w, &l));
    assert_int_not_equal(listener_port(l), 0);
    connect_to(&sa, ip_to_sockaddr(&a.ip, listener_port(l), &sa));
    loop_turn(w.loop, 1000);
    assert_int_equal(w.accepted, 1);
    a.port = listener_port(l); /* without reuse_port nobody else gets it, and is told so */
    assert_int_equal(listener_socket_open(&a, NULL, &fd, &err), -EADDRINUSE);
    assert_non_null(strstr(err_text(&err), "listen on 127.0.0.1 port"));
    listener_free(l);
    loop_free(w.loop);
}

static void test_what_cannot_be_adopted_stays_the_callers(void **state)
{
    struct world w = {0};
    struct listener *l;
    char path[] = "/tmp/fl-listener-XXXXXX";
    int fd = mkstemp(path); /* epoll takes no plain files */
    (void)state;
    assert_ok(loop_new(&w.loop, NULL));
    assert_true(listener_adopt(w.loop, fd, on_accept, &w, &l) < 0);
    assert_ok(close(fd));
    unlink(path);
    loop_free(w.loop);
}

static void test_paths(void **state)
{
    struct world w = {0};
    struct sockaddr_storage sa = {0};
    struct sockaddr_un *un = (void *)&sa;
    struct listener *l;
    struct err err = {0};
    struct stat st;
    char dir[] = "/tmp/fl-listener-XXXXXX", path[64];
    int fd, other;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/socket", dir);
    struct listener_address a = {.path = path, .mode = 0640};
    assert_ok(loop_new(&w.loop, NULL));
    assert_ok(listener_socket_open(&a, NULL, &fd, &err));
    assert_ok(stat(path, &st));
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(listener_socket_open(&a, NULL, &other, &err), -EADDRINUSE);
    close(fd); /* what a dead process leaves is taken over */
    assert_ok(listener_socket_open(&a, NULL, &fd, &err));
    assert_ok(listener_adopt(w.loop, fd, on_accept, &w, &l));
    assert_int_equal(listener_port(l), 0);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    connect_to(&sa, sizeof(*un));
    loop_turn(w.loop, 1000);
    assert_int_equal(w.accepted, 1);
    listener_free(l);
    unlink(path);
    rmdir(dir);
    loop_free(w.loop);
}

static void test_paths_that_are_none(void **state)
{
    char longer[200];
    struct listener_address a = {.path = longer};
    struct err err = {0};
    int fd;
    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    assert_int_equal(listener_socket_open(&a, NULL, &fd, &err), -ENAMETOOLONG);
    a.path = "";
    assert_int_equal(listener_socket_open(&a, NULL, &fd, &err), -ENAMETOOLONG);
    char path[] = "/tmp/fl-listener-XXXXXX"; /* a file that is no socket is not taken away */
    close(mkstemp(path));
    a.path = path;
    assert_int_equal(listener_socket_open(&a, NULL, &fd, &err), -EADDRINUSE);
    assert_ok(access(path, F_OK));
    unlink(path);
}

static void test_who_waits_when_it_goes(void **state)
{
    struct world w = {0};
    struct listener_address a = {.ip = loopback()};
    struct listener *l;
    struct sockaddr_storage sa;
    int fd;
    (void)state;
    assert_ok(loop_new(&w.loop, NULL));
    assert_ok(listener_socket_open(&a, NULL, &fd, NULL));
    assert_ok(listener_adopt(w.loop, fd, on_accept, &w, &l));
    for (int i = 0; i < 100; i++) /* more than are accepted in a turn */
        connect_to(&sa, ip_to_sockaddr(&a.ip, listener_port(l), &sa));
    listener_accept_rest(l);
    assert_int_equal(w.accepted, 100);
    listener_free(l);
    loop_free(w.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opened_here_adopted_there),
        cmocka_unit_test(test_what_cannot_be_adopted_stays_the_callers),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_paths_that_are_none),
        cmocka_unit_test(test_who_waits_when_it_goes),
    };
    return RUN_TESTS(tests);
}
