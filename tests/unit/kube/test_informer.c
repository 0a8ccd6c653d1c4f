/* The informer against an API server that follows a script, on one loop over loopback and by a
 * manual clock. What was asked and what the owner was told stand in one log, in their order, so
 * that each test reads as a conversation. */
#include <stdio.h>

#include "base/rand.h"
#include "base/time.h"
#include "kube/informer.h"
#include "net/http_server.h"
#include "test.h"

enum { QUIET_TURNS = 20, START_S = 1000, BACKOFF_MAX_S = 20 };

/* One request and its answer. A watch that is not `ends` stays open. */
struct step {
    const char *want; /* "list", "list c1", "watch 5" */
    int status;
    const char *body;
    bool ends;
};

struct world {
    struct loop *loop;
    struct http_server *server;
    struct kube_client *client;
    struct informer *informer;
    const struct step *steps;
    size_t n_steps, at;
    bool open;                   /* an exchange is not over */
    struct http_exchange *watch; /* the newest */
    uint64_t now_ms;             /* the manual clock */
    struct buf log;              /* " list +a@1 synced watch 5" */
    const char *free_at;         /* the word at which the owner frees the informer */
};

static void say(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct world *w, const char *fmt, ...)
{
    char word[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(word, sizeof(word), fmt, ap);
    va_end(ap);
    buf_addf(&w->log, "%s%s", w->log.n ? " " : "", word);
    if (w->free_at && streq(word, w->free_at)) {
        informer_free(w->informer);
        w->informer = NULL;
    }
}

/* ---- server ---- */

static struct str query_value(struct str query, const char *name)
{
    while (query.n) {
        struct str value, one = str_cut(query, '&', &query);
        if (str_is(str_cut(one, '=', &value), name))
            return value;
    }
    return (struct str){0};
}

static void on_over(struct http_exchange *x, void *user)
{
    struct world *w = user;
    (void)x;
    w->open = false;
}

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    struct str query = http_exchange_query(x), more = query_value(query, "continue");
    AUTO_DONE(buf) struct buf asked = {0};
    if (str_is(query_value(query, "watch"), "true"))
        buf_addf(&asked, "watch " STR_FMT, STR_ARG(query_value(query, "resourceVersion")));
    else
        buf_addf(&asked, "list%s" STR_FMT, more.n ? " " : "", STR_ARG(more));
    say(w, "%s", buf_cstr(&asked));
    if (w->at == w->n_steps)
        fail_msg("asked once more than expected: %s", buf_cstr(&w->log));
    const struct step *s = &w->steps[w->at++];
    assert_string_equal(buf_cstr(&asked), s->want);
    assert_str(query_value(query, "labelSelector"), "a%3Db");
    w->open = true;
    http_exchange_set_done(x, on_over, w);
    if (s->want[0] == 'l' || s->status != 200) {
        http_exchange_reply(x, s->status, NULL, 0, str_from(s->body));
        return;
    }
    w->watch = x;
    http_exchange_start(x, 200, NULL, 0);
    http_exchange_write(x, str_from(s->body));
    if (s->ends)
        http_exchange_finish(x);
}

/* ---- owner ---- */

static void on_upsert(json_t *object, void *user)
{
    char key[512];
    say(user, "+%s@%s", object_key(object, key), json_at_str(object, "metadata.resourceVersion"));
}

static void on_delete(struct str key, json_t *object, void *user)
{
    (void)object;
    say(user, "-" STR_FMT, STR_ARG(key));
}

static void on_synced(void *user)
{
    say(user, "synced");
}

static void on_error(const char *text, void *user)
{
    (void)text;
    say(user, "error");
}

/* ---- both ---- */

static void clock_set(struct world *w, uint64_t ms)
{
    w->now_ms = ms;
    time_set_manual(ms * 1000);
}

static void world_up(struct world *w, const struct step *steps, size_t n)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    static const struct informer_ops owner = {on_upsert, on_delete, on_synced, on_error};
    static const struct informer_options o = {
        .path = "/api/v1/things", .label_selector = "a=b", .cache = true};
    static const struct http_server_config sc = {.idle_timeout_ms = 86400000};
    struct kube_config kc = {.host = (char *)(uintptr_t) "127.0.0.1"};
    struct ip ip;
    const char *free_at = w->free_at;
    *w = (struct world){.steps = steps, .n_steps = n, .free_at = free_at};
    clock_set(w, START_S * 1000);
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(http_server_new(w->loop, &ip, 0, &sc, &ops, w, &w->server, NULL));
    kc.port = http_server_port(w->server);
    assert_ok(kube_client_new(w->loop, &kc, "test", &w->client, NULL));
    w->informer = informer_start(w->client, &o, &owner, w);
}

static void world_down(struct world *w)
{
    informer_free(w->informer);
    kube_client_free(w->client);
    http_server_free(w->server);
    loop_turn(w->loop, 0);
    loop_free(w->loop);
    buf_done(&w->log);
    time_set_manual(0);
}

/* Until nothing moves at this moment of the clock. */
static void run_now(struct world *w)
{
    size_t seen = w->log.n;
    for (int quiet = 0; quiet < QUIET_TURNS; quiet++) {
        loop_turn(w->loop, 1);
        if (w->log.n != seen)
            quiet = 0;
        seen = w->log.n;
    }
}

/* Until the log says all of it; back-offs pass by the clock. */
static void assert_goes(struct world *w, const char *want)
{
    size_t n = strlen(want);
    run_now(w);
    while (w->log.n < n && !w->open && w->now_ms < START_S * 1000 + 600000) {
        clock_set(w, w->now_ms + BACKOFF_MAX_S * 1000);
        run_now(w);
    }
    assert_string_equal(buf_cstr(&w->log), want);
    assert_int_equal(w->at, w->n_steps);
}

static void assert_conversation(const struct step *steps, size_t n, const char *want)
{
    struct world w = {0};
    world_up(&w, steps, n);
    assert_goes(&w, want);
    world_down(&w);
}

#define META(name, version)                                                                        \
    "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version "\"}}"
#define LIST(version, items)                                                                       \
    "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"" version "\"},\"items\":[" items "]}"
#define PAGE(next, items)                                                                          \
    "{\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"" next "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define GONE                                                                                       \
    "{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"too old\",\"reason\":\"Expired\","  \
    "\"code\":410}"

/* ---- lists ---- */

static void test_pages_are_one_list(void **state)
{
    static const struct step steps[] = {
        {"list", 200, PAGE("c1", META("a", "1")), false},
        {"list c1", 200, PAGE("c%202", META("b", "2") "," META("c", "3")), false},
        {"list c%25202", 200, LIST("9", META("d", "4")), false},
        {"watch 9", 200, EVENT("MODIFIED", META("a", "10")), false},
    };
    (void)state;
    assert_conversation(steps, ARRAY_LEN(steps),
                        "list +a@1 list c1 +b@2 +c@3 list c%25202 +d@4 synced watch 9 +a@10");
}

static void test_expired_page_begins_the_list_again(void **state)
{
    static const struct step steps[] = {
        {"list", 200, PAGE("c1", META("a", "1") "," META("b", "2")), false},
        {"list c1", 410, GONE, false},
        {"list", 200, LIST("11", META("a", "1") "," META("c", "3")), false},
        {"watch 11", 200, "", false},
    };
    (void)state;
    assert_conversation(steps, ARRAY_LEN(steps),
                        "list +a@1 +b@2 list c1 error list +c@3 -b synced watch 11");
}

static void test_malformed_list_is_asked_again(void **state)
{
    static const struct step steps[] = {
        {"list", 200, "{\"items\":[" META("a", "1") ",}", false},
        {"list", 200, "[]", false},
        {"list", 200, LIST("5", META("a", "1")), false},
        {"watch 5", 200, "", false},
    };
    (void)state;
    assert_conversation(steps, ARRAY_LEN(steps), "list +a@1 error list error list synced watch 5");
}

/* ---- watches ---- */

static void test_events_and_bookmarks(void **state)
{
    static const struct step steps[] = {
        {"list", 200, LIST("5", META("a", "1")), false},
        {"watch 5", 200,
         EVENT("ADDED", META("b", "6")) EVENT("ADDED", META("b", "6"))
             EVENT("DELETED", META("a", "7")) EVENT("DELETED", META("a", "7"))
                 EVENT("BOOKMARK", META("", "20")),
         true},
        {"watch 20", 200, EVENT("MODIFIED", META("b", "21")), false},
    };
    (void)state;
    assert_conversation(steps, ARRAY_LEN(steps), "list +a@1 synced watch 5 +b@6 -a watch 20 +b@21");
}

/* However the server's bytes are cut: here into reads of one byte. */
static void test_an_event_may_come_in_pieces(void **state)
{
    static const char events[] = EVENT("ADDED", META("b", "6")) EVENT("DELETED", META("a", "7"));
    static const struct step steps[] = {
        {"list", 200, LIST("5", META("a", "1")), false},
        {"watch 5", 200, "", false},
    };
    struct world w = {0};
    (void)state;
    world_up(&w, steps, ARRAY_LEN(steps));
    run_now(&w);
    for (size_t i = 0; i < sizeof(events) - 1; i++) {
        http_exchange_write(w.watch, str_of(events + i, 1));
        for (int turn = 0; turn < 3; turn++)
            loop_turn(w.loop, 0);
    }
    assert_goes(&w, "list +a@1 synced watch 5 +b@6 -a");
    world_down(&w);
}

/* Each way a watch can be refused for good is settled by a list, which tells only differences. */
static void test_refused_watch_lists_again(void **state)
{
    static const int refusals[] = {400, 403, 404, 410, 504};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct step steps[] = {
            {"list", 200, LIST("5", META("a", "1") "," META("b", "2")), false},
            {"watch 5", refusals[i], GONE, false},
            {"list", 200, LIST("8", META("a", "1") "," META("c", "7")), false},
            {"watch 8", 200, "", false},
        };
        assert_conversation(steps, ARRAY_LEN(steps),
                            "list +a@1 +b@2 synced watch 5 error list +c@7 -b synced watch 8");
    }
}

/* A server that is overloaded or starting is not asked for everything. */
static void test_troubled_server_is_asked_for_the_same_watch(void **state)
{
    static const struct step steps[] = {
        {"list", 200, LIST("5", META("a", "1")), false},
        {"watch 5", 500, "", false},
        {"watch 5", 503, "x", false},
        {"watch 5", 502, "", false},
        {"watch 5", 429, "{\"message\":\"later\"}", false},
        {"watch 5", 200, EVENT("ADDED", META("b", "6")), false},
    };
    (void)state;
    assert_conversation(steps, ARRAY_LEN(steps),
                        "list +a@1 synced watch 5 error watch 5 error watch 5 error watch 5 error "
                        "watch 5 +b@6");
}

/* An error inside the stream, a line that is no JSON, an event without an object: list. */
static void test_bad_event_lists_again(void **state)
{
    static const char *const bad[] = {
        EVENT("ADDED", META("b", "6")) EVENT("ERROR", GONE) EVENT("ADDED", META("x", "9")),
        EVENT("ADDED", META("b", "6")) "{\"type\":\"ADDED\",\"obj\n",
        EVENT("ADDED", META("b", "6")) "{\"type\":\"ADDED\"}\n",
        EVENT("ADDED", META("b", "6")) "\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct step steps[] = {
            {"list", 200, LIST("5", META("a", "1")), false},
            {"watch 5", 200, bad[i], false},
            {"list", 200, LIST("12", META("b", "6")), false},
            {"watch 12", 200, "", false},
        };
        struct world w = {0};
        world_up(&w, steps, ARRAY_LEN(steps));
        run_now(&w);
        w.open = false; /* the server does not know yet that nobody listens */
        assert_goes(&w, "list +a@1 synced watch 5 +b@6 list -a synced watch 12");
        world_down(&w);
    }
}

/* Without a single event within a second: 50 to 150 ms, then 100 to 300 ms, and so on. */
static void test_watch_that_ends_at_once_is_backed_off(void **state)
{
    static const struct step steps[] = {
        {"list", 200, LIST("5", ""), false}, {"watch 5", 200, "", true},
        {"watch 5", 200, "", true},          {"watch 5", 200, EVENT("ADDED", META("a", "6")), true},
        {"watch 6", 200, "", false},
    };
    struct world w = {0};
    (void)state;
    world_up(&w, steps, ARRAY_LEN(steps));
    run_now(&w);
    clock_set(&w, START_S * 1000 + 49);
    run_now(&w);
    assert_string_equal(buf_cstr(&w.log), "list synced watch 5 error");
    clock_set(&w, START_S * 1000 + 150);
    run_now(&w);
    clock_set(&w, START_S * 1000 + 249);
    run_now(&w);
    assert_string_equal(buf_cstr(&w.log), "list synced watch 5 error watch 5 error");
    clock_set(&w, START_S * 1000 + 450); /* and one that told something goes on at once */
    run_now(&w);
    assert_string_equal(buf_cstr(&w.log),
                        "list synced watch 5 error watch 5 error watch 5 +a@6 watch 6");
    world_down(&w);
}

/* ---- a server restored from an older state ---- */

static void test_history_that_went_back_offers_everything_again(void **state)
{
    static const struct step steps[] = {
        {"list", 200, LIST("90", META("a", "50") "," META("b", "60") "," META("c", "70")), false},
        {"watch 90", 504, GONE, false},
        {"list", 200, LIST("55", META("a", "50") "," META("b", "40")), false},
        {"list", 200, LIST("55", META("a", "50") "," META("b", "40")), false},
        {"watch 55", 200, EVENT("MODIFIED", META("a", "56")), false},
    };
    (void)state;
    assert_conversation(steps, ARRAY_LEN(steps),
                        "list +a@50 +b@60 +c@70 synced watch 90 error list list +a@50 +b@40 -c "
                        "synced watch 55 +a@56");
}

/* The same when events, not the list, had brought the newest number. */
static void test_history_is_measured_by_events_too(void **state)
{
    static const struct step steps[] = {
        {"list", 200, LIST("5", META("a", "1")), false},
        {"watch 5", 200, EVENT("MODIFIED", META("a", "30")), true},
        {"watch 30", 410, GONE, false},
        {"list", 200, LIST("20", META("a", "15")), false},
        {"list", 200, LIST("20", META("a", "15")), false},
        {"watch 20", 200, "", false},
    };
    (void)state;
    assert_conversation(
        steps, ARRAY_LEN(steps),
        "list +a@1 synced watch 5 +a@30 watch 30 error list list +a@15 synced watch 20");
}

/* ---- life ---- */

static void test_freed_inside_a_callback(void **state)
{
    static const struct step steps[] = {
        {"list", 200, PAGE("c1", META("a", "1") "," META("b", "2")), false},
        {"list c1", 410, GONE, false},
        {"list", 200, LIST("9", META("a", "1") "," META("c", "3")), false},
        {"watch 9", 200, EVENT("ADDED", META("d", "10")) EVENT("DELETED", META("a", "11")), false},
    };
    static const char all[] = "list +a@1 +b@2 list c1 error list +c@3 -b synced watch 9 +d@10 -a";
    static const char *const words[] = {"+a@1", "+b@2",   "error", "+c@3",
                                        "-b",   "synced", "+d@10", "-a"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct world w = {.free_at = words[i]};
        AUTO_CHARS char *want = xstrdup(all);
        strstr(want, words[i])[strlen(words[i])] = '\0';
        world_up(&w, steps, ARRAY_LEN(steps));
        run_now(&w);
        clock_set(&w, w.now_ms + BACKOFF_MAX_S * 1000);
        run_now(&w);
        assert_string_equal(buf_cstr(&w.log), want);
        assert_null(w.informer);
        world_down(&w);
    }
}

/* ---- what writes were answered with ---- */

static void offer(struct world *w, const char *object)
{
    AUTO_JSON json_t *o = NULL;
    assert_ok(json_parse(str_from(object), 0, NULL, &o, NULL));
    informer_offer(w->informer, o);
}

static void test_an_answer_may_come_after_the_deletion(void **state)
{
    static const struct step steps[] = {
        {"list", 200, LIST("4", META("a", "3")), false},
        {"watch 4", 200,
         EVENT("ADDED", META("b", "5")) EVENT("DELETED", META("b", "6"))
             EVENT("MODIFIED", META("a", "7")),
         false},
    };
    struct world w = {0};
    (void)state;
    world_up(&w, steps, ARRAY_LEN(steps));
    assert_goes(&w, "list +a@3 synced watch 4 +b@5 -b +a@7");
    offer(&w, META("b", "5")); /* gone since: no ghost */
    offer(&w, META("a", "6")); /* older than what is known */
    offer(&w, META("c", "9")); /* ahead of the watch */
    offer(&w, META("c", "9"));
    assert_string_equal(buf_cstr(&w.log), "list +a@3 synced watch 4 +b@5 -b +a@7 +c@9");
    assert_int_equal(informer_count(w.informer), 2);
    world_down(&w);
}

/* A pod that was just bound must not look as if it were not, because the watch comes to its
 * creation only now. */
static void test_a_guess_stays_until_something_newer_is_known(void **state)
{
    static const struct step steps[] = {
        {"list", 200, LIST("4", META("a", "3")), false},
        {"watch 4", 200, "", false},
    };
    struct world w = {0};
    AUTO_JSON json_t *guess = json_pack("{s:{s:s,s:s},s:s}", "metadata", "name", "a",
                                        "resourceVersion", "3", "node", "n");
    (void)state;
    world_up(&w, steps, ARRAY_LEN(steps));
    assert_goes(&w, "list +a@3 synced watch 4");
    informer_assume(w.informer, guess);
    offer(&w, META("a", "3"));
    http_exchange_write(w.watch, STR(EVENT("ADDED", META("a", "3"))));
    assert_goes(&w, "list +a@3 synced watch 4");
    assert_string_equal(json_at_str(informer_find(w.informer, STR("a")), "node"), "n");
    http_exchange_write(w.watch, STR(EVENT("MODIFIED", META("a", "5"))));
    assert_goes(&w, "list +a@3 synced watch 4 +a@5");
    assert_null(json_at_str(informer_find(w.informer, STR("a")), "node"));
    json_put_str(guess, "metadata.resourceVersion", "5");
    informer_assume(w.informer, guess);
    AUTO_JSON json_t *truth = json_deep_copy(guess);
    json_del(truth, "node");
    informer_correct(w.informer, truth);
    assert_goes(&w, "list +a@3 synced watch 4 +a@5 +a@5");
    assert_null(json_at_str(informer_find(w.informer, STR("a")), "node"));
    world_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_are_one_list),
        cmocka_unit_test(test_expired_page_begins_the_list_again),
        cmocka_unit_test(test_malformed_list_is_asked_again),
        cmocka_unit_test(test_events_and_bookmarks),
        cmocka_unit_test(test_an_event_may_come_in_pieces),
        cmocka_unit_test(test_refused_watch_lists_again),
        cmocka_unit_test(test_troubled_server_is_asked_for_the_same_watch),
        cmocka_unit_test(test_bad_event_lists_again),
        cmocka_unit_test(test_watch_that_ends_at_once_is_backed_off),
        cmocka_unit_test(test_history_that_went_back_offers_everything_again),
        cmocka_unit_test(test_history_is_measured_by_events_too),
        cmocka_unit_test(test_freed_inside_a_callback),
        cmocka_unit_test(test_an_answer_may_come_after_the_deletion),
        cmocka_unit_test(test_a_guess_stays_until_something_newer_is_known),
    };
    return RUN_TESTS(tests);
}
